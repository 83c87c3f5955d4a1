"""What do the hub's pages say about a user's servers: how long they run, or why they ended?

Law: a page never waits for control longer than a moment, and is shown without notes rather than not at all.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..clients.control import ControlClient, Ended, control_socket
from ..errors import ProgramError
from ..rules.endings import FILES
from ..settings import SITE_VARIABLE, Site
from ..units import format_duration
from .catalogue import alarm, site_of
from .ways_on import Starting, WaysOn, starting, ways_on

__all__ = ["Note", "Notes", "last_ending", "note_of", "page_variables"]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
_PATIENCE = 1.5  # seconds


@dataclass(frozen=True, kw_only=True)
class Note:
    """One server on a page, in plain text; `why` is set for one that ended, `left` for one that runs.

    `soft` says which of its limits this host does not enforce; empty where all are hard. `warning` says when
    and why one that runs ends soon. `lines` are the last ones of a crashed one's log, `files` where the files
    of an ended one are.
    """

    server: str
    profile: str
    running: bool
    left: str = ""
    why: str = ""
    code: str = ""
    at: str = ""
    soft: str = ""
    warning: str = ""
    lines: tuple[str, ...] = ()
    files: str = ""


class Notes:
    """What the hub's templates see as `sandbox`; they await what these methods give."""

    async def of(self, user: str) -> list[Note] | None:
        """Every server of the user that runs or ended lately; None while control does not answer."""
        control = _control(_site())
        try:
            return [note_of(found) for found in await control.servers(user)]
        except ProgramError as error:
            log.warning("The home page of %s is shown without notes: %s", user, error)
            return None
        finally:
            await control.close()

    def alarm(self, is_admin: bool) -> str:
        """What admins must know of the profiles file: why its last edit is refused; "" for all others."""
        site = _site()
        return alarm(site.profiles, site.environments) if is_admin and site.profiles else ""

    def starting(self, spawner: Any) -> Starting:
        """How far the start of this server is."""
        return starting(spawner)

    def again(self, user: Any, server: str) -> WaysOn:
        """How this server could be started as it was the last time; `user` is the hub's object."""
        return ways_on(user, server)

    async def ending(self, user: str, server: str) -> Note | None:
        """See `last_ending`."""
        return await last_ending(_site(), user, server)


def page_variables() -> dict[str, Any]:
    """For `c.JupyterHub.template_vars`; a function there would be called by the hub, with a user."""
    return {"sandbox": Notes()}


def note_of(found: Ended) -> Note:
    """One server's line."""
    if found.status == "released":
        return Note(
            server=found.server,
            profile=found.profile,
            running=False,
            why=found.why,
            code=found.code,
            at=_moment(found.ended_at),
            lines=tuple(found.lines.splitlines()),
            files="" if found.code == "ended.user_deleted" else FILES,
        )
    return Note(
        server=found.server,
        profile=found.profile,
        running=True,
        left=_left(found),
        why=found.why if found.status == "stopping" else "",
        at=_moment(found.deadline),
        soft=", ".join(found.soft),
        warning=_warning(found),
    )


async def last_ending(site: Site, user: str, server: str) -> Note | None:
    """Why this server's last sandbox ended; None where it runs, never ran, or control does not answer."""
    control = _control(site)
    try:
        found = await control.last(user, server)
    except ProgramError as error:
        log.warning("A page of %s/%s is shown without a note: %s", user, server, error)
        return None
    finally:
        await control.close()
    return note_of(found) if found is not None and found.status == "released" else None


def _site() -> Site:
    return site_of(os.environ.get(SITE_VARIABLE, ""))


def _control(site: Site) -> ControlClient:
    return ControlClient(control_socket(site, "hub"), timeout=_PATIENCE)


def _left(found: Ended) -> str:
    parts = []
    if found.deadline is not None:
        seconds = max((found.deadline - found.now).total_seconds(), 0)
        parts.append(f"{format_duration(seconds)} left")
    if found.idle_timeout is not None:
        parts.append(f"stops when it is not used for {format_duration(found.idle_timeout)}")
    return "; ".join(parts) or "no time limit"


def _warning(found: Ended) -> str:
    if found.warned_at is None or found.status == "stopping":
        return ""
    left = max((found.warned_at - found.now).total_seconds(), 0)
    return f"Ends in {format_duration(left)}, at {_moment(found.warned_at)}: {found.warning}"


def _moment(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M} UTC"
