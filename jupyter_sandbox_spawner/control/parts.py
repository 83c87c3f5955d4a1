"""What does every part of control share? Made once by app.py, frozen, handed down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..clients.broker import BrokerControlClient
from ..clients.gateway import GatewayClient
from ..clients.hub import HubClient
from ..clients.launcher import LauncherClient
from .audit import AuditLog
from .clock import Clock
from .denials import DenialLedger
from .isolation import HostLimits
from .policy import Policy
from .store import Store
from .terms import OwnTerms

__all__ = ["Parts", "Tuning"]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Times in seconds.

    `max_age`: the longest a server without a TTL may live, None = no limit. `settle`: no stop for idleness
    so soon after control's own start, since servers must first say again that a kernel is busy.
    `hub_patience`: how long the hub may leave a decided stop undone before the launcher is asked.
    `stops_at_once`: how many stops the hub is asked for at the same time, `stops_apart`: how soon after
    the last, so that what each costs its loop does not come in a heap. `patience`: how much of the
    reconciler's patience it has (1: all). `activity_every`: how rarely the hub is told that a server is used;
    `activity_per_second`: in how many calls at most.
    """

    max_age: int | None = None
    settle: float = 60.0
    hub_patience: float = 60.0
    stop_grace: float = 10.0
    reconcile_every: float = 60.0
    patience: float = 1.0
    routes_every: float = 10.0
    tick: float = 5.0
    usage_every: float = 60.0
    stops_at_once: int = 20
    stops_apart: float = 0.08
    activity_every: float = 1800.0
    activity_look: float = 60.0
    activity_per_second: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The shared parts of one running control. `internal_services` are the site's, by `name:port`; `runtimes`
    those of its profiles that start, () where that is not known. `egress_turn`: who holds it decides about
    requests for hosts, so that what is audited first is what is done then."""

    clock: Clock
    store: Store
    audit: AuditLog
    denials: DenialLedger
    terms: OwnTerms
    hub: HubClient
    launcher: LauncherClient
    gateway: GatewayClient
    broker: BrokerControlClient
    limits: HostLimits
    tuning: Tuning
    policy: Policy = field(default_factory=Policy)
    internal_services: Mapping[str, str] = field(default_factory=dict)
    runtimes: tuple[str, ...] = ()
    egress_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
