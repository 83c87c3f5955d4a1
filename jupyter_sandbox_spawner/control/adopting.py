"""What is recorded of a running sandbox whose record was lost? What its labels and its profile say today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert

from ..gpus import GpuDevice
from ..models import Resources
from ..rules.datasets import LONGEST, inside_only
from ..rules.grants import Grant, decide_grants
from ..wire import encode
from . import ledger
from .tables import sandboxes

__all__ = ["NOTICE", "Adopted", "adopt"]

NOTICE = timedelta(minutes=30)  # the first warning of every end


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A running sandbox whose record was lost; what its profile says today holds for it.

    `gpus` are the devices that its backend's labels name; they are its own again. `zone` is the launcher's
    word: in one it is as narrow as one that was admitted there, whatever its profile says. `since`: when it
    was started, by the launcher's record; None where that does not say. `max_age`: the site's, in seconds.
    """

    id: str
    user: str
    server: str
    profile: str
    ttl: int | None
    idle_timeout: int | None
    zone: str = ""
    since: datetime | None = None
    max_age: int | None = None
    secrets: tuple[Grant, ...] = ()
    resources: Resources | None = None
    gpus: tuple[GpuDevice, ...] = ()


def adopt(connection: Connection, found: Adopted, now: datetime) -> None:
    """Record it. Its time goes on from its start; what was over meanwhile ends after NOTICE, since an
    extension may be lost with the record, and so that its user is warned. Idleness counts from now: a wish
    to be kept is lost, too."""
    # Of its groups nobody knows, so it counts for its user and its profile only.
    held = found.resources or Resources(cpu=0, memory=0)
    owner = ledger.Owner(sandbox=found.id, user=found.user, server=found.server, profile=found.profile)
    ledger.hold(connection, now, owner, held, (), ledger.not_given(connection, found.gpus))
    ttl = min(found.ttl or LONGEST, LONGEST) if found.zone else found.ttl
    since = min(found.since or now, now)
    deadline = None if ttl is None else _deadline(now, since, timedelta(seconds=ttl))
    secrets = inside_only(found.secrets, found.zone)
    connection.execute(
        insert(sandboxes).values(
            id=found.id,
            user=found.user,
            server=found.server,
            profile=found.profile,
            profile_digest="",
            status="ready",
            spec={"zone": found.zone},
            admitted_at=since,
            ready_at=since if found.max_age is None else _counted_from(now, since, found.max_age),
            idle_floor=now,
            deadline=deadline,
            first_deadline=deadline,
            idle_timeout=found.idle_timeout,
            audited=True,
            # Nobody remembers its user's groups, so grants that speak of them are not given.
            grants=[encode(item) for item in decide_grants(found.user, (), secrets).granted],
        )
    )


def _counted_from(now: datetime, since: datetime, max_age: int) -> datetime:
    """Where age begins, so that a max age that is over by now ends after NOTICE."""
    return min(max(since, now + NOTICE - timedelta(seconds=max_age)), now)


def _deadline(now: datetime, since: datetime, ttl: timedelta) -> datetime:
    return min(max(since + ttl, now + NOTICE), now + ttl)
