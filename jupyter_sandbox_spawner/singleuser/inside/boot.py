"""Who am I? The boot document: read once from its door, checked, refused where it is incomplete."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeVar

__all__ = [
    "EXIT_DOOR_UNREACHABLE",
    "EXIT_INVALID_DOCUMENT",
    "EXIT_NO_DOCUMENT",
    "BootFailedError",
    "Document",
    "parse_document",
    "read_document",
]

EXIT_DOOR_UNREACHABLE = 90
EXIT_NO_DOCUMENT = 91
EXIT_INVALID_DOCUMENT = 92

MAX_BYTES = 1 << 20
PATIENCE = 5.0  # seconds; a gateway is back within one
RETRY_INTERVAL = 0.05
VERSION = 1
_Item = TypeVar("_Item")


class BootFailedError(Exception):
    """The sandbox cannot start; `status` is the exit status that says which step failed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Document(NamedTuple):
    """A checked boot document; `relay` pairs a loopback port with the door it leads to."""

    environment: dict[str, str]
    argv: list[str]
    working_directory: str
    relay: list[tuple[int, str]]
    ingress_port: int
    idle_connections: int


def read_document(path: str, now: datetime | None = None) -> Document:
    """Read the boot door at `path` to its end; the gateway may hold it open until it has a document.

    A door that refuses is tried again for some seconds: its gateway restarts.

    Raises BootFailedError with status 90 (door unreachable), 91 (no document: the first reader got it)
    or 92 (not a valid document).
    """
    try:
        raw = _read_to_end(path)
    except OSError as error:
        raise BootFailedError(
            EXIT_DOOR_UNREACHABLE, f"The boot door {path} cannot be read: {error.strerror}."
        ) from error
    if not raw:
        raise BootFailedError(EXIT_NO_DOCUMENT, f"The boot door {path} had no document for this sandbox.")
    return parse_document(raw, now or datetime.now(timezone.utc))


def _read_to_end(path: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, path)
        while size <= MAX_BYTES and (chunk := connection.recv(65536)):
            chunks.append(chunk)
            size += len(chunk)
    return b"".join(chunks)


def _connect(connection: socket.socket, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return connection.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
        time.sleep(RETRY_INTERVAL)  # nothing tells that the door is bound again


def parse_document(raw: bytes, now: datetime) -> Document:
    """The document in `raw`, or BootFailedError with status 92 naming the field that is wrong.

    The message never repeats a value: the document holds the server's token.
    """
    if len(raw) > MAX_BYTES:
        raise _invalid(f"is larger than {MAX_BYTES} bytes")
    try:
        fields = json.loads(raw)
    except ValueError:
        raise _invalid("is not JSON") from None
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise _invalid(f"has another version than {VERSION}")
    if _field(fields, "expires_at", _time) <= now:
        raise _invalid("has expired")
    ingress = _field(fields, "ingress", _mapping)
    return Document(
        environment=_field(fields, "environment", _environment),
        argv=_field(fields, "argv", _argv),
        working_directory=_field(fields, "working_directory", _absolute),
        relay=_field(fields, "relay", _relay),
        ingress_port=_field(ingress, "port", _port),
        idle_connections=_field(ingress, "idle_connections", _idle),
    )


def _invalid(what: str) -> BootFailedError:
    return BootFailedError(EXIT_INVALID_DOCUMENT, f"The boot document {what}.")


def _field(fields: dict[str, Any], name: str, check: Callable[[Any], _Item]) -> _Item:
    try:
        return check(fields[name])
    except KeyError:
        raise _invalid(f"lacks {name!r}") from None
    except (TypeError, ValueError) as error:
        raise _invalid(f"is wrong at {name!r}: {error}") from None


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError("not a text without NUL")
    return value


def _absolute(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise ValueError("not an absolute path")
    return str(value)


def _environment(value: Any) -> dict[str, str]:
    items = {_text(name): _text(item) for name, item in _mapping(value).items()}
    if any(not name or "=" in name for name in items):
        raise ValueError("a name is empty or holds '='")
    return items


def _argv(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise TypeError("not a list with a program")
    return [_absolute(value[0]), *map(_text, value[1:])]


def _port(value: Any) -> int:
    return _whole(value, 65535)


def _idle(value: Any) -> int:
    return _whole(value, 64)


def _whole(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"not a whole number from 1 to {most}")
    return value


def _relay(value: Any) -> list[tuple[int, str]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return [(_port(_mapping(item)["listen"]), _door(_mapping(item)["door"])) for item in value]


def _door(value: Any) -> str:
    if not (_text(value).isascii() and _text(value).isalpha() and _text(value).islower()):
        raise ValueError("a door's name is lower-case letters")
    return str(value)


def _time(value: Any) -> datetime:
    # Python 3.10 does not read the Z that RFC 3339 writers may put in place of +00:00.
    instant = datetime.fromisoformat(_text(value).replace("Z", "+00:00"))
    if instant.tzinfo is None:
        raise ValueError("a time without its zone")
    return instant
