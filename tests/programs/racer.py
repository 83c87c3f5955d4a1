"""How does one of many processes race for servers? It asks as fast as it can, by control's own admission.

`python -m tests.programs.racer`: a Race as JSON on its standard input, "ready" on its output; after one more
line on its input it begins, and prints how often it got which answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event

from jupyter_sandbox_spawner.control import postgresql_database, records
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.audit import AuditLog
from jupyter_sandbox_spawner.control.clock import SystemClock
from jupyter_sandbox_spawner.control.databases import Database
from jupyter_sandbox_spawner.control.denials import DenialLedger
from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.postgresql_database import Postgresql
from jupyter_sandbox_spawner.control.sqlite_database import Sqlite
from jupyter_sandbox_spawner.control.store import Store
from jupyter_sandbox_spawner.control.terms import OwnWord
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory, GpuWish
from jupyter_sandbox_spawner.models import Resources, SandboxSpec
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.admission import Admission, AdmissionRequest, ProfileTerms
from jupyter_sandbox_spawner.rules.quotas import Caps, GroupQuota, Quotas, UserQuota
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from tests.support.ledger_facts import Limits, broken

__all__ = ["Race", "limits_of"]

T = TypeVar("T")
TERMS = {
    "cpu": ProfileTerms(slug="cpu", digest="d"),
    "gpu": ProfileTerms(slug="gpu", digest="d", gpu=GpuWish(count=1)),
}


@dataclass(frozen=True, kw_only=True)
class Race:
    """One process's part. `stops`: the share of starts that end; `locked` False leaves the lock out;
    `watched`: the whole ledger is looked at before each commit.
    """

    database: str
    audit: str
    seed: int
    requests: int
    stops: float = 0.0
    locked: bool = True
    watched: bool = False
    users: int = 20
    pool: int = 6
    user_servers: int = 3
    user_gpus: int = 1
    group_gpus: int = 2
    at_once: int = 4


def limits_of(race: Race) -> Limits:
    """What must hold; the first five users are the group `research`."""
    return Limits(
        devices=tuple(f"GPU-{number}" for number in range(race.pool)),
        user_servers=race.user_servers,
        user_gpus=race.user_gpus,
        group="research",
        group_gpus=race.group_gpus,
    )


class Watched(Store):
    """A store that looks at the whole ledger before each commit."""

    def __init__(self, database: Database, limits: Limits, watched: bool) -> None:
        super().__init__(database, 60.0, 90.0)
        self.limits, self.watched = limits, watched
        self.wrong: list[str] = []

    async def run(self, question: Callable[[Connection], T]) -> T:
        """The question, and in the same transaction the facts."""

        def both(connection: Connection) -> T:
            answer = question(connection)
            if self.watched:
                self.wrong += broken(connection, self.limits)
            return answer

        return await super().run(both)


class UnlockedPostgresql(Postgresql):
    """What a mistake would make of it: nobody takes the lock."""

    def make_engine(self) -> Engine:
        engine = super().make_engine()
        event.remove(engine, "begin", postgresql_database._take_lock)

        @event.listens_for(engine, "commit")
        def linger(connection: Connection) -> None:
            # What was read must have time to become untrue, also where few processors take turns.
            connection.exec_driver_sql("SELECT pg_sleep(0.02)")

        return engine


class UnlockedSqlite(Sqlite):
    """The driver as it comes: it begins a transaction at the first write, after everything was read."""

    def make_engine(self) -> Engine:
        return create_engine(f"sqlite:///{self.name}", connect_args={"timeout": 60.0})


class FixedTerms:
    """Profiles and caps without a file."""

    def __init__(self, race: Race) -> None:
        of_users = Caps(servers=race.user_servers, gpus=race.user_gpus)
        of_group = GroupQuota(group="research", caps=Caps(gpus=race.group_gpus))
        quotas = Quotas(users=(UserQuota(caps=of_users),), groups=(of_group,))
        self._book = Rulebook(profiles=(), quotas=quotas)

    async def of(self, request: AdmissionRequest) -> OwnWord:
        return OwnWord(terms=TERMS[request.spec.profile])

    async def book(self) -> Rulebook:
        return self._book


class Neighbours:
    """Launcher and limits of a host with GPUs."""

    def __init__(self, race: Race) -> None:
        found = (GpuDevice(id=name, kind="nvidia-h100") for name in limits_of(race).devices)
        self._gpus = GpuInventory(devices=tuple(found))

    async def gpus(self) -> GpuInventory:
        return self._gpus

    async def level(self) -> str:
        return "hard"

    async def soft(self) -> tuple[str, ...]:
        return ()


def _database(race: Race) -> Database:
    if race.database.startswith("postgresql:"):
        return (Postgresql if race.locked else UnlockedPostgresql)(race.database, 60.0)
    return (Sqlite if race.locked else UnlockedSqlite)(race.database, 60.0)


def request_of(user: int, server: str, profile: str, nonce: str) -> AdmissionRequest:
    """A start; the first five users are researchers."""
    name = f"u{user}"
    spec = SandboxSpec(
        id=sandbox_id(name, server, nonce),
        user=name,
        server=server,
        profile=profile,
        profile_digest="d",
        environment_name="user",
        host_uid=3_000_000,
        resources=Resources(cpu=1, memory=1 << 30),
        mounts=(),
        ttl=3600,
    )
    return AdmissionRequest(spec=spec, groups=("research",) if user < 5 else (), terms=TERMS[profile])


async def run(race: Race) -> dict[str, Any]:
    """Wait for the start, ask, and say what came of it."""
    clock, near, seen = SystemClock(), Neighbours(race), Counter[str]()
    async with (
        AuditLog(race.audit, clock, reserve=1 << 16) as audit,
        Watched(_database(race), limits_of(race), race.watched) as store,
    ):
        near_any: Any = near
        parts = Parts(
            clock=clock,
            store=store,
            audit=audit,
            denials=DenialLedger(audit, clock),
            terms=FixedTerms(race),  # type: ignore[arg-type]
            hub=near_any,
            launcher=near_any,
            gateway=near_any,
            broker=near_any,
            limits=near_any,
            tuning=Tuning(),
        )
        await _all(race, parts, seen)
        return {"seen": dict(seen), "wrong": store.wrong[:20]}


async def _all(race: Race, parts: Parts, seen: Counter[str]) -> None:
    chance, desk = random.Random(race.seed), Admissions(parts, lambda sandbox: None)
    slots = asyncio.Semaphore(race.at_once)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def ask(number: int) -> None:
        user, nonce = chance.randrange(race.users), f"{race.seed}-{number}"
        if race.stops:
            request = request_of(user, f"s{number % 10}", chance.choice(["cpu", "gpu"]), nonce)
        else:
            # Every server is another one, so that none takes another's place.
            request = request_of(user, nonce, "gpu" if user < race.users // 2 else "cpu", nonce)
        async with slots:
            answer: Admission = await desk.admit(request)
            seen["admitted" if answer.admitted else answer.code] += 1
            if answer.admitted and chance.random() < race.stops:
                now = parts.clock.now()
                stop = lambda db: records.release(db, request.spec.id, "ended.by_user", "", now)  # noqa: E731
                await parts.store.run(stop)

    await asyncio.gather(*(ask(number) for number in range(race.requests)))


def main() -> None:
    """One process's part."""
    race = Race(**json.loads(sys.stdin.readline()))
    print(json.dumps(asyncio.run(run(race))), flush=True)


def as_line(race: Race) -> bytes:
    """What a racer is told."""
    return json.dumps(asdict(race)).encode() + b"\n"


if __name__ == "__main__":
    main()
