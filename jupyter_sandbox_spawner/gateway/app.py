"""How is the gateway put together? Spool, egress, API, registry, front, own socket: in this order."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ..clients.resolve import SystemResolver
from ..serving import (
    listening_socket,
    loopback_socket,
    private_directory,
    raise_descriptor_limit,
    until_signal,
)
from ..settings import Site
from .api import ApiDoor
from .doorway import Carriers
from .egress.own import OwnService
from .egress.proxy import EgressHandler
from .events import Spool
from .exchange import AnswerTimes
from .front import Front
from .ingress import HoldTimes
from .own_door import OwnDoor
from .registry import Registry, Surroundings
from .routes import routes_of

__all__ = ["Held", "run"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")


@dataclass(frozen=True)
class Held:
    """Descriptors of listening sockets that the supervisor holds; None where the gateway binds its own."""

    own: int | None = None
    front: int | None = None


async def run(site: Site, held: Held, hold: HoldTimes, times: AnswerTimes) -> None:
    """Serve until SIGTERM or SIGINT; sandboxes and their records stay."""
    limit = raise_descriptor_limit()
    private_directory(site.run_dir, site.shared_mode)
    spool_dir = private_directory(f"{site.state_dir}/gateway")
    async with AsyncExitStack() as stack:
        spool = Spool(f"{spool_dir}/events.ndjson")
        stack.callback(spool.close)
        egress = EgressHandler(SystemResolver(), site.internal_services, own=_own_services(site))
        stack.push_async_callback(egress.close)
        hub = (site.host_of("hub"), site.hub_port)
        api = ApiDoor(hub, site.control_socket("gateway"), site.broker_socket("gateway"), site.base_url)
        around = Surroundings(
            doors_dir=site.doors_dir,
            state_dir=f"{site.run_dir}/gateway",
            base_url=site.base_url,
            hub_origin=site.subdomain_host.rstrip("/"),
            own_host=bool(site.subdomain_host),
            hold=hold,
        )
        registry = Registry(around, Carriers(egress=egress.handle, api=api.handle), spool)
        stack.push_async_callback(registry.shut_down)
        await registry.restore()
        front = Front(registry.routes, times)
        stack.push_async_callback(front.close)
        await front.start(loopback_socket(site.front_port, held.front, site.listen_host))
        own = OwnDoor(site.callers_of("gateway"), routes_of(registry, spool, site.front_url))
        stack.push_async_callback(own.close)
        await own.start(listening_socket(site.gateway_socket, held.own))
        log.info("The gateway serves; %s descriptors, doors in %s.", limit, site.doors_dir)
        await until_signal()


def _own_services(site: Site) -> tuple[OwnService, ...]:
    if not site.tracking:
        return ()
    return (OwnService(name="mlflow.sandbox.internal", port=80, path=site.tracking_socket, called="MLflow"),)
