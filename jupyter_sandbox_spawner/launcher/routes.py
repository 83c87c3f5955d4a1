"""What does each route of the launcher's socket carry? Bodies in, the backend's answers out."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from contextlib import nullcontext
from typing import Any

from aiohttp import web

from ..backends.base import Backend, unknown_sandbox
from ..errors import ConfigurationError, RefusedError, SandboxError
from ..models import CreateRequest, Event, InventoryItem
from ..rules.catalogue import ZONES
from ..settings import Site
from ..wire import decode_json, encode, encode_json
from .admission import Books, admit
from .data import DataPlaces
from .leftovers import HostLeftovers
from .premises import Premises
from .proofs import is_canary, told
from .usages import UsageBook

__all__ = ["LauncherRoutes"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_LONGEST_WAIT = 300.0  # seconds of one long poll
_LONGEST_GRACE = 120.0


class LauncherRoutes:
    """The launcher's HTTP surface over one backend and its premises."""

    def __init__(self, site: Site, backend: Backend, premises: Premises) -> None:
        self._site = site
        self._backend = backend
        self._users = premises.users
        self._canary = premises.prover
        self._homes = premises.homes
        self._data = DataPlaces(site)
        self._usages = UsageBook(backend)
        self._gpus = premises.devices
        self._remains = HostLeftovers(backend, premises.users, premises.homes)

    def add_to(self, app: web.Application) -> None:
        """Register every route; docs/reference names them."""
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/metrics", self.metrics),
                web.get("/capabilities", self.capabilities),
                web.get("/gpus", self.gpus),
                web.get("/canary", self.canary),
                web.post("/canary", self.prove),
                web.put("/users/{user}", self.place),
                web.delete("/users/{user}", self.retire),
                web.get("/sandboxes", self.inventory),
                web.put("/sandboxes/{id}", self.create),
                web.get("/sandboxes/{id}", self.status),
                web.delete("/sandboxes/{id}", self.remove),
                web.post("/sandboxes/{id}/start", self.start),
                web.post("/sandboxes/{id}/stop", self.stop),
                web.get("/sandboxes/{id}/address", self.address),
                web.get("/sandboxes/{id}/ended", self.ended),
                web.get("/sandboxes/{id}/usage", self.usage),
                web.get("/sandboxes/{id}/log", self.log),
                web.get("/running", self.running),
                web.get("/usages", self.usages),
                web.get("/events", self.events),
                web.get("/leftovers", self.leftovers),
                web.delete("/leftovers/{kind}/{name}", self.clear),
            ]
        )

    async def health(self, request: web.Request) -> web.Response:
        """`{"ok": true}` while the program serves."""
        return web.json_response({"ok": True})

    async def capabilities(self, request: web.Request) -> web.Response:
        """What was verified on this host."""
        return web.json_response(encode(await self._backend.capabilities()))

    async def gpus(self, request: web.Request) -> web.Response:
        """The GPUs of this host that can be given to sandboxes."""
        return web.json_response(encode(await self._gpus.inventory(self._backend)))

    async def metrics(self, request: web.Request) -> web.Response:
        """Is isolation proved (1 or 0), by runtime, and how many sandboxes are there? For Prometheus."""
        lines = (
            "# TYPE jupyter_sandbox_isolation_proved gauge",
            *(
                f'jupyter_sandbox_isolation_proved{{runtime="{name}"}} {int(found["proved"])}'
                for name, found in self._proofs().items()
            ),
            "# TYPE jupyter_sandbox_launcher_sandboxes gauge",
            f"jupyter_sandbox_launcher_sandboxes {len(await self._people())}",
        )
        return web.Response(text="\n".join(lines) + "\n")

    async def canary(self, request: web.Request) -> web.Response:
        """The last proofs, and the sandboxes that run although there is none."""
        return web.json_response(await self._proof())

    async def prove(self, request: web.Request) -> web.Response:
        """Run the probes now."""
        await self._canary.prove()
        return web.json_response(await self._proof())

    def _proofs(self) -> dict[str, dict[str, Any]]:
        """By runtime of the site: is it proved, why not, since when."""
        proofs = self._canary.proofs
        return {name: told(proofs.get(name)) for name in self._site.runtimes}

    async def _proof(self) -> dict[str, Any]:
        """What the site's own runtime has shown, and beside it each of them."""
        proofs = self._proofs()
        found = {**proofs[self._site.runtime], "runtimes": proofs}
        running = [item for item in await self._people() if item.status.value == "running"]
        names = [{"id": item.id, "user": item.user, "server": item.server} for item in running]
        return {**found, "running": names}

    async def _people(self) -> list[InventoryItem]:
        """The sandboxes of people: the probe's is nobody's to start, stop or count."""
        return [item for item in await self._backend.inventory() if not is_canary(item.user)]

    async def place(self, request: web.Request) -> web.Response:
        """The user's host uid and home (`?zone=`: that of a zone), made on first use."""
        user, zone = request.match_info["user"], request.query.get("zone", "")
        return web.json_response(encode(await self._users.place(user, zone)))

    async def retire(self, request: web.Request) -> web.Response:
        """The user is deleted: home into quarantine; refused while a sandbox of theirs exists."""
        user = request.match_info["user"]
        found = [item.id for item in await self._backend.inventory() if item.user == user]
        if found:
            raise RefusedError(
                f"{user!r} still has the sandbox {found[0]}.",
                code="users.busy",
                remedy="Stop and remove it first.",
                status=409,
            )
        for zone in ZONES:
            await self._release(user, zone)
        await self._users.retire(user)
        return web.Response(status=204)

    async def create(self, request: web.Request) -> web.Response:
        """Prepare a sandbox, after comparing the request with our own books."""
        asked = decode_json(CreateRequest, await request.read())
        if asked.spec.id != request.match_info["id"]:
            raise ConfigurationError("The ids of path and spec differ.", code="wire.invalid", field="id")
        place = await self._users.find(asked.spec.user, asked.spec.zone)
        books = Books(site=self._site, datasets=await self._data.listed())
        admit(asked.spec, asked.doors, books, place, asked.overlay)
        await self._data.verify(asked.spec)
        await self._canary.require(asked.spec.runtime, asked.overlay)
        try:
            with self._homes.starting(place.home) if place is not None else nullcontext():
                if place is not None:
                    disk = asked.spec.resources.disk
                    await self._homes.prepare(place, disk, self._backend.homes)
                async with self._gpus.giving(asked.spec, self._backend):
                    handle = await self._backend.create(asked.spec, asked.doors, asked.overlay)
        except SandboxError:
            await self._release(asked.spec.user, asked.spec.zone)
            raise
        return web.json_response(encode(handle))

    async def start(self, request: web.Request) -> web.Response:
        """Run a created sandbox; told only once the machine that it came to is proved as well."""
        await self._backend.start(request.match_info["id"])
        await self._canary.require_at(request.match_info["id"])
        return await self.status(request)

    async def status(self, request: web.Request) -> web.Response:
        """What is true now, or 404 `sandbox.unknown`."""
        status = await self._backend.status(request.match_info["id"])
        if status is None:
            raise unknown_sandbox(request.match_info["id"])
        return web.json_response(encode(status))

    async def stop(self, request: web.Request) -> web.Response:
        """End it; answers when death is verified."""
        body = await request.read()
        grace = _seconds(str(json.loads(body).get("grace", 0)) if body else "0", _LONGEST_GRACE)
        name = request.match_info["id"]
        await self._usages.keep(name)  # Docker takes the cgroup away as soon as nothing runs
        status = await self._backend.stop(name, grace)
        return web.json_response(encode(status))

    async def remove(self, request: web.Request) -> web.Response:
        """Erase it; no-op if gone."""
        name = request.match_info["id"]
        found = [(item.user, item.zone) for item in await self._backend.inventory() if item.id == name]
        await self._usages.keep(name)
        await self._backend.remove(name)
        for user, zone in found:
            await self._release(user, zone)
        return web.Response(status=204)

    async def _release(self, user: str, zone: str) -> None:
        """The user's home in a zone is nobody's any more, unless another sandbox has it.

        What fails here hides nothing: the sandbox is gone, or has its own reason why it did not start.
        """
        try:
            place = await self._users.find(user, zone)
            if place is not None:
                await self._homes.release(place.home, self._backend.homes)
        except SandboxError as error:
            log.warning("The home of %r in the zone %r is not given back: %s", user, zone, error)

    async def ended(self, request: web.Request) -> web.Response:
        """Long poll for the end; 204 when the time is over first."""
        timeout = _seconds(request.query.get("timeout", "30"), _LONGEST_WAIT)
        status = await self._backend.ended(request.match_info["id"], timeout)
        return web.Response(status=204) if status is None else web.json_response(encode(status))

    async def address(self, request: web.Request) -> web.Response:
        """Long poll for its pod's address, told once its machine is proved; 204 when the time is over."""
        timeout = _seconds(request.query.get("timeout", "30"), _LONGEST_WAIT)
        name, now, after = request.match_info["id"], asyncio.get_running_loop().time, 0
        end = now() + timeout
        while True:
            status = await self._backend.status(name)
            if status is None:
                raise unknown_sandbox(name)
            if status.address:
                await self._canary.require_at(name)
                return web.json_response({"address": status.address})
            events = await self._news(after, max(end - now(), 0), name)
            if not events:
                return web.Response(status=204)
            after = events[-1].seq

    async def usage(self, request: web.Request) -> web.Response:
        """Measured from outside."""
        return web.json_response(encode(await self._usages.one(request.match_info["id"])))

    async def usages(self, request: web.Request) -> web.Response:
        """Of every sandbox, and of those that went a moment ago."""
        return web.Response(body=encode_json(await self._usages.all()), content_type="application/json")

    async def log(self, request: web.Request) -> web.Response:
        """The last of its output."""
        return web.json_response({"text": await self._backend.log_tail(request.match_info["id"])})

    async def inventory(self, request: web.Request) -> web.Response:
        """Every sandbox that carries our labels."""
        return web.json_response([encode(item) for item in await self._people()])

    async def running(self, request: web.Request) -> web.Response:
        """Ids of the sandboxes of people that are not over."""
        found = [item.id for item in await self._people() if item.status.value not in ("stopped", "failed")]
        return web.json_response(found)

    async def leftovers(self, request: web.Request) -> web.Response:
        """What is there of sandboxes and homes that nobody has; `?users=1`: every user, too."""
        found = await self._remains.find(request.query.get("users") == "1")
        return web.Response(body=encode_json(found), content_type="application/json")

    async def clear(self, request: web.Request) -> web.Response:
        """Take away one of them; `cleared` is false where it is not found any more."""
        done = await self._remains.clear(request.match_info["kind"], request.match_info["name"])
        return web.json_response({"cleared": done})

    async def events(self, request: web.Request) -> web.Response:
        """Long poll for status changes after a sequence number; `?sandbox=ID`: of that one alone."""
        after = request.query.get("after", "0")
        if not after.isdigit():
            raise ConfigurationError(f"after: {after!r} is not a number.", code="wire.invalid", field="after")
        timeout = _seconds(request.query.get("timeout", "30"), _LONGEST_WAIT)
        found = await self._news(int(after), timeout, request.query.get("sandbox", ""))
        return web.json_response([encode(event) for event in found])

    async def _news(self, after: int, timeout: float, sandbox: str) -> list[Event]:
        now = asyncio.get_running_loop().time
        end = now() + timeout
        while True:
            events = await self._backend.events(after, max(end - now(), 0))
            found = [event for event in events if sandbox in ("", event.sandbox)]
            if found or not events:
                return found
            after = events[-1].seq


def _seconds(text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise ConfigurationError(
            f"{text!r} is not 0 to {most:g} seconds.", code="wire.invalid", field="timeout"
        )
    return number
