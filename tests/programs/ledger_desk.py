"""How do these tests ask for servers? At a desk that admits and releases as control does, in transactions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, make_url

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.granting import Asking, grant
from jupyter_sandbox_spawner.control.tables import METADATA
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory, GpuWish
from jupyter_sandbox_spawner.models import Resources, SandboxSpec
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.admission import Admission, AdmissionRequest, ProfileTerms, decide
from jupyter_sandbox_spawner.rules.quotas import Caps, Quotas
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from tests.support.control_databases import KIND, shared_postgres

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
T = TypeVar("T")


def whole(count: int, kind: str = "nvidia-h100") -> tuple[GpuDevice, ...]:
    """So many whole GPUs of a kind."""
    return tuple(GpuDevice(id=f"GPU-{kind}-{number}", kind=kind) for number in range(count))


@cache
def _postgres() -> Engine:
    server = shared_postgres()
    return create_engine(make_url(server.by_socket(server.make())).set(drivername="postgresql+psycopg"))


def empty_database() -> Engine:
    """A database without a row: one in memory, or the PostgreSQL of SANDBOX_CONTROL_DB, emptied."""
    engine = create_engine("sqlite://") if KIND == "sqlite" else _postgres()
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(table.delete())
    return engine


@dataclass(kw_only=True)
class Desk:
    """A database, an instant that the test moves, a pool of devices and the admin's quotas."""

    engine: Engine = field(default_factory=empty_database)
    now: datetime = NOON
    gpus: GpuInventory = field(default_factory=GpuInventory)
    quotas: Quotas = field(default_factory=Quotas)
    at_most: Caps | None = None
    servers_per_user: int | None = None
    resources: Resources = field(default_factory=lambda: Resources(cpu=1, memory=1 << 30))
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def pass_time(self, **length: float) -> None:
        """Move the instant."""
        self.now += timedelta(**length)

    def within(self, act: Callable[[Connection], T]) -> T:
        """One transaction."""
        with self.engine.begin() as connection:
            return act(connection)

    def ask(
        self,
        user: str,
        server: str = "",
        wish: GpuWish | None = None,
        groups: tuple[str, ...] = (),
        ttl: int | None = 3600,
    ) -> Admission:
        """Ask for one server, as control's admission does."""
        terms = ProfileTerms(
            slug="lab", digest="d", gpu=wish, at_most=self.at_most, servers_per_user=self.servers_per_user
        )
        spec = SandboxSpec(
            id=sandbox_id(user, server, str(next(self._numbers))),
            user=user,
            server=server,
            profile="lab",
            profile_digest="d",
            environment_name="user",
            host_uid=3_000_000,
            resources=self.resources,
            mounts=(),
            ttl=ttl,
        )
        request = AdmissionRequest(spec=spec, groups=groups, terms=terms)
        asking = Asking(
            request=request, terms=terms, book=Rulebook(profiles=(), quotas=self.quotas), gpus=self.gpus
        )
        return self.within(lambda connection: self._admit(connection, asking))

    def release(self, admitted: Admission) -> None:
        """What was admitted ended."""
        sandbox = admitted.spec.id if admitted.spec else ""
        self.within(lambda db: records.release(db, sandbox, "ended.by_user", "", self.now))

    def _admit(self, connection: Connection, asking: Asking) -> Admission:
        answer = decide(self.now, asking.request, records.known_for(connection, asking.request.spec))
        if answer.admitted:
            answer = grant(connection, self.now, replace(asking, leaving=answer.supersedes), answer)
        if answer.admitted and answer.spec:
            for older in answer.supersedes:
                records.release(connection, older, "ended.superseded", "", self.now)
            granted = replace(asking.request, spec=answer.spec)
            records.admit(connection, granted, self.now, answer.deadline)
        return answer


def devices(answer: Admission) -> tuple[str, ...]:
    """What was given; the test ends here if nothing was."""
    if answer.spec is None:
        raise AssertionError(f"denied: {answer.code}: {answer.message}")
    return answer.spec.gpu_devices
