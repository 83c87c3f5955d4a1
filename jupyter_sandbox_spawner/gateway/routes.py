"""What may other programs ask of the gateway? One call of the registry each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import BootError, ConfigurationError
from ..leftovers import Leftovers
from ..models import BootDocument, EgressPolicy, GatewayEntry, OpenDoors
from ..rules.pod_doors import PodDenial, checked
from ..wire import decode_json, encode
from .events import Spool
from .metrics import render
from .own_door import Asked, Route, Text
from .registry import Registry

__all__ = ["routes_of"]

_LONGEST_POLL = 600.0  # seconds
_LONGEST_DRAIN = 30.0  # seconds
_OK = {"ok": True}


@dataclass(frozen=True)
class _Acknowledged:
    seq: int


@dataclass(frozen=True)
class _Drain:
    """Why it is stopped, and the seconds that running requests may go on; 0: WebSockets stay too."""

    why: str = ""
    timeout: float = 0.0


class _Routes:
    def __init__(self, registry: Registry, spool: Spool, front_url: str) -> None:
        self._registry = registry
        self._spool = spool
        self._front_url = front_url

    async def open(self, asked: Asked) -> Any:
        directory = await self._registry.open(asked.sandbox, decode_json(GatewayEntry, asked.body))
        return encode(OpenDoors(directory=directory, front_url=self._front_url))

    async def boot(self, asked: Asked) -> Any:
        sandbox = self._registry.get(asked.sandbox)
        sandbox.boot.offer(decode_json(BootDocument, asked.body))
        return _OK

    async def ready(self, asked: Asked) -> Any:
        sandbox = self._registry.get(asked.sandbox)
        ready = await sandbox.wait_ready(_number(asked, "timeout", 0.0, _LONGEST_POLL))
        if sandbox.boot.aborted.is_set():
            raise BootError(
                "Another uid connected to the boot door; this start is aborted.",
                code="boot.foreign",
                remedy="Start the server again; the gateway's events name the uid.",
            )
        return {"ready": ready}

    async def egress(self, asked: Asked) -> Any:
        await self._registry.set_egress(asked.sandbox, decode_json(EgressPolicy, asked.body))
        return _OK

    async def drop_timed(self, asked: Asked) -> Any:
        await self._registry.drop_timed(asked.sandbox)
        return _OK

    async def drain(self, asked: Asked) -> Any:
        leaving = self._registry.get(asked.sandbox).leaving
        body = decode_json(_Drain, asked.body or b"{}")
        return {"running": await leaving.drain(body.why, min(body.timeout, _LONGEST_DRAIN))}

    async def close(self, asked: Asked) -> Any:
        await self._registry.close(asked.sandbox)

    async def inventory(self, asked: Asked) -> Any:
        return [encode(sandbox.inventory()) for sandbox in self._registry]

    async def leftovers(self, asked: Asked) -> Any:
        return encode(Leftovers(items=self._registry.leftovers()))

    async def events(self, asked: Asked) -> Any:
        after = int(_number(asked, "after", 0, 2**62))
        found = await self._spool.after(after, _number(asked, "timeout", 0.0, _LONGEST_POLL))
        return [encode(event) for event in found]

    async def acknowledge(self, asked: Asked) -> Any:
        self._spool.acknowledge(decode_json(_Acknowledged, asked.body).seq)
        return _OK

    async def denied(self, asked: Asked) -> Any:
        self._registry.pod_denied(asked.sandbox, checked(decode_json(PodDenial, asked.body)))

    async def health(self, asked: Asked) -> Any:
        return _OK

    async def metrics(self, asked: Asked) -> Any:
        return Text(render(self._registry, self._spool))


def routes_of(registry: Registry, spool: Spool, front_url: str) -> tuple[Route, ...]:
    """The gateway's own API."""
    routes = _Routes(registry, spool, front_url)
    return (
        Route("PUT", "/sandboxes/{id}", routes.open),
        Route("PUT", "/sandboxes/{id}/boot", routes.boot),
        Route("GET", "/sandboxes/{id}/ready", routes.ready),
        Route("PATCH", "/sandboxes/{id}/egress", routes.egress),
        Route("DELETE", "/sandboxes/{id}/egress", routes.drop_timed),
        Route("POST", "/sandboxes/{id}/drain", routes.drain),
        Route("DELETE", "/sandboxes/{id}", routes.close),
        Route("GET", "/sandboxes", routes.inventory),
        Route("GET", "/leftovers", routes.leftovers),
        Route("GET", "/events", routes.events),
        Route("POST", "/events/ack", routes.acknowledge),
        Route("POST", "/sandboxes/{id}/denied", routes.denied),
        Route("POST", "/denied", routes.denied),
        Route("GET", "/health", routes.health),
        Route("GET", "/metrics", routes.metrics),
    )


def _number(asked: Asked, name: str, default: float, most: float) -> float:
    text = asked.query.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ConfigurationError(
            f"{name}: {text!r} is not between 0 and {most}.", code="wire.invalid", field=name
        )
    return value
