"""What do control and the broker do at their start where database or Vault do not answer yet? They wait."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.broker import vault_upkeep
from jupyter_sandbox_spawner.broker.vault_upkeep import Upkeep
from jupyter_sandbox_spawner.control import turn
from jupyter_sandbox_spawner.control.databases import StoreError
from jupyter_sandbox_spawner.control.turn import in_turn
from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.settings import Site

PORTS = {"public_port": 0, "hub_port": 0, "proxy_api_port": 0, "front_port": 0}
SITE = Site(run_dir="/run/x", state_dir="/srv/x", profiles="", **PORTS)  # type: ignore[arg-type]


class LateDatabase:
    """A database whose first connections fail with these codes."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.asked = 0

    async def __aenter__(self) -> LateDatabase:
        self.asked += 1
        if self.codes:
            raise StoreError("The database control at db does not answer.", code=self.codes.pop(0))
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


async def opened(late: LateDatabase, site: Site = SITE) -> LateDatabase:
    """As control opens it at its start."""
    async with AsyncExitStack() as stack:
        return await in_turn(stack, site, lambda: late)


async def test_control_waits_for_its_database(caplog: pytest.LogCaptureFixture) -> None:
    """One that answers some tries later is taken, and that it was waited for is said once."""
    late = LateDatabase(*["database.unreachable"] * 3)
    with caplog.at_level(logging.INFO):
        assert await opened(late) is late
    assert late.asked == 4
    assert caplog.messages == [
        "The database control at db does not answer. Control waits for it, 30 s at most."
    ]


@pytest.mark.parametrize("code", ["database.unreachable", "database.denied", "database.in_use"])
async def test_control_does_not_wait_for_ever(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience has an end, and what waiting does not mend is told at once."""
    if code == "database.unreachable":
        monkeypatch.setattr(turn, "PATIENCE", 0.3)
    late = LateDatabase(*[code] * 1000)
    with pytest.raises(StoreError) as ended:
        await opened(late)
    assert ended.value.code == code
    assert (late.asked > 1) == (code == "database.unreachable")


async def test_who_waited_for_another_has_all_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long another control worked, a database that goes away then is waited for."""
    monkeypatch.setattr(turn, "PATIENCE", 0.3)
    late = LateDatabase(*["database.in_use"] * 4, "database.unreachable")
    assert await opened(late, replace(SITE, backend="kubernetes")) is late
    assert late.asked == 6


class LateVault:
    """All that an upkeep asks; the first logins fail with these codes. `done`: nobody tries any more."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.asked = self.rounds = 0
        self.now = 100.0
        self.outage = "away"
        self.done = asyncio.Event()

    async def token(self) -> str:
        """See OwnLogin.token."""
        self.asked += 1
        self.now += 5
        if self.codes:
            raise SandboxError("Vault does not answer.", code=self.codes.pop(0))
        return "token"

    def clock(self) -> float:
        """See Credentials.clock."""
        return self.now

    async def round(self) -> None:
        """See Upkeep.round; two without a try between them are the end."""
        self.rounds += 1
        if self.rounds > self.asked:
            self.done.set()


@pytest.mark.parametrize(
    ("codes", "asked", "words"),
    [
        ((), 1, ()),
        (("vault.unreachable",) * 2, 3, ("The broker waits for Vault",)),
        (("vault.unreachable",) * 50, 7, ("The broker waits for Vault", "cannot log in")),
        (("vault.denied",), 1, ("cannot log in",)),
    ],
)
async def test_the_broker_waits_for_vault(
    codes: tuple[str, ...],
    asked: int,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outage at the start is waited out for half a minute; a refusal is told at once."""
    monkeypatch.setattr(vault_upkeep, "_ROUND", 0.001)
    vault: Any = LateVault(*codes)
    vault.own = vault
    nobody: Any = None
    upkeep = Upkeep(vault, nobody, nobody)
    monkeypatch.setattr(upkeep, "round", vault.round)
    running = asyncio.create_task(upkeep.run())
    await asyncio.wait_for(vault.done.wait(), 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert vault.asked == asked
    assert len(caplog.messages) == len(words)
    assert all(text in line for text, line in zip(words, caplog.messages, strict=True))
