"""How does a cluster behave that does what a test wants? An API on a port; its kubelet only sets status.

It answers as a real API server does to what the backend asks: names, uids, versions, merge patches, watches
that go on where they ended, and the garbage collector's work. What it does not do: judge a manifest.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

__all__ = ["PretendCluster", "pretend_cluster"]

Item = dict[str, Any]
_NOW = "%Y-%m-%dT%H:%M:%SZ"
_LISTS = {"pods": "PodList", "secrets": "SecretList", "networkpolicies": "NetworkPolicyList"}
_ABOVE = ("apiVersion", "kind")  # what an item of a list leaves to the list


class PretendCluster:
    """`refuse` maps (method, kind) to (status, message); `admit` changes a pod that is made; `runs`: a pod
    that was made runs at once, and one that is deleted ends; `forgets`: so many watches are told that they
    ask too far back; `lost` are (method, kind, "asked" | "done") whose next connection breaks before or after
    it was done; `slow`: seconds until something is made; `asked` are all requests, as METHOD KIND."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Item]] = {}
        self.refuse: dict[tuple[str, str], tuple[int, str]] = {}
        self.admit: Callable[[Item], None] = lambda pod: None
        self.runs = True
        self.forgets = 0
        self.lost: list[tuple[str, str, str]] = []
        self.slow = 0.0
        self.minor = "34"
        self.asked: list[str] = []
        self.events: list[Item] = []
        self.memory: dict[str, str] = {}
        self.logs: dict[str, bytes] = {}
        self._history: list[tuple[int, str, str, Item]] = []
        self._version = 100
        self._news = asyncio.Condition()
        self._generation = 0

    def application(self) -> web.Application:
        """All that is answered."""
        app = web.Application(middlewares=[self._breaking])
        app.router.add_get("/version", self._tell_version)
        metrics = "/apis/metrics.k8s.io/v1beta1/namespaces/{space}/pods"
        app.router.add_get(metrics, self._tell_memory)
        for root in ("/api/v1", "/apis/networking.k8s.io/v1", "/apis/coordination.k8s.io/v1"):
            base = root + "/namespaces/{space}/{kind}"
            app.router.add_get(base, self._list)
            app.router.add_post(base, self._create)
            app.router.add_get(base + "/{name}/log", self._log)
            app.router.add_get(base + "/{name}", self._get)
            app.router.add_patch(base + "/{name}", self._patch)
            app.router.add_put(base + "/{name}", self._replace)
            app.router.add_delete(base + "/{name}", self._delete)
        return app

    @web.middleware
    async def _breaking(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        what = (request.method, request.match_info.get("kind", "version"))
        for when in ("asked", "done"):
            if (*what, when) in self.lost:
                self.lost.remove((*what, when))
                if when == "done":
                    await handler(request)
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=500)
        return await handler(request)

    def kind(self, kind: str) -> dict[str, Item]:
        """All objects of a kind, by name."""
        return self.objects.setdefault(kind, {})

    async def set_status(self, name: str, **status: Any) -> None:
        """A pod's status, as a kubelet or a controller would write it."""
        pod = self.kind("pods")[name]
        pod["status"] = {**pod.get("status", {}), **status}
        await self._tell("pods", "MODIFIED", pod)

    async def run(self, name: str) -> None:
        """The user's container runs."""
        state = {"running": {"startedAt": _now()}}
        await self.set_status(
            name,
            phase="Running",
            podIP="10.9.8.7",
            containerStatuses=[{"name": "sandbox", "image": "x", "state": state}],
        )

    async def finish(self, name: str, code: int, why: str = "Error", **status: Any) -> None:
        """The user's container has ended."""
        state = {"terminated": {"exitCode": code, "reason": why, "startedAt": _now()}}
        containers = [{"name": "sandbox", "image": "x", "state": state}]
        await self.set_status(
            name, phase="Failed" if code else "Succeeded", containerStatuses=containers, **status
        )

    async def drop(self, kind: str, name: str) -> None:
        """An object is gone; what it owned goes too."""
        thing = self.kind(kind).pop(name, None)
        if thing is None:
            return
        await self._tell(kind, "DELETED", thing)
        for other, things in list(self.objects.items()):
            for child, item in list(things.items()):
                owners = item["metadata"].get("ownerReferences") or ()
                if any(owner["uid"] == thing["metadata"]["uid"] for owner in owners):
                    await self.drop(other, child)

    async def unlabel(self, kind: str, name: str, label: str) -> None:
        """A label is gone: whoever watches for it is told, as by a real API, that the object is."""
        thing = self.kind(kind)[name]
        before = json.loads(json.dumps(thing))
        del thing["metadata"]["labels"][label]
        await self._tell(kind, "DELETED", before)

    async def drop_watches(self) -> None:
        """Every connection of a watch ends, as when an API server is restarted."""
        async with self._news:
            self._generation += 1
            self._news.notify_all()

    async def _tell(self, kind: str, what: str, thing: Item) -> None:
        async with self._news:
            self._version += 1
            thing["metadata"]["resourceVersion"] = str(self._version)
            self._history.append((self._version, kind, what, json.loads(json.dumps(thing))))
            self._news.notify_all()

    def _refused(self, request: web.Request) -> web.Response | None:
        kind = request.match_info.get("kind", "version")
        self.asked.append(f"{request.method} {kind}")
        known = self.refuse.get((request.method, kind)) or self.refuse.get(("*", "*"))
        return _status(*known) if known else None

    async def _tell_version(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"major": "1", "minor": self.minor})

    async def _tell_memory(self, request: web.Request) -> web.Response:
        if not self.memory:
            return _status(404, "the server could not find the requested resource")
        items = [
            {"metadata": {"name": name}, "containers": [{"name": "sandbox", "usage": {"memory": text}}]}
            for name, text in self.memory.items()
        ]
        return web.json_response({"items": items})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request):
            return refused
        if request.query.get("watch"):
            return await self._watch(request)
        kind = request.match_info["kind"]
        items = self.events if kind == "events" else list(self.kind(kind).values())
        wanted = _selected(request.query.get("labelSelector", ""))
        listed = [item for item in items if kind == "events" or wanted(item)]
        # As a real one: where only metadata is asked for, none is null; what all are stands above alone.
        found = [{key: value for key, value in item.items() if key not in _ABOVE} for item in listed]
        nothing = None if "PartialObjectMetadata" in request.headers["Accept"] else []
        above = {"apiVersion": "v1", "kind": _LISTS.get(kind, "List")}
        version = {"resourceVersion": str(self._version)}
        return web.json_response({**above, "metadata": version, "items": found or nothing})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        if self.forgets:
            self.forgets -= 1
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            await _say(answer, "ERROR", gone)
            return answer
        since, generation, told = int(request.query["resourceVersion"]), self._generation, 0
        wanted = _selected(request.query["labelSelector"])
        # As a real one it begins at once, whether there is something to tell or not.
        await _say(answer, "BOOKMARK", {"metadata": {"resourceVersion": str(since)}})
        while generation == self._generation:
            news, told = self._history[told:], len(self._history)
            for version, kind, what, thing in news:
                if version > since and kind == request.match_info["kind"] and wanted(thing):
                    await _say(answer, what, thing)
            async with self._news:
                await self._news.wait_for(partial(self._has_news, told, generation))
        return answer

    def _has_news(self, told: int, generation: int) -> bool:
        return len(self._history) > told or generation != self._generation

    async def _create(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        await asyncio.sleep(self.slow)
        kind, thing = request.match_info["kind"], await request.json()
        name = thing["metadata"]["name"]
        if name in self.kind(kind):
            return _status(409, f'{kind} "{name}" already exists', "AlreadyExists")
        thing["metadata"].update(uid=f"uid-{self._version}", creationTimestamp=_now())
        _fold(thing)
        if kind == "pods":
            self.admit(thing)
            thing["status"] = {"phase": "Pending"}
        self.kind(kind)[name] = thing
        await self._tell(kind, "ADDED", thing)
        made = json.loads(json.dumps(thing))
        if kind == "pods" and self.runs:
            await self.run(name)
        return web.json_response(made, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        kind, name = request.match_info["kind"], request.match_info["name"]
        found = self.kind(kind).get(name)
        missing = _status(404, f'{kind} "{name}" not found')
        return self._refused(request) or (web.json_response(found) if found else missing)

    async def _log(self, request: web.Request) -> web.Response:
        return web.Response(body=self.logs.get(request.match_info["name"], b""))

    async def _patch(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        kind, name = request.match_info["kind"], request.match_info["name"]
        if name not in self.kind(kind):
            return _status(404, f'{kind} "{name}" not found')
        thing = _merged(self.kind(kind)[name], await request.json())
        _fold(thing)
        self.kind(kind)[name] = thing
        await self._tell(kind, "MODIFIED", thing)
        return web.json_response(thing)

    async def _replace(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        kind, name, thing = request.match_info["kind"], request.match_info["name"], await request.json()
        if name not in self.kind(kind):
            return _status(404, f'{kind} "{name}" not found')
        if thing["metadata"]["resourceVersion"] != self.kind(kind)[name]["metadata"]["resourceVersion"]:
            return _status(409, "the object has been modified", "Conflict")
        self.kind(kind)[name] = thing
        await self._tell(kind, "MODIFIED", thing)
        return web.json_response(thing)

    async def _delete(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        kind, name = request.match_info["kind"], request.match_info["name"]
        thing, options = self.kind(kind).get(name), await request.json()
        if thing is None:
            return _status(404, f'{kind} "{name}" not found')
        for key, wanted in options.get("preconditions", {}).items():
            if thing["metadata"][key] != wanted:
                return _status(409, f"the {key} in the precondition does not match", "Conflict")
        if kind == "pods":
            thing["metadata"]["deletionTimestamp"] = _now()
            if not self.runs:
                await self._tell(kind, "MODIFIED", thing)
                return web.json_response(thing)
            if thing["status"]["phase"] == "Running":
                await self.finish(name, 143)
        await self.drop(kind, name)
        return web.json_response({"kind": "Status", "status": "Success"})


@asynccontextmanager
async def pretend_cluster(directory: Path) -> AsyncIterator[tuple[PretendCluster, Path]]:
    """One for the block, and the kubeconfig by which it is found."""
    pretended = PretendCluster()
    runner = web.AppRunner(pretended.application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    file = directory / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": f"http://{host}:{port}"}}],
                "users": [{"name": "x", "user": {}}],
            }
        )
    )
    try:
        yield pretended, file
    finally:
        await pretended.drop_watches()
        await runner.cleanup()


async def _say(answer: web.StreamResponse, what: str, thing: Item) -> None:
    await answer.write(json.dumps({"type": what, "object": thing}).encode() + b"\n")


def _now() -> str:
    return datetime.now(timezone.utc).strftime(_NOW)


def _status(code: int, message: str, reason: str = "") -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": reason}
    return web.json_response(body, status=code)


def _selected(selector: str) -> Callable[[Item], bool]:
    wanted = [part.partition("=")[::2] for part in selector.split(",") if part]

    def fits(item: Item) -> bool:
        labels = item["metadata"].get("labels") or {}
        return all(name in labels and value in ("", labels[name]) for name, value in wanted)

    return fits


def _fold(thing: Item) -> None:
    """What a Secret is given as text, it keeps as base64."""
    for name, text in (thing.pop("stringData", None) or {}).items():
        thing.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()


def _merged(known: Item, change: Item) -> Item:
    found = dict(known)
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name) or {}, value) if isinstance(value, dict) else value
    return found
