"""What is a thing called, on every host and in every log?

Law: names are hashes with a readable prefix, never lossy escapes of what a user typed.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata

from .errors import ConfigurationError

__all__ = [
    "GVISOR",
    "LABEL_OWNER",
    "canonical_username",
    "is_sandbox_id",
    "name_part",
    "sandbox_id",
    "stable_hash",
]

LABEL_OWNER = "jupyter-sandbox-spawner"
GVISOR = "runsc"  # the OCI runtime that is a kernel of its own
_ID = re.compile(r"sb-[a-z2-7]{20}")
_PLAIN = re.compile(r"[a-z0-9]([._-]?[a-z0-9])*")
_LONGEST_PLAIN = 64


def stable_hash(*parts: str, length: int = 20) -> str:
    """Lower-case base32 of a SHA-256 over length-prefixed parts, so ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return base64.b32encode(digest.digest()).decode().lower()[:length]


def sandbox_id(user: str, server: str, nonce: str) -> str:
    """`sb-` and 20 base32 characters; a new nonce for each start, so an old id never comes back."""
    return "sb-" + stable_hash("sandbox", user, server, nonce)


def is_sandbox_id(text: str) -> bool:
    """Is this text an id of ours? Anything else never becomes part of a path."""
    return _ID.fullmatch(text) is not None


def canonical_username(name: str) -> str:
    """The one spelling of a user's name in policies, secrets and audit.

    The hub's names are already lower-cased by its authenticator; what a policy engine could read as
    a pattern or a path (`+`, `*`, `/`, `..`, control characters, odd Unicode forms) is refused.
    """
    folded = unicodedata.normalize("NFKC", name)
    plain = folded == name and name == name.casefold() and name not in {"", ".", ".."}
    if not plain or len(name) > 255 or not re.fullmatch(r"[\w.@-]([\w.@ -]*[\w.@-])?", name):
        raise ConfigurationError(
            f"The username {name!r} is not in canonical form.",
            code="username.invalid",
            field="username",
            remedy="Use lower-case letters, digits and . _ - @ (Authenticator.username_map can rename).",
        )
    return name


def name_part(name: str) -> str:
    """A user's or group's name as one part of a path or a secret's name: itself where it is plain, such as
    `alice` or `a.b-c`, else a readable beginning, `--` and a hash, which no plain name can be.

    Raises ConfigurationError `username.invalid` for what canonical_username refuses.
    """
    canonical_username(name)
    if len(name) <= _LONGEST_PLAIN and _PLAIN.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:24].strip("-") or "x"
    return f"{readable}--{stable_hash('name', name)}"
