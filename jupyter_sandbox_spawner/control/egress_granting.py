"""Which hosts that were given to a user or group does a new sandbox reach from its start?

Law: policy is asked before the transaction, and what is in force is read within it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ..models import SandboxSpec
from ..rules.admission import AdmissionRequest
from ..rules.egress_requests import is_guarded, merged
from ..rules.policy import Question
from ..rules.policy_record import denial_detail
from ..rules.rulebook import Rulebook
from . import egress_records
from .parts import Parts

if TYPE_CHECKING:
    from .granting import Asking

__all__ = ["allowed", "opened", "told"]


async def allowed(parts: Parts, request: AdmissionRequest, book: Rulebook) -> frozenset[int]:
    """The numbers of the grants that policy lets this start have; the others are audited."""
    spec, now = request.spec, parts.clock.now()
    found = await parts.store.run(
        lambda db: egress_records.in_force(db, spec.id, spec.user, request.groups, now)
    )
    numbers = set()
    for grant in found:
        question = Question(
            point="egress",
            user=spec.user,
            groups=tuple(sorted(request.groups)),
            profile=spec.profile,
            resource=f"{grant.pattern}:{grant.port}",
        )
        ruling = await parts.policy.ask(question, book)
        if ruling.allow:
            numbers.add(grant.id)
        else:
            detail = {**denial_detail(ruling), "request": str(grant.request)}
            await parts.denials.denied("policy", spec.user, spec.server, **detail)
    return frozenset(numbers)


def opened(connection: Connection, now: datetime, asking: Asking, spec: SandboxSpec) -> SandboxSpec:
    """The spec with what is given to its user and groups beside the profile's own rules."""
    if is_guarded(spec):
        return replace(spec, egress=merged(spec.egress, ()))
    groups = asking.request.groups
    found = egress_records.in_force(connection, spec.id, spec.user, groups, now)
    return replace(spec, egress=merged(spec.egress, [grant for grant in found if grant.id in asking.egress]))


def told(spec: SandboxSpec) -> dict[str, Any]:
    """What the audit's line of the admission says of it."""
    given = {rule.text: rule.until.isoformat() for rule in spec.egress.rules if rule.until is not None}
    return {"egress_grants": given} if given else {}
