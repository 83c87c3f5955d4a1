"""What do people and programs read about requests for hosts? Records turned into JSON documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..rules.egress import holds
from ..rules.egress_requests import EgressGrant, rule_text
from ..rules.egress_words import shown
from .egress_records import EgressRequest
from .records import SandboxRecord
from .views import timestamp

__all__ = ["allowed_view", "grant_view", "own_view", "request_view", "self_view"]


def allowed_view(record: SandboxRecord, now: datetime) -> list[Any]:
    """What it may reach now; what ends, with its end."""
    spec = record.known_spec()
    if spec is None:
        return []
    return shown(spec.egress, now)


def self_view(record: SandboxRecord, request: EgressRequest, now: datetime) -> dict[str, Any]:
    """A request, for whoever reads it in this sandbox; `here`: it has now what was given."""
    spec, given = record.known_spec(), rule_text(request.pattern or "", request.port, request.id)
    rules = () if spec is None else spec.egress.rules
    here = any(rule.text == given and holds(rule, now) for rule in rules if rule.until is not None)
    return {**own_view(request, now), "here": here}


def own_view(request: EgressRequest, now: datetime) -> dict[str, Any]:
    """A request, for whoever asked."""
    return {
        "id": request.id,
        "host": request.host,
        "port": request.port,
        "why": request.why,
        "status": request.status_at(now),
        "asked_at": timestamp(request.asked_at),
        "decided_at": timestamp(request.decided_at),
        "answer": request.answer,
        "scope": request.scope,
        "until": timestamp(request.until),
    }


def request_view(request: EgressRequest, now: datetime, internal: bool) -> dict[str, Any]:
    """A request, for admins; `internal`: it is for a service of the site's own network."""
    return {
        **own_view(request, now),
        "internal": internal,
        "sandbox": request.sandbox,
        "sandbox_open": request.is_held,
        "user": request.user,
        "server": request.server,
        "profile": request.profile,
        "groups": request.groups,
        "decided_by": request.decided_by,
        "grant": request.grant,
        "pattern": request.pattern,
        "name": request.name,
    }


def grant_view(grant: EgressGrant, now: datetime) -> dict[str, Any]:
    """A grant, for admins."""
    return {
        "id": grant.id,
        "request": grant.request,
        "pattern": grant.pattern,
        "port": grant.port,
        "scope": grant.scope,
        "name": grant.name,
        "since": timestamp(grant.since),
        "until": timestamp(grant.until),
        "by": grant.by,
        "why": grant.why,
        "revoked_by": grant.revoked_by,
        "revoked_at": timestamp(grant.revoked_at),
        "active": grant.revoked_at is None and grant.until > now,
    }
