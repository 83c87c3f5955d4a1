"""What do control and broker say to this sandbox? Asked through the API door, as the server's own token.

Law: the door is on loopback, so neither a proxy nor a redirect ever sees the token.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from ..errors import AnswerError, RefusedError, SandboxError, UnreachableError

__all__ = ["PATIENCE", "Api", "ask", "check_inside", "door", "is_inside", "read_answer"]

_Answer = TypeVar("_Answer")
Api = Literal["self", "secrets"]
_NAMES: Mapping[Api, str] = {"self": "control", "secrets": "the broker of secrets"}
PATIENCE = 4.0  # seconds; people wait, and the relay waits 5 for a gateway that restarts
_MOST_BYTES = 4 << 20
_HUB_API = "hub/api"
# What ails the store is said by the broker for the person who reads a secret.
_TOLD = ("vault.", "secret.store_")
_AWAY = (
    "Your kernels and files are not affected; try again in a minute, and tell the hub's admin if it stays."
)


def is_inside() -> bool:
    """Does this process run in a sandbox?"""
    return bool(os.environ.get("JUPYTER_SANDBOX"))


def ask(
    path: str = "", body: Mapping[str, Any] | None = None, timeout: float = PATIENCE, of: Api = "self"
) -> dict[str, Any]:
    """The document at `.../api/` + `of` + `path`; a body makes it a POST.

    Raises SandboxError `sandbox.outside`, UnreachableError `door.unreachable`, RefusedError or AnswerError.
    """
    address, token = _address(of)
    headers = {"Authorization": f"token {token}", "Accept": "application/json"}
    raw = None
    if body is not None:
        raw, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=timeout)
    try:
        connection.request("GET" if raw is None else "POST", address.path + path, raw, headers)
        answer = connection.getresponse()
        content = answer.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        what = "in time" if isinstance(error, TimeoutError) else f"({error})"
        message = f"The sandbox's API door does not answer {what}."
        raise UnreachableError(message, code="door.unreachable", remedy=_AWAY) from error
    finally:
        connection.close()
    document = _document(answer.status, content, _NAMES[of])
    if answer.status >= 400:
        raise _refusal(answer.status, document, _NAMES[of])
    return document


def read_answer(parse: Callable[[Mapping[str, Any]], _Answer], document: Mapping[str, Any]) -> _Answer:
    """What `parse` makes of control's document. Raises AnswerError `door.unreadable` where it cannot."""
    try:
        return parse(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(
            f"The answer of control lacks what this version expects ({error!r}).",
            code="door.unreadable",
            remedy="Run %sandbox doctor, and tell the hub's admin.",
        ) from error


def check_inside() -> str:
    """The server's token. Raises SandboxError `sandbox.outside`."""
    return str(_address("self")[1])


def door(of: Api) -> str:
    """The address of an API as programs in here reach it. Raises SandboxError `sandbox.outside`."""
    address: str = _address(of)[0].geturl()
    return address


def _address(of: Api) -> Any:
    """Where the door is, and the token."""
    url, token = os.environ.get("JUPYTERHUB_API_URL", ""), os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if not is_inside() or not token or not url.rstrip("/").endswith(_HUB_API):
        raise SandboxError(
            "This is not a sandbox, so there is nothing to show.",
            code="sandbox.outside",
            remedy="Run it in a notebook or terminal of a server that the hub started.",
        )
    base = url.rstrip("/").removesuffix(_HUB_API)
    return urlsplit(f"{base}services/sandbox/api/{of}"), token


def _document(status: int, content: bytes, who: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    message = f"The answer of {who} (HTTP {status}) is not one this version understands."
    raise AnswerError(
        message, code="door.unreadable", remedy="Run %sandbox doctor, and tell the hub's admin."
    )


def _refusal(status: int, document: Mapping[str, Any], who: str) -> SandboxError:
    code, message = str(document.get("code") or "door.refused"), str(document.get("message") or "")
    remedy = str(document.get("remedy") or "")
    if status >= 500 and message and code.startswith(_TOLD):
        return UnreachableError(message, code=code, remedy=remedy or _AWAY)
    if status >= 500:
        message = f"{_capital(who)} does not answer at the moment ({code})."
        return UnreachableError(message, code=code, remedy=_AWAY)
    told = message or f"{_capital(who)} refused it (HTTP {status})."
    field = str(document.get("field") or "")
    return RefusedError(told, code=code, remedy=remedy, field=field, status=status)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
