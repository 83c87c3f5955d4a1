"""Who lives around control in these tests? A hub, a launcher and a gateway: tiny real servers.

Law: they keep just what control asks about; a test changes their state and reads what they were told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import web

from jupyter_sandbox_spawner.clients.control import AdmissionRequest, ProfileTerms
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory
from jupyter_sandbox_spawner.leftovers import Leftover, Leftovers
from jupyter_sandbox_spawner.models import (
    Capabilities,
    EgressPolicy,
    Event,
    GatewayInventory,
    InventoryItem,
    Mount,
    Resources,
    SandboxSpec,
    Status,
    Usage,
    Usages,
)
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.egress import timed_digest
from jupyter_sandbox_spawner.wire import decode, encode

START = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
TOKEN = "control-token"


def spec(user: str = "alice", server: str = "", nonce: str = "1", **more: Any) -> SandboxSpec:
    """A small sandbox."""
    return SandboxSpec(
        id=sandbox_id(user, server, nonce),
        user=user,
        server=server,
        profile="cpu-small",
        profile_digest="d1",
        environment_name="user",
        host_uid=3_000_000,
        resources=Resources(cpu=1, memory=1 << 30),
        mounts=(Mount(kind="home", source="/h", target="/home/jovyan", read_only=False),),
        **more,
    )


def asked(wanted: SandboxSpec, **terms: Any) -> AdmissionRequest:
    """A request for it."""
    return AdmissionRequest(spec=wanted, terms=ProfileTerms(slug="cpu-small", digest="d1", **terms))


class SettableClock:
    """Wall and boot clock under the test's control; `pass_time` moves both, `jump` the wall alone."""

    def __init__(self, now: datetime = START) -> None:
        self.wall = now
        self.since_boot = 1000.0
        self.boot_id = "boot-1"

    def now(self) -> datetime:
        return self.wall

    def elapsed(self) -> float:
        return self.since_boot

    def boot(self) -> str:
        return self.boot_id

    def pass_time(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.since_boot += seconds

    def jump(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)


@dataclass
class HubWithServers:
    """A hub that knows servers, routes and tokens, and ends a server when told."""

    servers: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[tuple[str, str]] = field(default_factory=list)
    people: set[str] = field(default_factory=set)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    checks: int = 0
    broken: bool = False
    fails_at: dict[str, int] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    on_stop: Callable[[str, str], None] = lambda user, server: None
    on_check: Callable[[], None] = lambda: None
    on_page: Callable[[], None] = lambda: None

    def add(self, user: str, server: str = "", **more: Any) -> None:
        """A ready server."""
        url = f"/user/{user}/{server}/" if server else f"/user/{user}/"
        self.servers[user, server] = {"name": server, "ready": True, "pending": None, "url": url, **more}

    def app(self) -> web.Application:
        """Its API, as far as control uses it."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/hub/api/", self._version),
                web.post("/hub/api/oauth2/token", self._code),
                web.get("/hub/api/users", self._users),
                web.get("/hub/api/user", self._user),
                web.get("/hub/api/proxy", self._routes),
                web.post("/hub/api/proxy", self._check),
                web.post("/hub/api/users/{user}/activity", self._activity),
                web.delete("/hub/api/users/{user}/server", self._stop),
                web.delete("/hub/api/users/{user}/servers/{server}", self._stop),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.broken:
            raise web.HTTPServiceUnavailable
        token = request.headers.get("Authorization", "").removeprefix("token ")
        if token != TOKEN and token not in self.tokens:
            return web.json_response({"message": "who?"}, status=403)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "6.1.1"})

    async def _code(self, request: web.Request) -> web.Response:
        """A code is good once, as the hub's are."""
        token = self.codes.pop(str((await request.post()).get("code")), None)
        if token is None:
            return web.json_response({"message": "invalid_grant"}, status=400)
        return web.json_response({"access_token": token, "token_type": "Bearer"})

    async def _users(self, request: web.Request) -> web.Response:
        if request.query.get("state") != "active":
            names = sorted(self.people | {user for user, _ in self.servers})
            return _page(request, [{"name": name} for name in names])
        users: dict[str, dict[str, Any]] = {}
        for (user, server), model in sorted(self.servers.items()):
            users.setdefault(user, {"name": user, "servers": {}})["servers"][server] = model
        answer = _page(request, list(users.values()))
        self.on_page()
        return answer

    async def _user(self, request: web.Request) -> web.Response:
        return web.json_response(self.tokens[request.headers["Authorization"].removeprefix("token ")])

    async def _routes(self, request: web.Request) -> web.Response:
        items = {spec: {"routespec": spec, "target": target} for spec, target in sorted(self.routes.items())}
        return _page(request, items)

    async def _check(self, request: web.Request) -> web.Response:
        self.checks += 1
        self.on_check()
        return web.Response(status=201)

    async def _activity(self, request: web.Request) -> web.Response:
        user, body = request.match_info["user"], await request.json()
        if user in self.fails_at:
            return web.json_response({"message": "It failed"}, status=self.fails_at[user])
        if any((user, server) not in self.servers for server in body["servers"]):
            return web.json_response({"message": "No such server"}, status=400)
        self.told.append((user, body))
        return web.Response()

    async def _stop(self, request: web.Request) -> web.Response:
        key = request.match_info["user"], request.match_info.get("server", "")
        self.deleted.append(key)
        if self.servers.pop(key, None) is None:
            return web.json_response({"message": "not running"}, status=400)
        self.on_stop(*key)
        return web.Response(status=204)


def _page(request: web.Request, items: Any) -> web.Response:
    offset, limit = int(request.query["offset"]), int(request.query["limit"])
    keys = list(items)[offset : offset + limit] if isinstance(items, dict) else None
    page = {key: items[key] for key in keys} if keys is not None else items[offset : offset + limit]
    more = {"offset": offset + limit, "limit": limit} if offset + limit < len(items) else None
    return web.json_response({"items": page, "_pagination": {"next": more}})


@dataclass
class LauncherWithSandboxes:
    """A launcher whose sandboxes use as much CPU, and of their GPUs, as the test says."""

    items: dict[str, InventoryItem] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    gpu_busy: dict[str, float] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    on_usage: Callable[[str], object] = lambda sandbox: None
    limits: dict[str, bool] = field(default_factory=lambda: {"cpu": True, "memory": True, "pids": True})
    devices: tuple[GpuDevice, ...] = ()
    notes: tuple[str, ...] = ()
    leftovers: list[Leftover] = field(default_factory=list)
    cleared: list[tuple[str, str]] = field(default_factory=list)

    def use(self, sandbox: str, seconds: float) -> None:
        """It used that much CPU."""
        self.cpu[sandbox] = self.cpu.get(sandbox, 0.0) + seconds

    def add(self, wanted: SandboxSpec, status: str = "running", **more: Any) -> None:
        """A sandbox."""
        value: Any = status
        self.items[wanted.id] = InventoryItem(
            id=wanted.id,
            user=wanted.user,
            server=wanted.server,
            status=Status(value=value, **more),
            labels={"profile": wanted.profile, "gpus": " ".join(wanted.gpu_devices)},
        )

    def app(self) -> web.Application:
        """Its API, as far as control uses it."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/capabilities", self._capabilities),
                web.get("/canary", self._canary),
                web.get("/gpus", self._gpus),
                web.get("/sandboxes", self._list),
                web.get("/sandboxes/{id}/usage", self._usage),
                web.get("/usages", self._usages),
                web.get("/leftovers", self._leftovers),
                web.delete("/leftovers/{kind}/{name}", self._clear),
                web.post("/sandboxes/{id}/stop", self._stop),
                web.delete("/sandboxes/{id}", self._remove),
            ]
        )
        return app

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([encode(item) for item in self.items.values()])

    async def _leftovers(self, request: web.Request) -> web.Response:
        return web.json_response(encode(Leftovers(items=tuple(self.leftovers))))

    async def _clear(self, request: web.Request) -> web.Response:
        name = request.match_info["kind"], request.match_info["name"]
        self.cleared.append(name)
        self.leftovers = [item for item in self.leftovers if (item.kind, item.name) != name]
        return web.json_response({"cleared": True})

    async def _canary(self, request: web.Request) -> web.Response:
        proof = {"proved": True, "why": "", "at": "2026-11-25T11:00:00Z"}
        return web.json_response({**proof, "runtimes": {"runc": proof}, "running": []})

    async def _gpus(self, request: web.Request) -> web.Response:
        return web.json_response(encode(GpuInventory(devices=self.devices, notes=self.notes)))

    async def _capabilities(self, request: web.Request) -> web.Response:
        hard = all(self.limits.values())
        found = Capabilities(backend="oci", level="hard" if hard else "soft", limits=self.limits, runtimes={})
        return web.json_response(encode(found))

    async def _usage(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.items:
            return web.json_response({"code": "sandbox.unknown", "message": "?"}, status=404)
        self.on_usage(name)
        return web.json_response(encode(self._used(name)))

    async def _usages(self, request: web.Request) -> web.Response:
        return web.json_response(encode(Usages(sandboxes={name: self._used(name) for name in self.cpu})))

    def _used(self, name: str) -> Usage:
        cpu, busy = self.cpu.get(name, 0.0), self.gpu_busy.get(name)
        return Usage(cpu_seconds=cpu, memory=1, memory_peak=1, pids=1, gpu_busy=busy)

    async def _stop(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self.items:
            return web.json_response({"code": "sandbox.unknown", "message": "?"}, status=404)
        return web.json_response(encode(Status(value="stopped", exit_code=0)))

    async def _remove(self, request: web.Request) -> web.Response:
        self.removed.append(request.match_info["id"])
        self.items.pop(request.match_info["id"], None)
        return web.Response(status=204)


@dataclass
class GatewayWithDoors:
    """A gateway with doors, and a spool that forgets what was acknowledged."""

    entries: dict[str, GatewayInventory] = field(default_factory=dict)
    spool: list[Event] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    acknowledged: int = 0
    looks: int = 0
    leftovers: list[Leftover] = field(default_factory=list)
    policies: dict[str, EgressPolicy] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    on_egress: Callable[[], None] | None = None  # it happens, and the policy is not taken over

    def add(self, wanted: SandboxSpec, used: datetime | None = None, egress: datetime | None = None) -> None:
        """Open, ready doors, used then by a person, and by traffic out."""
        prefix = f"/user/{wanted.user}/{wanted.server}/" if wanted.server else f"/user/{wanted.user}/"
        self.entries[wanted.id] = GatewayInventory(
            id=wanted.id,
            user=wanted.user,
            server=wanted.server,
            prefix=prefix,
            ready=True,
            booted=True,
            connections=1,
            bytes_in=1,
            bytes_out=1,
            denials=0,
            last_activity=used,
            egress_used_at=egress,
        )

    def app(self) -> web.Application:
        """Its API, as far as control uses it."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/sandboxes", self._list),
                web.put("/sandboxes/{id}", self._open),
                web.delete("/sandboxes/{id}", self._close),
                web.patch("/sandboxes/{id}/egress", self._set_egress),
                web.delete("/sandboxes/{id}/egress", self._drop_timed),
                web.get("/events", self._events),
                web.get("/leftovers", self._leftovers),
                web.post("/events/ack", self._acknowledge),
            ]
        )
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _list(self, request: web.Request) -> web.Response:
        self.looks += 1
        return web.json_response([encode(entry) for entry in self.entries.values()])

    async def _leftovers(self, request: web.Request) -> web.Response:
        return web.json_response(encode(Leftovers(items=tuple(self.leftovers))))

    async def _open(self, request: web.Request) -> web.Response:
        self.opened.append(request.match_info["id"])
        return web.json_response({"directory": "/d", "front_url": "http://127.0.0.1:1"})

    async def _close(self, request: web.Request) -> web.Response:
        self.closed.append(request.match_info["id"])
        self.entries.pop(request.match_info["id"], None)
        self.leftovers = [item for item in self.leftovers if item.name != request.match_info["id"]]
        return web.Response(status=204)

    async def _drop_timed(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self.dropped.append(name)
        known = self.entries.get(name)
        if known is None:
            return web.json_response({"code": "sandbox.unknown", "message": "?"}, status=404)
        self.entries[name] = replace(known, timed="")
        return web.json_response({})

    async def _set_egress(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self.told.append(name)
        if self.on_egress is not None:
            self.on_egress()
            return web.json_response({"code": "gateway.failed", "message": "?"}, status=500)
        if name not in self.entries:
            return web.json_response({"code": "sandbox.unknown", "message": "?"}, status=404)
        policy = decode(EgressPolicy, await request.json())
        self.policies[name] = policy
        self.entries[name] = replace(self.entries[name], timed=timed_digest(policy))
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        found = [event for event in self.spool if event.seq > after]
        if not found and float(request.query["timeout"]) > 0:
            await asyncio.sleep(0.05)
        return web.json_response([encode(event) for event in found])

    async def _acknowledge(self, request: web.Request) -> web.Response:
        self.acknowledged = (await request.json())["seq"]
        self.spool = [event for event in self.spool if event.seq > self.acknowledged]
        return web.Response(status=204)
