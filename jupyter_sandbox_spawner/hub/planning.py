"""What must be known before one start begins, and what is made of the spec that control admits?

Law: nothing that gateway or launcher are given is made before the admission, which may narrow the spec.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ..clients.control import AdmissionRequest
from ..clients.gateway import entry_of
from ..models import BootDocument, GatewayEntry, SandboxSpec, UserPlace
from ..names import sandbox_id
from ..rules.choosing import Choice
from ..rules.profiles import Defaults, to_spec
from .environment import boot_document
from .permission import admission_request

__all__ = ["Furniture", "StartPlan", "start_plan"]


@dataclass(frozen=True, kw_only=True)
class Furniture:
    """What gateway and launcher are given for one admitted spec."""

    spec: SandboxSpec
    entry: GatewayEntry
    document: BootDocument
    overlay: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StartPlan:
    """All that one start needs. `furnish` makes the rest of it for the spec that control admits.

    `secrets` are texts that no message may show; the server has to answer within `limit` seconds of `began`
    (of time.monotonic).
    """

    request: AdmissionRequest
    furnish: Callable[[SandboxSpec], Awaitable[Furniture]]
    secrets: tuple[str, ...] = ()
    began: float
    limit: float = 60.0


def start_plan(spawner: Any, choice: Choice, place: UserPlace, began: float) -> StartPlan:
    """The plan of one start of this spawner's server; the id of the new sandbox is in it."""
    site, groups, profile = spawner.site, spawner.groups, choice.profile
    image = next(iter(site.environments), "")
    defaults = Defaults(environment=image, runtime=site.runtime, carrier_uid=site.carrier_uid)
    new_id = sandbox_id(place.user, spawner.name, secrets.token_hex(16))
    spec = to_spec(profile, new_id, place, spawner.name, defaults)

    async def furnish(admitted: SandboxSpec) -> Furniture:
        server, expiry = spawner.server_plan(admitted), _expiry(spawner.start_timeout)
        return Furniture(
            spec=admitted,
            entry=entry_of(admitted, spawner.server.base_url),
            document=boot_document(server, admitted, expiry, profile.secrets, groups),
            overlay=await spawner.overlay(admitted),
        )

    return StartPlan(
        request=admission_request(choice, spec, groups, site),
        furnish=furnish,
        secrets=(spawner.api_token,),
        # Less than the hub's own limit, so that the user reads our sentence and not "timeout".
        began=began,
        limit=spawner.start_timeout * 0.9,
    )


def _expiry(seconds: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=2 * seconds)
