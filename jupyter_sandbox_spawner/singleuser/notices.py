"""What does a user read about warnings and about what was saved? Sentences, also from files beside us.

Law: what other processes wrote is printed without control characters, and a file that would hang is not read.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .inside.hook import places
from .inside.notices import FILE, printable
from .view import clock, when

__all__ = ["GivenWarning", "NewsForKernel", "last_save", "where_files_are"]

_MOST_BYTES = 1 << 16
_KINDS = ("warning", "save", "stopping")
_ANSWER = "egress_request"


@dataclass(frozen=True, kw_only=True)
class GivenWarning:
    """A warning that was given: when, why, and about which end."""

    told_at: datetime
    at: datetime | None
    code: str
    why: str

    def sentence(self, now: datetime) -> str:
        """One line for people."""
        return f"Warned at {clock(self.told_at, now)}: {self.why}"


def where_files_are() -> str:
    """How to get the files of a server that has ended."""
    return f"Your files are kept: they are in your home, {os.path.expanduser('~')}."


def last_save(server: str, environment: Mapping[str, str], since: datetime, now: datetime) -> str:
    """What the request to save did, in a sentence; "" where there was none after `since`."""
    document = _read(places({**environment, "JUPYTERHUB_SERVER_NAME": server})[0])
    try:
        at = datetime.fromisoformat(document["at"]).astimezone(timezone.utc)
        notebooks, hook = document["notebooks"], document["hook"]
        done = sum(item["checkpoint"] is True for item in notebooks)
        parts = [f"checkpoints of {done} of {len(notebooks)} open notebooks"] if notebooks else []
        parts += [_hook(hook)] if hook else []
        if at < since:
            return ""
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return f"Saved {when(at, now)}: {printable('; '.join(parts) or 'no notebook was open')}."


def _hook(hook: Mapping[str, Any]) -> str:
    ended = str(hook["error"]).rstrip(".") or f"ended with status {hook['status']}"
    return f"your before-stop hook: {ended} (its output: {hook['output']})"


class NewsForKernel:
    """The newest notice about an end, and the answers about hosts, that this kernel has not shown; costs one
    look at a file's time."""

    def __init__(self) -> None:
        directory = os.environ.get("JUPYTER_RUNTIME_DIR", "")
        self._path = os.path.join(directory, FILE) if directory else ""
        self._changed = 0
        self._shown = 0

    def line(self, now: float) -> str:
        """What to show above the next output, a line for each; "" for nothing."""
        try:
            changed = os.stat(self._path).st_mtime_ns
        except OSError:
            return ""
        if changed == self._changed:
            return ""
        self._changed = changed
        try:
            found = sorted(_read(self._path)["notices"], key=lambda item: item["id"])
            new = [item for item in found if item["id"] > self._shown]
            answers = [item for item in new if item["kind"] == _ANSWER]
            ends = [item for item in new if item["kind"] != _ANSWER][-1:]
            ends = [item for item in ends if item["kind"] in _KINDS and (item["at"] or now + 1) > now]
            lines = [f"Sandbox: {printable(str(item['why']))}" for item in [*answers, *ends]]
            self._shown = max([self._shown, *(item["id"] for item in new)])
        except (KeyError, TypeError, ValueError):
            return ""
        return "\n".join(lines)


def _read(path: str) -> Any:
    """A small JSON file's content; {} for what is not one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            raw = file.read(_MOST_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"{}"
        return json.loads(raw)
    except (OSError, ValueError, RecursionError):
        return {}
