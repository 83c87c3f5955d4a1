"""Did a cell fail because the sandbox does not let it out? Then one line says so."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from ..errors import SandboxError
from .egress_answers import ASKABLE, Denial, Egress
from .mlflow_auth import HOST
from .plain_text import plain

__all__ = ["hint"]

_TOLD = re.compile(r"Blocked by sandbox: ([^\s;]+)")
_SAID = re.compile(
    r"\((?:tracking|identity|hub)\.\w+\)"
)  # the code at the end of a sentence of MLflow's guard
_NAME = re.compile(r"(?=[^:]*[a-z])[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?")  # no address, nothing hostile
_MLFLOW = "MLflow did not answer; run the cell again in a minute. See %sandbox mlflow"
_SPEAK_HTTP = {
    "aiohttp",
    "botocore",
    "http",
    "httpcore",
    "httpx",
    "requests",
    "socket",
    "ssl",
    "urllib",
    "urllib3",
}
_NO_WAY_OUT = {errno.ENETUNREACH, errno.EHOSTUNREACH}  # what a program meets that does not use the proxy
_LINKS = 20
_WHOLE_SECOND = timedelta(seconds=1)  # denials are told in whole seconds


def hint(error: BaseException, began: datetime, ask: Callable[[], Egress]) -> str:
    """A line for the user, or "". `ask` is called for network errors only, once; it may fail.

    `began` is when the cell began; an older denial counts only where the error names its host.
    """
    chain = list(_chain(error))
    text = " ".join(map(str, chain))
    if HOST in text:
        return "" if _SAID.search(text) else _MLFLOW
    told = _TOLD.search(text)
    host = told[1] if told else next((found for link in chain if (found := _denied_host(link))), "")
    if not host and not any(map(_of_the_network, chain)):
        return ""
    try:
        denied = ask().denied
    except SandboxError:
        denied = ()
    for item in denied:
        if item.host == host or (not host and _belongs(item, began, text)):
            asked = item.place() if item.code in ASKABLE else ""
            return f"Blocked by sandbox: {item.place()} ({_rule(item)}); {_advice(asked)}"
    # Control may not know yet, but the gateway has said it.
    return f"Blocked by sandbox: {plain(host)}; {_advice(host)}" if host else ""


def _advice(place: str) -> str:
    """Where to look; and how to ask for it, where it is a name."""
    if not _NAME.fullmatch(place):
        return "see %sandbox egress"
    return f'see %sandbox egress, or ask for it: %sandbox egress ask {place} --why "what for"'


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, however its library keeps that."""
    waiting: list[Any] = [error]
    seen: list[BaseException] = []
    while waiting and len(seen) < _LINKS:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and not any(link is known for known in seen):
            seen.append(link)
            waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return iter(seen)


def _denied_host(link: BaseException) -> str:
    """The host of an answer that the gateway gave in the place of the server."""
    answer: Any = getattr(link, "response", None)
    headers: Any = getattr(answer if answer is not None else link, "headers", None)
    if headers is None or not hasattr(headers, "get") or not headers.get("X-Sandbox-Deny"):
        return ""
    address: Any = getattr(answer if answer is not None else link, "url", "")
    match = re.match(r"\w+://(?:[^/@]*@)?([^/:?#]+)", str(address))
    return match[1].lower() if match else ""


def _of_the_network(link: BaseException) -> bool:
    """A failed connection; an answer that is an error is none, nor is a missing file."""
    if getattr(link, "response", None) is not None or type(link).__name__ == "HTTPError":
        return False
    library = type(link).__module__.partition(".")[0]
    connecting = isinstance(link, (ConnectionError, TimeoutError)) or library in _SPEAK_HTTP
    return connecting or (isinstance(link, OSError) and link.errno in _NO_WAY_OUT)


def _belongs(item: Denial, began: datetime, text: str) -> bool:
    return item.last_at >= began - _WHOLE_SECOND or bool(item.host and item.host in text)


def _rule(item: Denial) -> str:
    return plain(f"rule {item.rule}" if item.rule else item.code)
