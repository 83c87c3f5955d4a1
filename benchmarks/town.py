"""Who lives where the rules are measured? 10 000 people in 50 groups, 200 profiles, quotas of both, 40 GPUs.

Control is the real program; hub and launcher are stand-ins that only answer. The launcher does not tell what
runs, so that control's records stand for sandboxes that nobody has to start.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from aiohttp import web
from sqlalchemy import Connection, update

from hub_config.demo.running import CHECKOUT
from jupyter_sandbox_spawner.clients.control import AdmissionRequest, ControlClient
from jupyter_sandbox_spawner.control import ledger, records
from jupyter_sandbox_spawner.control.store import Store, database_of
from jupyter_sandbox_spawner.control.tables import sandboxes
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory
from jupyter_sandbox_spawner.models import Capabilities, Usages, UserPlace
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.admission import terms_of
from jupyter_sandbox_spawner.rules.profiles import Defaults, Profile, reason_against, to_spec
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook
from jupyter_sandbox_spawner.serving import listening_socket
from jupyter_sandbox_spawner.settings import Environment, Site, write_site
from jupyter_sandbox_spawner.wire import encode

from .machine import LOOPBACK, free_port, program, until_it_listens

__all__ = ["GROUPS", "OPEN", "PEOPLE", "PROFILES", "Person", "Town", "open_town", "percentile", "person"]

PEOPLE, GROUPS, PROFILES, OPEN = 10_000, 50, 200, 2_000
_DEFAULTS = Defaults(environment="user")
_DEVICES = tuple(
    GpuDevice(id=f"GPU-{number:08x}", kind="nvidia-a100", memory=80 << 30) for number in range(40)
)


@dataclass(frozen=True)
class Person:
    """A user and three groups of theirs."""

    name: str
    groups: tuple[str, ...]


@dataclass
class Town:
    """`control` is asked as the hub plugin asks it."""

    book: Rulebook
    control: ControlClient

    def request(self, person: Person, dice: random.Random) -> AdmissionRequest:
        """A start of a profile that they may have."""
        return _request(self.book, person, dice)

    async def leave(self, request: AdmissionRequest) -> None:
        """It has ended, so that the next one finds as many."""
        await self.control.released(request.spec.id, "stop.by_user", "stopped")


def person(number: int) -> Person:
    """One of the town."""
    dice = random.Random(number)
    return Person(f"user{number}", tuple(f"group{group}" for group in dice.sample(range(GROUPS), 3)))


def percentile(numbers: Sequence[float], share: float) -> float:
    """What this share of the numbers does not exceed."""
    return sorted(numbers)[min(int(len(numbers) * share), len(numbers) - 1)]


def _book_text() -> str:
    lines = ["profiles:"]
    for number in range(PROFILES):
        gpu = "gpu: {count: 1, kind: any}, " if number % 10 == 0 else ""
        allowed = "" if number % 4 == 0 else f"  allowed_groups: [group{number % GROUPS}]\n"
        lines.append(
            f"- slug: profile-{number}\n  display_name: Profile {number}\n"
            f"  description: For work of kind {number}, as its admin describes it in a sentence or two.\n"
            f"  default: {'true' if number == 4 else 'false'}\n{allowed}"
            f"  sandbox: {{cpu: 2, memory: 4G, {gpu}ttl: 8h, idle_timeout: 45m, "
            f'egress: ["host{number}.example:443", "*.mirror.example"], secrets: ["team/{number}/db"]}}'
        )
    caps = "{servers: 3, cpu: 16, memory: 64G, gpus: 2, gpu_hours: {at_most: 100, within: 7d}}"
    of_groups = [f"  - {{group: group{number}, servers: 2000, gpus: 30}}" for number in range(GROUPS)]
    return "\n".join([*lines, "quotas:", "  user:", f"  - {caps}", "  group:", *of_groups, ""])


def _request(book: Rulebook, who: Person, dice: random.Random) -> AdmissionRequest:
    open_to = [profile for profile in book.profiles if not reason_against(profile, who.groups)]
    return _asking(dice.choice(open_to), who)


def _asking(profile: Profile, who: Person) -> AdmissionRequest:
    place = UserPlace(user=who.name, host_uid=3_000_000, root_uid=3_000_000, home=f"/homes/{who.name}")
    new_id = sandbox_id(who.name, "", secrets.token_hex(16))
    spec = to_spec(profile, new_id, place, "", _DEFAULTS)
    return AdmissionRequest(spec=spec, groups=tuple(sorted(who.groups)), terms=terms_of(profile, None))


@asynccontextmanager
async def open_town(directory: Path, database: str = "", password_file: str = "") -> AsyncIterator[Town]:
    """Control with all of it in its database: each had a server that ended, or has one, the last 2000."""
    async with AsyncExitStack() as stack:
        site = await _site(stack, directory, database, password_file)
        book = parse_rulebook(_book_text())
        async with Store(database_of(site)) as store:
            await _fill(store, book)
        await _start(stack, directory, site.control_socket("hub"))
        control = ControlClient(site.control_socket("hub"), 60)
        stack.push_async_callback(control.close)
        yield Town(book, control)


async def _site(stack: AsyncExitStack, directory: Path, database: str, password_file: str) -> Site:
    (directory / "run").mkdir(mode=0o700)
    profiles = directory / "profiles.yaml"
    profiles.write_text(_book_text())
    site = Site(
        run_dir=str(directory / "run"),
        state_dir=str(directory / "state"),
        profiles=str(profiles),
        public_port=1,
        hub_port=await _serve_hub(stack),
        proxy_api_port=1,
        front_port=free_port(),
        environments={"user": Environment(prefix="/opt/user")},
        database=database,
        database_password_file=password_file,
    )
    write_site(directory / "site.json", site)
    token = directory / "run/control.token"
    token.touch(mode=0o600)
    token.write_text("control")
    await _serve_launcher(stack, site)
    return site


async def _fill(store: Store, book: Rulebook) -> None:
    """Straight into the database, as admissions leave it: ten thousand of them would take minutes."""
    now, dice = datetime.now(timezone.utc), random.Random(7)
    free = list(_DEVICES[:30])  # the rest is for those who are measured
    for first in range(0, PEOPLE, 500):
        asked = [_request(book, person(number), dice) for number in range(first, first + 500)]

        await store.run(partial(_write_all, asked=asked, now=now, first=first, free=free))


def _write_all(
    db: Connection, asked: Sequence[AdmissionRequest], now: datetime, first: int, free: list[GpuDevice]
) -> None:
    ended = []
    for number, request in enumerate(asked, first):
        began = now - timedelta(minutes=number % 400)
        if number < PEOPLE - OPEN:
            records.admit(db, request, began, None)
            ended.append(request.spec.id)
        elif not request.terms.gpu or free:
            given = [free.pop()] if request.terms.gpu else []
            records.admit(db, request, began, began + timedelta(hours=8))
            spec = request.spec
            owner = ledger.Owner(sandbox=spec.id, user=spec.user, server="", profile=spec.profile)
            ledger.hold(db, began, owner, spec.resources, request.groups, given)
            records.mark_ready(db, request.spec.id, began, {})
    db.execute(update(sandboxes).where(sandboxes.c.id.in_(ended)).values(status="released", released_at=now))
    db.execute(update(sandboxes).values(audited=True))


async def _serve_hub(stack: AsyncExitStack) -> int:
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    return port


async def _serve_launcher(stack: AsyncExitStack, site: Site) -> None:
    hard = {"cpu": True, "memory": True, "pids": True}
    answers = {
        "/capabilities": Capabilities(backend="oci", level="hard", limits=hard, runtimes={}),
        "/gpus": GpuInventory(devices=_DEVICES),
        "/usages": Usages(),
    }
    app = web.Application()
    for path, answer in answers.items():
        document = encode(answer)

        async def told(request: web.Request, document: object = document) -> web.Response:
            return web.json_response(document)

        app.router.add_get(path, told)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening_socket(site.launcher_socket)).start()


async def _start(stack: AsyncExitStack, directory: Path, socket: str) -> None:
    command = [
        *(sys.executable, "-m", "jupyter_sandbox_spawner.control"),
        *("--site", str(directory / "site.json"), "--log-level", "warning"),
    ]
    log = directory / "control.log"
    process = await stack.enter_async_context(
        program(command, log, os.environ | {"PYTHONPATH": str(CHECKOUT)})
    )
    await until_it_listens(socket, process, log)
