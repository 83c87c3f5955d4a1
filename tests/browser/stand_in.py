"""What does the admin page do when control is odd? A stand-in for control's public port, told what to be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from aiohttp import web

import jupyter_sandbox_spawner.control
from jupyter_sandbox_spawner.rules.admin_page import PAGE_POLICY

__all__ = ["HOSTILE", "PREFIX", "StandIn", "stand_in"]

PREFIX = "/services/sandbox"
PAGES = Path(jupyter_sandbox_spawner.control.__file__).parent / "pages"
_TYPES = {".js": "text/javascript", ".css": "text/css"}
HOSTILE = {
    "html": '<img src=x onerror="document.title=`hit`"><script>document.title="hit"</script>',
    "ansi": "\x1b[31mred\x1b]0;title\x07\r\nsecond line",
    "long": "long" + "x" * 1_000_000,
    "rtl": "\u202eevil\u05d0\u05d1\u05d2",
    "quotes": "';\"&#39;${alert(1)}\\",
}


@dataclass
class StandIn:
    """What it says, and what it was asked. `away`, `session_ended`: how each call of the API ends."""

    url: str = ""
    away: bool = False
    session_ended: bool = False
    can_write: bool = True
    skew: timedelta = timedelta()
    names: list[str] = field(default_factory=lambda: ["alice", "bob", "carol"])
    refuse: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    total: int | None = None

    def stamp(self, minutes: float = 0) -> str:
        """Its clock, so many minutes from now."""
        at = datetime.now(timezone.utc) + self.skew + timedelta(minutes=minutes)
        return at.isoformat(timespec="seconds").replace("+00:00", "Z")

    def asked(self, path: str) -> list[Any]:
        """The bodies (queries of a GET) of the calls of a path."""
        return [body for _, where, body in self.calls if where == path]

    def row(self, number: int, name: str) -> dict[str, Any]:
        """A line of the table."""
        return {
            "id": f"box-{number}",
            "user": name,
            "server": "" if number % 3 else "gpu-work",
            "profile": "small" if number % 2 else "research",
            "groups": ["research", "staff"],
            "status": ("ready", "ready", "admitted", "stopping")[number % 4],
            "admitted_at": self.stamp(-200 - number),
            "ready_at": self.stamp(-199 - number),
            "released_at": None,
            "ends_at": self.stamp(41 + number),
            "ends_code": "ttl.deadline",
            "ends_why": "Nobody has used it since 14:02, and it ends 45 minutes after its last use.",
            "used_at": self.stamp(-number),
            "gpus": ["GPU-0a1b2c"] if number % 3 == 0 else [],
            "deadline": self.stamp(300 + number),
            "memory": 4 << 30,
            "cpu": 2,
            "stop": None,
        }

    def table(self, query: dict[str, str]) -> dict[str, Any]:
        """A page of it."""
        size, page = int(query.get("size", 50)), int(query.get("page", 1))
        found = [(n, name) for n, name in enumerate(self.names) if query.get("search", "") in name]
        if query.get("order") == "asc":
            found.reverse()
        total = len(found) if self.total is None else self.total
        shown = found[(page - 1) * size : page * size] if self.total is None else found[:size]
        items = [self.row(number + (page - 1) * size, name) for number, name in shown]
        return {
            "items": items,
            "total": total,
            "page": page,
            "size": size,
            "pages": max(1, -(-total // size)),
        }

    def why(self, user: str, server: str) -> dict[str, Any]:
        """One server's story."""
        number = self.names.index(user)
        witnesses = [
            {"name": "doors", "at": self.stamp(-3), "rank": 1, "value": {"connections": 2}},
            {"name": "kernels", "at": self.stamp(-1), "rank": 2, "value": "busy"},
            {"name": "gpu", "at": None, "rank": 1, "value": None},
        ]
        life = {"why": "A kernel is busy.", "code": "idle.busy", "ends_at": self.stamp(41)}
        event = {"id": 1, "at": self.stamp(-20), "kind": "ready", "detail": {"why": self.names[0]}}
        row = self.row(number, user)
        # Of a row only what control says here too: tests/programs/test_admin_lists.py compares them.
        known = {name: row[name] for name in row.keys() - {"ends_at", "ends_code", "ends_why", "gpus"}}
        known |= {"time_left": 18_000.0, "idle_timeout": 2700}
        return {**known, "lifetime": {**life, "witnesses": witnesses}, "events": [event]}

    def others(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        """Documents of the other views."""
        first, text = self.names[0], "pypi.example"
        asked = {"user": first, "server": "", "sandbox": "box-0", "host": text, "port": 443}
        known: dict[str, dict[str, Any]] = {
            "me": {"name": "admin", "can_write": self.can_write, "currency": "EUR", "hub": "/hub/"},
            "health": {
                "ok": False,
                "parts": [
                    {"name": "launcher", "fine": True, "seen": "It answers.", "remedy": ""},
                    {"name": "Vault", "fine": False, "seen": f"sealed, says {first}", "remedy": "Unseal it."},
                ],
                "counts": {"open": len(self.names), "waiting_requests": 1, "queue": 1},
            },
            "gpu": {"devices": self._devices(first), "queue": self._queue(first), "notes": []},
            "egress/requests": {
                "items": [
                    {**asked, "id": 7, "why": f"For {first}", "status": "waiting", "asked_at": self.stamp(-4)}
                    | {"sandbox_open": True, "internal": False}
                    | {"groups": ["research"], "profile": "small", "answer": None, "until": None}
                ],
                "next": None,
                "waiting": 1,
            },
            "egress/grants": {
                "items": [
                    {"id": 3, "pattern": "conda.example", "port": 443, "scope": "user", "name": first}
                    | {"since": self.stamp(-60), "until": self.stamp(400), "by": "admin", "why": first}
                ]
            },
            "denials": {
                "items": [
                    {**asked, "code": "egress.not_allowed", "rule": "default", "count": 12}
                    | {"first_at": self.stamp(-90), "last_at": self.stamp(-2), "request": None}
                ],
                "total": 1,
                "page": 1,
                "pages": 1,
                "size": 25,
            },
            "usage": self._usage(query),
            "profiles": self._profiles(),
            "profiles/explain": {
                "user": query.get("user", ""),
                "groups": ["research"],
                "profiles": [
                    {
                        "slug": "small",
                        "display_name": first,
                        "why": "",
                        "gives": {"cpu": 1, "memory": 1 << 30},
                    }
                    | {"choices": [], "secrets": [], "withheld": []},
                    {"slug": "gpu", "display_name": "GPU", "why": "Only members of gpu may.", "gives": None},
                ],
            },
            "audit": {
                "items": [self._line(first, n) for n in range(50 if len(first) < 1000 else 2, 0, -1)],
                "next": 1,
            },
        }
        return known[path]

    def _devices(self, name: str) -> list[dict[str, Any]]:
        owner = {"user": name, "server": "", "profile": "gpu", "sandbox": "box-0"}
        used = {"state": "in use", **owner, "since": self.stamp(-90), "until": self.stamp(100)}
        device = {"kind": "nvidia-a100", "parent": "", "memory": 80 << 30}
        return [{"id": "GPU-0", **device, **used}] + [
            {"id": f"GPU-{n}", **device, "state": state}
            for n, state in enumerate(("free", "reserved", "split", "vanished"), 1)
        ]

    def _queue(self, name: str) -> list[dict[str, Any]]:
        turn = {"ticket": "12", "user": name, "server": "", "profile": "gpu", "kind": "any", "count": 1}
        times = {"since": self.stamp(-30), "eta": self.stamp(25), "reserved_until": None, "kept_until": None}
        return [{**turn, "position": 1, **times}]

    def _usage(self, query: dict[str, str]) -> dict[str, Any]:
        def hours(n: float) -> dict[str, Any]:
            used = {"server_hours": 8.5 * n, "cpu_hours": 3 * n, "memory_gb_hours": 34.0 * n}
            return {**used, "gpu_hours": n / 2, "cost": 1.25 * n}

        days = [f"2026-11-{day:02}" for day in range(1, 29)]
        series = [
            {"name": name, "days": [{"day": day, **hours((n + k) % 7 + 1)} for k, day in enumerate(days)]}
            for n, name in enumerate([*self.names[:8], None])
        ]
        items = [{"name": name, **hours(n + 1), "gpu_hours_by_kind": {}} for n, name in enumerate(self.names)]
        since, until = query.get("since") or days[0], query.get("until") or days[-1]
        about = {"by": query.get("by", "user"), "since": since, "until": until, "currency": "EUR"}
        told = {**about, "items": items, "total": {"name": "", **hours(99)}}
        if query.get("by", "user") == "day":
            told["items"] = [{"name": day, **hours(n % 7 + 1)} for n, day in enumerate(days)]
        return told | ({"series": series} if "over" in query else {})

    def _profiles(self) -> dict[str, Any]:
        limits = {"cpu": 2, "memory": 4 << 30, "ttl": 28800, "idle_timeout": 2700, "gpu": None}
        shared = {"description": "For everyday work.", "egress": ["*.mirror.example:443"], "default": False}
        profiles = [
            {"slug": slug, "display_name": name, **limits, **shared, "price_per_hour": 0.12}
            | {"allowed_groups": groups}
            for slug, name, groups in (("small", self.names[0], None), ("gpu", "GPU", ["gpu"]))
        ]
        file = {"file": "/etc/jupyter/profiles.yaml", "digest": "ab", "loaded_at": self.stamp(-600)}
        return {**file, "problem": None, "profiles": profiles}

    def _line(self, name: str, number: int) -> dict[str, Any]:
        about = {"actor": "admin root", "action": "server.stop", "outcome": "done", "code": "stop.by_admin"}
        subject = {"user": name, "server": "", "sandbox": "box-0"}
        return {
            "seq": number,
            "time": self.stamp(-number),
            **about,
            "subject": subject,
            "detail": {"why": name},
        }


def _application(it: StandIn) -> web.Application:
    async def api(request: web.Request) -> web.StreamResponse:
        path, query = request.match_info["path"], dict(request.query)
        body = query if request.method == "GET" else await request.json() if request.can_read_body else {}
        it.calls.append((request.method, path, body))
        it.headers.append(dict(request.headers))
        if it.away:
            return web.Response(status=503, text="no route")
        if it.session_ended:
            return web.json_response({"code": "page.not_logged_in", "message": "x"}, status=401)
        if path in it.refuse:
            status, document = it.refuse[path]
            return web.json_response(document, status=status)
        if (
            path == "usage"
            and "over" in query
            and (query.get("by", "user") == "day" or query.get("since", "9") < "2025")
        ):
            refusal = {"code": "wire.invalid", "message": "over: 'day' says nothing more here."}
            return web.json_response(refusal, status=400)
        return web.json_response({**_answer(it, request, path, query), "now": it.stamp()})

    async def file(request: web.Request) -> web.Response:
        path = PAGES / request.match_info.get("name", "index.html")
        return web.Response(text=path.read_text(), content_type=_TYPES.get(path.suffix, "text/html"))

    @web.middleware
    async def strict(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await handler(request)
        answer.headers["Content-Security-Policy"] = PAGE_POLICY
        return answer

    app = web.Application(middlewares=[strict])
    app.router.add_get(f"{PREFIX}/", file)
    app.router.add_get(f"{PREFIX}/static/{{name}}", file)
    app.router.add_route("*", f"{PREFIX}/api/{{path:.*}}", api)
    return app


def _answer(it: StandIn, request: web.Request, path: str, query: dict[str, str]) -> dict[str, Any]:
    if path == "table":
        return it.table(query)
    if path.startswith("why/"):
        user, _, server = path.removeprefix("why/").rpartition("/")
        return it.why(user, server)
    if path.endswith("/stop"):
        return {"id": "box", "stopped": True}
    if path.endswith("/extend"):
        return {"id": "box", "deadline": it.stamp(240), "left": None, "cap": None}
    if path.endswith("/approve"):
        return {"request": {}, "grant": {"until": it.stamp(480)}, "applied": 1, "not_applied": []}
    return {} if request.method != "GET" else it.others(path, query)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """It serves while the block lasts, in a thread: Playwright keeps a loop of its own in this one."""
    loop, it = asyncio.new_event_loop(), StandIn()
    thread = threading.Thread(target=loop.run_forever, name="stand-in", daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(_application(it), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        it.url = f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}/"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield it
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
