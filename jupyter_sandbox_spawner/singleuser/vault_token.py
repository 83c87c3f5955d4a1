"""How does a Vault token of this server's own come out of its wrapping? Opened once, into a file.

Law: what was not made where the broker makes it is not opened; the token is in one file that only its owner
reads, in memory and not on a disk, and nowhere else. What goes wrong is told to the broker as an alarm.
ref: https://developer.hashicorp.com/vault/docs/concepts/response-wrapping
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, RefusedError, SandboxError
from ..secret_names import check_name
from .door import ask
from .secret_list import PATIENCE
from .secret_values import Secret, read
from .vault_wrapping import Wrapping, WrappingGoneError
from .view import Shown, Table, when

__all__ = ["VaultToken", "unwrap"]

_DIRECTORY = "vault"
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True, repr=False)
class VaultToken(Shown):
    """Where the token is, and its end; `renewed`: the broker moves that. The token is not shown."""

    name: str
    file: str
    address: str
    namespace: str
    expires_at: datetime | None
    renewed: bool

    def blocks(self) -> Iterator[str | Table]:
        """The file, and how programs use it."""
        now = datetime.now(timezone.utc)
        until = "" if self.expires_at is None else f"; it ends {when(self.expires_at, now)}"
        until += ", and is renewed while this server runs" if self.renewed else ""
        yield f"The Vault token of {self.name} is in {self.file}, for you alone{until}."
        namespace = f" VAULT_NAMESPACE={self.namespace}" if self.namespace else ""
        yield f'One command: VAULT_ADDR={self.address}{namespace} VAULT_TOKEN="$(cat {self.file})" vault ...'
        yield "In Python: hvac.Client(url=..., token=open(FILE).read()). Never copy it into your home."


def unwrap(name: str, file: str | None = None) -> VaultToken:
    """Open the wrapped token of a secret of kind vault, once. Raises SandboxError; then there is no file."""
    target = _target(check_name(name), file)
    secret = read(name)
    if secret.kind != "vault":
        raise ConfigurationError(
            f"The secret {name!r} is of kind {secret.kind}, so no Vault token is made for it.",
            code="secret.not_vault",
            field="name",
            remedy="Read it by jupyter_sandbox.secrets(NAME).",
        )
    with secret:
        wrapping = Wrapping(_text(secret, "address"), _text(secret, "namespace"))
        _write(target, _opened(name, wrapping, secret))
        where = wrapping.address, wrapping.namespace
        return VaultToken(name, str(target), *where, secret.expires_at, secret.renewed)


def _opened(name: str, wrapping: Wrapping, secret: Secret) -> str:
    """The token. An alarm is sent where it is not what the broker made."""
    wrapped, expected = secret["wrapped_token"].reveal(), _text(secret, "expected_path")
    try:
        made_at = wrapping.creation_path(wrapped)
        if not expected or made_at != expected:
            raise _alarm(
                name,
                "wrapping.wrong_path",
                f"The wrapped token of {name!r} was made at {made_at[:80]!r}, not {expected!r}: not opened.",
            )
        answer = wrapping.unwrap(wrapped)
    except WrappingGoneError:
        raise _alarm(
            name,
            "wrapping.used",
            f"The wrapped token of {name!r} does not open: somebody else opened it, or it is too old.",
        ) from None
    return _token_of(name, answer)


def _token_of(name: str, answer: dict[str, Any]) -> str:
    auth = answer.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if isinstance(token, str) and token and token.isascii() and token.isprintable():
        return token
    raise _alarm(name, "wrapping.no_token", f"What was wrapped for {name!r} holds no Vault token.")


def _alarm(name: str, code: str, message: str) -> SandboxError:
    """Tell the broker, whose audit has it as a security event; the error to raise."""
    remedy = "The hub's admin has been told. Run it again for a new one; if it happens again, ask them."
    try:
        ask(f"/{name}/alarm", {"code": code}, timeout=PATIENCE, of="secrets")
    except SandboxError as error:
        remedy = f"Tell the hub's admin at once: no alarm could be sent ({error.code})."
    return RefusedError(message, code=code, remedy=remedy)


def _text(secret: Secret, field: str) -> str:
    """A field that is no secret."""
    return secret[field].reveal() if field in secret else ""


def _target(name: str, file: str | None) -> Path:
    """Where the token goes; refused before a token is used up."""
    if file is None:
        runtime = os.environ.get("JUPYTER_RUNTIME_DIR", "")
        directory = Path(runtime or tempfile.gettempdir()) / _DIRECTORY
        _check_in_memory(directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _refused_file(directory, error.strerror or "it cannot be made") from None
        # No name has a "+", so that two secrets never share a file.
        return directory / name.replace("/", "+")
    target = Path(os.path.abspath(file))
    _check_in_memory(target.parent)
    if not target.parent.is_dir() or target.is_dir():
        what = "it is a directory" if target.is_dir() else "its directory does not exist"
        raise _refused_file(target, what)
    return target


def _check_in_memory(directory: Path) -> None:
    """Refuse a place on a disk, such as the home, which outlives the server."""
    real = os.path.realpath(directory)
    if _filesystem(real) not in _IN_MEMORY:
        raise _refused_file(directory, "it is on a disk, where a token would outlive this server")


def _filesystem(real: str) -> str:
    """The kind of the mount that a path is below."""
    best, kind = "", ""
    for line in _MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def _refused_file(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"No token is written to {path}: {why}.",
        code="secret.file_refused",
        field="file",
        remedy="Leave --file out, or name a file below /dev/shm or /run/jupyter.",
    )


def _write(target: Path, token: str) -> None:
    """A new file, 0400, in the place of an old one; never half of it."""
    new = ""
    try:
        descriptor, new = tempfile.mkstemp(prefix=".token-", dir=target.parent)
        with os.fdopen(descriptor, "w") as stream:
            os.fchmod(stream.fileno(), 0o400)
            stream.write(token)
        os.replace(new, target)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        raise _refused_file(target, error.strerror or "it cannot be written") from None
