"""How does the hub learn that a server does not start, so that the user reads why and the hub goes on?

Law: what a user can bring about alone (a refusal, a server that ends by itself) never counts towards
`Spawner.consecutive_failure_limit`; a program of ours that fails does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tornado import web

from ..clients.control import Released
from ..errors import BootError, SandboxError
from ..models import Status

__all__ = [
    "BrokenStart",
    "FailedStart",
    "RefusedStart",
    "reason_of_death",
    "reason_of_failure",
    "start_error",
]

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub 5.x: the same class in small, as its documentation offers for older hubs

    class SpawnException(web.HTTPError):  # type: ignore[no-redef]
        """A refusal of JupyterHub 6, for hubs that do not have it yet."""

        def __init__(self, message: str, *, reason: str, status_code: int = 400) -> None:
            super().__init__(status_code, message, reason=reason)


_HURRY = 0.5  # seconds by which the hub's own clock may be ahead of ours
_SHOWN_LINES = 5  # in a message, which is one line
_OWN_DOING = frozenset({"boot.ended"})


class BrokenStart(BootError):
    """The server did not come up. `lines` of its log are for its user only: not in the text of the error,
    which the hub logs."""

    def __init__(self, reason: str, lines: str, *, code: str, remedy: str) -> None:
        super().__init__(reason, code=code, remedy=remedy)
        self.lines = lines


class RefusedStart(SpawnException):  # type: ignore[misc]  # JupyterHub has no type hints
    """Policy said no, or the user's own server ended; not counted as a failure of the hub."""

    def __init__(self, error: SandboxError) -> None:
        super().__init__(_one_line(str(error)), reason=error.code, status_code=error.status)
        self.code = error.code
        self.jupyterhub_message = _for_its_user(error)


class FailedStart(web.HTTPError):
    """One of our programs failed; counted, and shown to the user as it stands."""

    def __init__(self, error: SandboxError) -> None:
        super().__init__(max(error.status, 500), _one_line(str(error)))
        self.code = error.code
        self.jupyterhub_message = _for_its_user(error)


def start_error(error: SandboxError, spawner: Any) -> web.HTTPError:
    """The exception that `Spawner.start` raises for one of our errors."""
    if error.status >= 500 and error.code not in _OWN_DOING:
        return FailedStart(error)
    refusal = RefusedStart(error)
    _do_not_count(refusal, spawner)
    return refusal


def reason_of_failure(cause: BaseException, took: float, limit: float) -> Released:
    """Why control closes the record of a start that came to nothing after `took` of `limit` seconds."""
    if isinstance(cause, BrokenStart):
        # The server's own last lines stay with the user; they are not for the audit.
        return Released(code=cause.code, why=cause.message, lines=cause.lines)
    if isinstance(cause, SandboxError):
        return Released(code=cause.code, why=cause.message)
    if not isinstance(cause, asyncio.CancelledError):
        return Released(code="start.failed", why="It did not start because of an error in the hub.")
    if took >= limit - _HURRY:
        why = f"It did not start within {limit:.0f} s, so the start was given up."
        return Released(code="start.timeout", why=why)
    return Released(code="start.cancelled", why="Its start was cancelled before it was ready.")


def reason_of_death(status: Status | None) -> str:
    """The launcher's words about an end, as a sentence for people."""
    told = status.reason.rstrip(".") if status else ""
    if not told:
        return "It ended by itself."
    return f"{told}." if told.startswith("It ") else f"It ended by itself: {told}."


def _do_not_count(refusal: web.HTTPError, spawner: Any) -> None:
    """On JupyterHub 5.x, take back the count that the hub adds for every exception.

    The hub reads count and limit in a done-callback of the spawn, before ours runs: so the limit of this
    spawner is lifted until then, and our callback puts back both. Nothing else runs in between, unlike
    with a count lowered beforehand, which other starts could overtake.
    ref: jupyterhub 5.5 handlers/base.py, spawn_single_user, _track_failure_count
    """
    future, handler = spawner._spawn_future, spawner.handler
    if _hub_knows_refusals() or handler is None or future is None or future.done():
        return
    limit, settings = spawner.consecutive_failure_limit, handler.settings
    spawner.consecutive_failure_limit = 0

    def put_back(spawned: Any) -> None:
        spawner.consecutive_failure_limit = limit
        if not spawned.cancelled() and spawned.exception() is refusal:
            settings["failure_count"] -= 1

    future.add_done_callback(put_back)


def _hub_knows_refusals() -> bool:
    return str(SpawnException.__module__) == "jupyterhub.spawner"


def _for_its_user(error: SandboxError) -> str:
    lines = error.lines.splitlines()[-_SHOWN_LINES:] if isinstance(error, BrokenStart) else ()
    return f"{error.message} Its last lines: {' | '.join(lines)} {error.remedy}" if lines else str(error)


def _one_line(text: str) -> str:
    return " ".join(text.split())
