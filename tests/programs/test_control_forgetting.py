"""Does control's house-keeping forget what ended long ago, and nothing that a cap may still look back at?"""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Table, select

from jupyter_sandbox_spawner.control import app, ledger
from jupyter_sandbox_spawner.control.tables_ledger import allocations, holdings
from jupyter_sandbox_spawner.gpus import GpuDevice
from jupyter_sandbox_spawner.models import Resources

from .control_street import parts_of, street


def held(connection: Connection, name: str, began: datetime, ended: datetime | None) -> None:
    """A sandbox of this name had a GPU, or has it still."""
    owner = ledger.Owner(sandbox=name, user="alice", server=name, profile="lab", wanted="any")
    device = GpuDevice(id=name, kind="nvidia-h100")
    ledger.hold(connection, began, owner, Resources(cpu=1, memory=1), (), (device,))
    if ended is not None:
        ledger.end(connection, name, ended)


def names(connection: Connection, table: Table) -> set[str]:
    """The sandboxes that the table knows."""
    return set(connection.execute(select(table.c.sandbox)).scalars())


async def test_the_ledger_forgets_what_ended_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended 401 days ago goes; 366 days, the longest that a cap looks back, and what runs stay."""
    monkeypatch.setattr(app, "_SIGN_EVERY", 0)
    with tempfile.TemporaryDirectory(prefix="cf", dir="/tmp") as place:
        async with street(Path(place)) as here, parts_of(here) as parts:
            now = here.clock.now()
            long_ago = now - timedelta(days=500)
            await parts.store.run(lambda db: held(db, "old", long_ago, now - timedelta(days=401)))
            await parts.store.run(lambda db: held(db, "year", long_ago, now - timedelta(days=366)))
            await parts.store.run(lambda db: held(db, "runs", long_ago, None))
            others = cast(Any, SimpleNamespace(step=None, watch_proxy=None))
            await app._loops(parts, others, others, others)["house"]()
            assert await parts.store.run(lambda db: names(db, holdings)) == {"year", "runs"}
            assert await parts.store.run(lambda db: names(db, allocations)) == {"year", "runs"}
