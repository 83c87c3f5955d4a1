"""What does the database say about one user: the newest of each server, and since when the name is theirs?

Law: a user who is deleted keeps nothing under the name, so that the next of that name finds nothing there.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, or_, select, update

from ..names import stable_hash
from . import data_records, egress_records, ledger, usage_records
from .records import OPEN, SandboxRecord, release, select_records
from .tables import sandboxes, settings

__all__ = ["began_anew", "newest_of_servers", "put_away"]


def newest_of_servers(connection: Connection, user: str, since: datetime) -> list[SandboxRecord]:
    """Each server's newest record if it is open or was released after `since`, by server name."""
    mine = select(sandboxes).where(sandboxes.c.user == user)
    wanted = mine.where(or_(sandboxes.c.status.in_(OPEN), sandboxes.c.released_at >= since))
    found = select_records(connection, wanted.order_by(sandboxes.c.server, sandboxes.c.admitted_at))
    return list({record.server: record for record in found}.values())


def put_away(connection: Connection, user: str, now: datetime) -> list[SandboxRecord]:
    """Close the deleted user's records and keep them under a name that nobody can have; which they were."""
    found = select_records(connection, select(sandboxes).where(sandboxes.c.user == user))
    for record in found:
        release(connection, record.id, "ended.user_deleted", "Its user was deleted.", now)
    # "/" is in no user's name.
    kept_as = f"/deleted/{now:%Y%m%dT%H%M%SZ}/{user}"[:255]
    connection.execute(update(sandboxes).where(sandboxes.c.user == user).values(user=kept_as))
    usage_records.put_away(connection, user, kept_as)
    ledger.put_away(connection, user, kept_as)
    data_records.forget_user(connection, user, now)
    egress_records.put_away(connection, user, kept_as, now)
    name = _name_of_user(user)
    connection.execute(delete(settings).where(settings.c.name == name))
    connection.execute(insert(settings).values(name=name, at=now))
    return found


def began_anew(connection: Connection, user: str) -> datetime | None:
    """Since when the name belongs to this person; None: always."""
    found = connection.execute(select(settings.c.at).where(settings.c.name == _name_of_user(user)))
    return found.scalar_one_or_none()


def _name_of_user(user: str) -> str:
    return f"user.since.{stable_hash('user', user, length=32)}"
