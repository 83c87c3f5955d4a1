"""What does PostgreSQL mean when it refuses? Its SQLSTATE to our code, with what to do.

ref: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError

from .databases import StoreError

__all__ = ["LOCKED", "explain_postgresql"]

LOCKED = "55P03"  # lock_not_available: lock_timeout was over
_AWAY = ("08", "57P", "53300")  # connection exceptions, shutdowns, too many connections
_DENIED = ("28", "42501", "3D000", "25006")  # login, privilege, no such database, read-only
# A server that refuses a connection does so before it sends a SQLSTATE that libpq shows.
_REFUSALS = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
    "no password",
)
_UNKNOWN = "Whether this was recorded is not known; control compares with what runs and mends it."


def explain_postgresql(name: str, error: DBAPIError, committing: bool) -> StoreError:
    """The error for a person. `committing`: what was asked may have been recorded before the loss."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    said = " ".join(str(error.orig).split())
    if state == LOCKED:
        return StoreError(
            f"The database {name} is locked by another process for more than a few seconds.",
            code="database.locked",
            remedy="Try again in a moment; the admin finds the process in pg_stat_activity and pg_locks.",
        )
    if state == "53100":
        return StoreError(
            f"The disk of the database {name} is full.",
            code="database.full",
            remedy="Ask your admin to make room there; nothing was recorded.",
        )
    if state in ("XX001", "XX002"):
        return StoreError(
            f"The database {name} is damaged ({said}).",
            code="database.corrupt",
            remedy="Restore its backup, or give control an empty one: running servers are adopted,"
            " deadlines begin anew.",
        )
    # What cannot even be sent, such as a text with NUL, has no SQLSTATE either.
    lost = error.connection_invalidated or not (state or isinstance(error, DataError))
    if state.startswith(_DENIED) or (not state and any(words in said for words in _REFUSALS)):
        return StoreError(
            f"The database {name} refuses control ({said}).",
            code="database.denied",
            remedy="The admin checks user, password file and pg_hba.conf, and that control's user owns it.",
        )
    if lost or state.startswith(_AWAY):
        return StoreError(
            f"The database {name} does not answer ({said}).",
            code="database.unreachable",
            remedy=_UNKNOWN if committing else "Nothing was recorded; try again when it runs.",
        )
    return StoreError(f"The database {name} cannot be used ({said}).", remedy="Control's log has more.")
