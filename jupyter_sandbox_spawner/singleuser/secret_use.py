"""How do secrets come into an environment, and out again? For a cell, for a kernel, or for one program.

Law: all secrets are read before any variable is set; what a cell set is taken back however the cell ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..errors import ConfigurationError, RefusedError
from ..secret_names import is_variable_name, reason_against_variable
from .secret_list import listing
from .secret_values import Secret, SecretValue, read
from .view import Shown, Table

__all__ = ["Kept", "aws_credentials", "keep", "used", "variables"]

_AWS_FIELDS = {"AccessKeyId": "access_key_id", "SecretAccessKey": "secret_access_key"}
_LONGEST = (128 << 10) - 1  # bytes of NAME=VALUE that Linux hands to a program
_AWS_LASTS = timedelta(hours=1)  # boto3 then asks again, so a value that an admin replaced arrives


@dataclass(frozen=True, repr=False)
class Kept(Shown):
    """Which variables of this kernel hold secrets now."""

    variables: tuple[str, ...]

    def blocks(self) -> Iterator[str | Table]:
        """Names, and what to think of."""
        yield f"In this kernel's environment now: {', '.join(self.variables)}."
        yield "Programs started from here inherit them; %%sandbox secrets use NAME sets them for one cell."


def variables(names: Sequence[str]) -> dict[str, SecretValue]:
    """Variables for these secrets. Raises SandboxError, before anything is set."""
    found: dict[str, SecretValue] = {}
    for name in dict.fromkeys(names):
        secret = read(name)
        _check_kind(secret)
        for variable, field in secret.environment.items():
            _check(variable, name, found)
            _check_value(variable, name, secret[field].reveal())
            found[variable] = secret[field]
    return found


def keep(names: Sequence[str]) -> Kept:
    """Set the variables for good, in this process."""
    values = variables(names)
    os.environ.update({variable: value.reveal() for variable, value in values.items()})
    return Kept(variables=tuple(values))


@contextmanager
def used(values: Mapping[str, SecretValue]) -> Iterator[None]:
    """Set the variables for a block, and put back what was there."""
    before = {variable: os.environ.get(variable) for variable in values}
    try:
        for variable, value in values.items():
            os.environ[variable] = value.reveal()
        yield
    finally:
        for variable, old in before.items():
            if old is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = old


def aws_credentials(name: str | None) -> str:
    """What boto3's credential_process reads: JSON, version 1. Without a name the one secret of kind aws."""
    secret = read(name or _only_aws())
    document: dict[str, str | int] = {"Version": 1}
    document |= {key: secret[field].reveal() for key, field in _AWS_FIELDS.items()}
    if "session_token" in secret:
        document["SessionToken"] = secret["session_token"].reveal()
    now = datetime.now(timezone.utc)
    end = secret.expires_at or now + _AWS_LASTS
    if end <= now:
        raise RefusedError(
            f"The keys of {secret.name!r} have expired, and there are no new ones.",
            code="secret.expired",
            remedy="See %sandbox secrets status, and tell the hub's admin.",
        )
    document["Expiration"] = end.isoformat(timespec="seconds").replace("+00:00", "Z")
    return json.dumps(document)


def _only_aws() -> str:
    granted = [item.name for item in listing().items if item.kind == "aws"]
    if len(granted) == 1:
        return granted[0]
    known = ", ".join(granted) or "none"
    raise ConfigurationError(
        f"There are {len(granted)} secrets of kind aws, so one has to be named.",
        code="secret.name_needed",
        field="name",
        remedy=f"You may read: {known}.",
    )


def _check_kind(secret: Secret) -> None:
    if secret.kind == "vault":
        raise RefusedError(
            f"The secret {secret.name!r} is a Vault token, which belongs in a file.",
            code="secret.not_a_variable",
            remedy=f"Write: jupyter sandbox secrets vault {secret.name}",
        )
    if len(secret.environment) < len(secret) and not secret.given and secret.kind != "aws":
        raise RefusedError(
            f"Two fields of {secret.name!r} would set the same variable.",
            code="secret.variable_twice",
            remedy="Read it by jupyter_sandbox.secrets(NAME), or ask the admin to name its variables.",
        )


def _check_value(variable: str, name: str, value: str) -> None:
    """Refused before anything is set: the system takes no such variable."""
    try:
        size = len(os.fsencode(f"{variable}={value}"))
    except UnicodeEncodeError:
        size = -1
    if "\0" in value or size < 0:
        why = "holds what no variable can hold (NUL, or what is no text)"
    elif size > _LONGEST:
        why = f"is too long for a variable ({size} bytes; {_LONGEST} at most)"
    else:
        return
    raise RefusedError(
        f"The value for {variable}, of the secret {name!r}, {why}.",
        code="secret.value_unfit",
        remedy="Read it by jupyter_sandbox.secrets(NAME).",
    )


def _check(variable: str, name: str, taken: Mapping[str, SecretValue]) -> None:
    if not is_variable_name(variable):
        raise RefusedError(
            f"The secret {name!r} would set {variable[:80]!r}, which is not a variable's name.",
            code="secret.variable_invalid",
            remedy="Read it by jupyter_sandbox.secrets(NAME), or ask the admin to name its variables.",
        )
    why = reason_against_variable(variable)
    if why:
        raise RefusedError(
            f"The secret {name!r} would set {variable}, which {why}.",
            code="secret.variable_reserved",
            remedy="Read it by jupyter_sandbox.secrets(NAME), or ask the admin for another variable.",
        )
    if variable in taken:
        raise RefusedError(
            f"Two of these secrets set {variable}.",
            code="secret.variable_twice",
            remedy="Use them in two cells, or read one by jupyter_sandbox.secrets(NAME).",
        )
