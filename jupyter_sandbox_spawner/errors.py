"""What can go wrong, and what is the person told?

SandboxError
├── ConfigurationError          an admin's file or setting is wrong (file, line, field, remedy)
│   └── ProfileError            profiles.yaml
├── RefusedError                policy said no; shown to the user as it stands
│   ├── ProfileRefusedError     profile unknown or not for this user
│   └── EgressRefusedError      a host, port or address is not allowed
├── IsolationError              the sandbox would be weaker than promised; nothing starts
├── BackendError                the place could not be made, started, stopped or removed
├── BootError                   the sandbox did not take its boot document or ended before it was ready
└── ProgramError                another program of ours cannot do its part
    ├── UnreachableError        it does not answer
    └── AnswerError             it answered with an error of its own

Every error has a stable dotted `code`, a `message` that may be shown to users (what happened and the
value), and a `remedy` (what to do). Codes are listed in docs/reference/errors.md and never reused.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AnswerError",
    "BackendError",
    "BootError",
    "ConfigurationError",
    "EgressRefusedError",
    "IsolationError",
    "ProfileError",
    "ProfileRefusedError",
    "ProgramError",
    "RefusedError",
    "SandboxError",
    "UnreachableError",
]


class SandboxError(Exception):
    """Base of every error this package raises.

    `status` is the HTTP status that carries it between programs; its class's where none is given.
    """

    code = "sandbox.error"
    status = 500

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        remedy: str = "",
        field: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.field = field
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def as_document(self) -> dict[str, Any]:
        """The body that crosses between programs: code, message and, where known, field and remedy."""
        document = {"code": self.code, "message": self.message}
        if self.field:
            document["field"] = self.field
        if self.remedy:
            document["remedy"] = self.remedy
        return document


class ConfigurationError(SandboxError):
    """A setting or file of the admin is wrong; the program does not start."""

    code = "configuration.invalid"
    status = 400


class ProfileError(ConfigurationError):
    """profiles.yaml is wrong; the message starts with file, line and field."""

    code = "profiles.invalid"


class RefusedError(SandboxError):
    """Policy said no; the message is written for the person who asked."""

    code = "refused"
    status = 403


class ProfileRefusedError(RefusedError):
    """The profile does not exist or this user may not take it."""

    code = "profile.not_allowed"


class EgressRefusedError(RefusedError):
    """Outbound traffic to this host, port or address is not allowed."""

    code = "egress.not_allowed"


class IsolationError(SandboxError):
    """Something would open the sandbox or cannot be enforced here; nothing starts."""

    code = "isolation.refused"
    status = 409


class BackendError(SandboxError):
    """The backend could not create, start, stop or remove a sandbox."""

    code = "backend.failed"


class BootError(SandboxError):
    """The sandbox did not take its boot document, or ended before its server answered."""

    code = "boot.failed"


class ProgramError(SandboxError):
    """Another program of this product could not do its part."""

    code = "program.failed"
    status = 502


class UnreachableError(ProgramError):
    """Another program does not answer."""

    code = "program.unreachable"
    status = 503


class AnswerError(ProgramError):
    """Another program answered with an error; code, message and remedy are its own."""

    code = "program.answered"
