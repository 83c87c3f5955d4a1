"""Which requests and grants are on an admin's page?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, or_

from ..rules.egress_requests import EgressGrant, Status
from .egress_records import EgressRequest, grants_where, is_in_force, requests_where
from .tables_egress import egress_grants, egress_requests

__all__ = ["Page", "grants", "listed"]

_R, _G = egress_requests.c, egress_grants.c
_MOST = 500


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which requests are wanted: of a status and user, numbered below `before`."""

    status: Status | None = None
    user: str | None = None
    before: int | None = None
    limit: int = 100


def listed(connection: Connection, page: Page, now: datetime) -> list[EgressRequest]:
    """A page for admins, the latest first."""
    wanted: list[ColumnElement[bool]] = [] if page.status is None else [_has(page.status, now)]
    wanted += [] if page.user is None else [_R.user == page.user]
    wanted += [] if page.before is None else [_R.id < page.before]
    return requests_where(connection, wanted, max(1, min(page.limit, _MOST)))


def grants(connection: Connection, only_active: bool, now: datetime) -> list[EgressGrant]:
    """The newest ones, the latest first."""
    return grants_where(connection, [is_in_force(now)] if only_active else [], _MOST)


def _has(status: Status, now: datetime) -> ColumnElement[bool]:
    """The condition that rules/egress_requests.py `status_of` gives this status."""
    if status == "approved":
        return and_(_R.status == "approved", is_in_force(now))
    if status == "revoked":
        return and_(_R.status == "approved", _G.revoked_at.is_not(None))
    if status == "expired":
        past = or_(_G.until.is_(None), _G.until <= now)
        return or_(_R.status == "expired", and_(_R.status == "approved", _G.revoked_at.is_(None), past))
    return _R.status == status
