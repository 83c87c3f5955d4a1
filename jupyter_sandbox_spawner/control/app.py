"""How is control put together, started and ended? Parts, loops, four sockets and a loopback port."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, timedelta

from aiohttp import web

from ..clients.broker import BrokerControlClient
from ..clients.control import control_socket
from ..clients.hub import HubClient, read_token
from ..clients.launcher import LauncherClient
from ..clients.pod_gateway import gateway_of
from ..errors import ProgramError
from ..rules.audit import Entry
from ..rules.page_cookies import Place
from ..rules.profiles import Defaults
from ..serving import application, listening_socket, loopback_socket, private_directory
from ..settings import Site
from . import happenings
from .accounting import Accounting
from .admission import close_interrupted
from .api_admin import AdminApi
from .api_broker import BrokerApi
from .api_datasets import DatasetsApi
from .api_hub import HubApi
from .api_public import PublicApi
from .api_self import SelfApi
from .audit import AuditLog
from .catalogues import Catalogues
from .clock import Clock, SystemClock
from .denials import DenialLedger
from .forgetting import forget_ended
from .gateway_events import GatewayEvents
from .isolation import HostLimits
from .lifetime import Lifetime
from .parts import Parts, Tuning
from .people import People
from .policy import Policy
from .reconciler import Reconciler
from .relaying import ActivityRelay
from .routes import RouteKeeper
from .signals import Watcher
from .stopping import Stopper
from .store import Store, database_of
from .terms import OwnTerms

__all__ = ["CALLERS", "PUBLIC", "Sockets", "run"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
CALLERS = ("hub", "gateway", "broker", "admin")
PUBLIC = "public"
_AFTER_ERROR = 1.0  # seconds before a failed pass is repeated: what it needs is a program that restarts
_SIGN_EVERY = 60.0
_EVENTS_KEPT = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Sockets:
    """Listening sockets by descriptor where a supervisor holds them, and who may use each (uids)."""

    descriptors: Mapping[str, int]
    callers: Mapping[str, frozenset[int]]


async def run(
    site: Site, token_file: str, sockets: Sockets, tuning: Tuning, clock: Clock | None = None
) -> None:
    """Run control until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, site, token_file, tuning, clock or SystemClock())
        await close_interrupted(parts)
        watcher, stopper = Watcher(parts), Stopper(parts)
        lifetime = Lifetime(parts, watcher, stopper)
        stack.push_async_callback(lifetime.close)
        reconciler = Reconciler(parts, stopper, lifetime)
        people = People(parts)
        hub_api = HubApi(parts, lifetime, stopper, watcher, people)
        admin_api = AdminApi(parts, lifetime, reconciler, watcher)
        apis: dict[str, HubApi | SelfApi | BrokerApi | AdminApi] = {
            "hub": hub_api,
            "gateway": SelfApi(parts, people, lifetime, stopper, watcher),
            "broker": BrokerApi(parts),
            "admin": admin_api,
        }
        datasets = DatasetsApi(parts)
        for caller, api in apis.items():
            app = application(sockets.callers.get(caller, frozenset()))
            api.add_to(app)
            if caller == "admin":
                datasets.add_to(app)
            await _serve(stack, app, _listener(site, caller, sockets))
        public = application(None)
        PublicApi(parts, admin_api, _place(site)).add_to(public)
        datasets.add_to(public, site.admin_prefix)
        await _serve(stack, public, _public_listener(site, sockets))
        await lifetime.load()
        routes = _route_keeper(parts, site)
        loops = _loops(parts, lifetime, reconciler, routes)
        accounting = Accounting(parts, site.usage_days, watcher.note)
        further = {
            "usage": accounting.step,
            "activity": ActivityRelay(parts).step,
            "egress": reconciler.egress.step,
        }
        await _until_signal({**loops, **further})


def _route_keeper(parts: Parts, site: Site) -> RouteKeeper:
    host = site.host_of("proxy")
    return RouteKeeper(parts, site.front_url, site.proxy_api_port, site.base_url, host)


def _place(site: Site) -> Place:
    return Place(
        prefix=site.admin_prefix,
        hub=f"{site.subdomain_host}{site.base_url}hub",
        own_host=site.own_service_hosts,
    )


async def _parts(stack: AsyncExitStack, site: Site, token_file: str, tuning: Tuning, clock: Clock) -> Parts:
    token = read_token(token_file)
    audit = await stack.enter_async_context(AuditLog(f"{site.state_dir}/audit", clock))
    ordinary = os.geteuid() != 0 and not site.program_uids
    for name, weaker in (
        ("one_uid", site.one_uid or ordinary),
        ("accept_shared_origin", site.accept_shared_origin),
    ):
        if weaker:
            # A weaker set-up than the product's own: whoever reads the audit later has to know.
            await audit.write(Entry(actor="admin", action=f"site.{name}", outcome="allowed"))
    store = await stack.enter_async_context(Store(database_of(site)))
    hub = await stack.enter_async_context(HubClient(site.hub_api_url, token))
    launcher, gateway = LauncherClient(site.launcher_socket), gateway_of(site)
    stack.push_async_callback(launcher.close)
    stack.push_async_callback(gateway.close)
    broker = await stack.enter_async_context(BrokerControlClient(site.broker_socket("control")))
    policy = Policy()
    stack.push_async_callback(policy.close)
    return Parts(
        clock=clock,
        store=store,
        audit=audit,
        denials=DenialLedger(audit, clock),
        terms=_terms(site, audit),
        hub=hub,
        launcher=launcher,
        gateway=gateway,
        broker=broker,
        limits=HostLimits(launcher),
        tuning=tuning,
        policy=policy,
        internal_services=site.internal_services,
        runtimes=site.runtimes if site.backend != "docker" else (),
    )


def _terms(site: Site, audit: AuditLog) -> OwnTerms:
    # What a profile gets where it is silent, by the same words as in the hub plugin (hub/planning.py).
    defaults = Defaults(environment=next(iter(site.environments), ""), runtime=site.runtime)
    return OwnTerms(site.profiles, site.servers_per_user, tuple(site.environments), defaults, audit)


async def _serve(stack: AsyncExitStack, app: web.Application, listener: socket.socket) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, backlog=1024).start()


def _listener(site: Site, caller: str, sockets: Sockets) -> socket.socket:
    descriptor = sockets.descriptors.get(caller)
    path = control_socket(site, caller)
    if descriptor is None:
        private_directory(path.rpartition("/")[0])
    return listening_socket(path, descriptor)


def _public_listener(site: Site, sockets: Sockets) -> socket.socket:
    descriptor = sockets.descriptors.get(PUBLIC)
    return loopback_socket(site.control_port, descriptor, site.listen_host)


def _loops(
    parts: Parts, lifetime: Lifetime, reconciler: Reconciler, routes: RouteKeeper
) -> dict[str, Callable[[], Awaitable[object]]]:
    events = GatewayEvents(parts)
    looked: date | None = None

    async def reconcile() -> None:
        await reconciler.step()
        await asyncio.sleep(reconciler.pause())

    async def keep_house() -> None:
        await asyncio.sleep(_SIGN_EVERY)
        await parts.audit.recover()
        await parts.denials.close_windows()
        await parts.audit.sign()
        now = parts.clock.now()
        await parts.store.run(lambda db: happenings.forget_old(db, now - _EVENTS_KEPT))
        nonlocal looked
        if now.date() != looked:
            await parts.store.run(lambda db: forget_ended(db, now))
            # Once a day: it reads every line that ended, and admissions wait for it.
            looked = now.date()

    async def read_profiles() -> None:
        await parts.terms.state()
        await asyncio.sleep(parts.tuning.tick)

    return {
        "profiles": read_profiles,
        "lifetime": lifetime.step,
        "reconciler": reconcile,
        "events": events.step,
        "routes": routes.step,
        "proxy": routes.watch_proxy,
        "house": keep_house,
        "catalogues": Catalogues(parts).step,
    }


async def _until_signal(loops: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tasks = [asyncio.create_task(_forever(name, step), name=name) for name, step in loops.items()]
    try:
        await stopping.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forever(name: str, step: Callable[[], Awaitable[object]]) -> None:
    said = ""
    while True:
        try:
            await step()
            said = ""
        except ProgramError as error:
            # Other programs restart; their absence is said once, not every second.
            if error.code != said:
                log.warning("%s: %s", name, error)
            said = error.code
            await asyncio.sleep(_AFTER_ERROR)
        except Exception:
            # One bad pass must end neither the other loops nor the next pass; the log has its traceback.
            log.exception("%s: a pass failed", name)
            await asyncio.sleep(_AFTER_ERROR)
