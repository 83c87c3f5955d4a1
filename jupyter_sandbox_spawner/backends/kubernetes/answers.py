"""What does an answer of the cluster's API mean, and what is the person told?

Law: the user reads one sentence without names of the cluster; the cluster's own words go to the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from ...errors import BackendError
from ...rules.pod_trouble import Trouble, refused_pod
from ...rules.repeats import Repeats

__all__ = ["Answers", "in_trouble"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
ASK = "Your admin finds more in the launcher's log."
_PLAIN = {
    401: ("kubernetes.login", "The launcher cannot log in to the cluster.", 503),
    403: ("kubernetes.rbac", "Servers cannot be started: the launcher lacks a right in the cluster.", 503),
    409: ("kubernetes.conflict", "The cluster has something of this name already.", 409),
    410: ("kubernetes.expired", "The cluster does not remember that far back.", 500),
    422: ("kubernetes.invalid", "The cluster does not understand what this server needs.", 500),
    429: ("kubernetes.busy", "The cluster is too busy; try again in a moment.", 503),
}
_QUIET = ("kubernetes.conflict", "kubernetes.expired")  # whoever asked knows what to do


class Answers:
    """What one client of the cluster heard; the same line is logged once a minute at most."""

    def __init__(self) -> None:
        self._repeats = Repeats()

    @asynccontextmanager
    async def awaiting(self, what: str) -> AsyncIterator[None]:
        """Raises BackendError `kubernetes.timeout` or `kubernetes.unreachable` for what the network does."""
        try:
            yield
        except asyncio.TimeoutError as error:
            self._say(f"kubernetes.timeout: the API was slow for: {what}")
            sentence = "The cluster did not answer in time; try again in a moment."
            raise _error("kubernetes.timeout", sentence) from error
        except (aiohttp.ClientError, OSError) as error:
            # Address and certificate are the admin's to see; a user reads that nobody answers.
            self._say(f"kubernetes.unreachable: is the API up, and its certificate valid? {_short(error)}")
            sentence = "The cluster does not answer; try again in a moment."
            raise _error("kubernetes.unreachable", sentence) from error

    def refused(self, method: str, status: int, raw: bytes) -> BackendError:
        """The error for an answer that is none of the good ones."""
        message = _message(raw)
        trouble = refused_pod(message) if status < 500 and status != 409 else None
        if trouble is not None:
            self._say(f"{trouble.code}: {trouble.admin}")
            return _error(trouble.code, trouble.user)
        code, sentence, own = _PLAIN.get(
            status,
            ("kubernetes.busy", "The cluster cannot answer now; try again in a moment.", 503)
            if status >= 500
            else ("kubernetes.failed", "The cluster refused.", 500),
        )
        if code not in _QUIET:
            self._say(f"{code}: {method} was answered by {status}: {message}")
        return _error(code, sentence, own)

    def change_in(self, line: bytes) -> tuple[str, Mapping[str, Any]]:
        """One line of a watch. Raises BackendError for one that tells of an error, as `refused`."""
        try:
            document: dict[str, Any] = json.loads(line)
            what, thing = str(document["type"]), document["object"]
        except (ValueError, KeyError, TypeError) as error:
            raise _error("kubernetes.failed", "The cluster told something odd.", 500) from error
        if what == "ERROR":
            raise self.refused("watch", int(thing.get("code") or 500), json.dumps(thing).encode())
        return what, thing

    def _say(self, line: str) -> None:
        if self._repeats.due(line, time.monotonic()):
            log.warning("%s", line)


def in_trouble(trouble: Trouble) -> BackendError:
    """The error for what rules/pod_trouble.py has found; the admin's sentence is logged."""
    log.warning("%s: %s", trouble.code, trouble.admin)
    return _error(trouble.code, trouble.user)


def _error(code: str, sentence: str, status: int = 503) -> BackendError:
    return BackendError(sentence, code=code, remedy=ASK, status=status)


def _message(raw: bytes) -> str:
    try:
        text = str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        text = raw[:300].decode(errors="replace")
    return " ".join(text.split())[:1000]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
