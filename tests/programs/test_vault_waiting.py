"""What becomes of many who wait while Vault hangs? They leave together, soon, and with a reason each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.broker.control_api import ControlApi
from jupyter_sandbox_spawner.broker.parts import Parts
from jupyter_sandbox_spawner.clients.broker import BrokerControlClient
from jupyter_sandbox_spawner.clients.vault import VaultClient
from jupyter_sandbox_spawner.errors import AnswerError, ProgramError
from jupyter_sandbox_spawner.rules.breaker import Breaker
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.rules.vault_answers import outage_error
from jupyter_sandbox_spawner.serving import application, listening_socket, private_directory
from jupyter_sandbox_spawner.vault_site import VaultSite
from tests.programs.vault_street import VaultPlace, opened_vault, reader
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.vault_server import VaultServer
from tests.support.waiting import until

Control = Callable[[str, bool], None]
MANY = 40  # more than there are threads
REQUIRED = (Grant(name="shared/token", required=True),)


def test_a_breaker_tells_those_who_wait_for_their_turn() -> None:
    """Whoever asked before it opened leaves; whoever asks afterwards, as the one that tries, does not."""
    breaker = Breaker(2, 5.0)
    breaker.failed(1.0, outage_error("slow"))
    assert breaker.failed_since(0.0) is None
    breaker.failed(2.0, outage_error("slow"))
    assert breaker.failed_since(0.0) is not None
    assert breaker.check(8.0) is None
    assert breaker.failed_since(8.0) is None
    breaker.answered()
    assert breaker.failed_since(0.0) is None


@pytest.mark.lane("vault")
async def test_those_who_wait_for_a_thread_leave_with_the_others(vault: VaultServer) -> None:
    """Forty reads, eight threads: once three have met the outage the rest need not meet it themselves."""
    took: list[float] = []

    async def read(client: VaultClient) -> str:
        begun = time.monotonic()
        with pytest.raises(ProgramError) as caught:
            await client.read("hvs.nobody", "secret/data/shared/token")
        took.append(time.monotonic() - begun)
        return caught.value.code

    with faulty_proxy(vault.address) as way:
        async with VaultClient(VaultSite(address=way.address)) as client:
            way.hang()
            found = await asyncio.gather(*(read(client) for _ in range(MANY)))
    assert set(found) == {"vault.slow"}
    assert (sorted(took)[MANY - 10] < 6.5, max(took) < 9) == (True, True)
    print(
        f"{MANY} reads failed after {min(took):.1f} to {max(took):.1f} s; {len(way.requests)} reached Vault"
    )
    assert len(way.requests) < MANY / 2


@pytest.mark.lane("vault")
async def test_a_call_that_nobody_waits_for_any_more_leaves_no_trace(
    vault: VaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cut at once, so that its thread is free, and asyncio has no lost error to complain of."""
    with faulty_proxy(vault.address) as way, caplog.at_level(logging.ERROR):
        async with VaultClient(VaultSite(address=way.address)) as client:
            way.hang()
            reading = asyncio.create_task(client.read("hvs.nobody", "secret/data/shared/token"))
            await until(lambda: len(way.requests) == 1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            way.pass_on()
            await client.health()
    assert [record.message for record in caplog.records if "never retrieved" in record.message] == []


@pytest.fixture
async def hanging(vault: VaultServer, tmp_path: Path) -> AsyncIterator[tuple[FaultyProxy, VaultPlace, str]]:
    """A broker whose way to Vault can break, and the path of its socket for control."""
    with faulty_proxy(vault.address) as way:
        async with opened_vault(vault, tmp_path, address=way.address) as place:
            app = application(frozenset())
            parts = Parts(
                store=place.parts.store, blocks=place.blocks, control=place.control, vault=place.parts
            )
            ControlApi(parts).add_to(app)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            path = f"{private_directory(str(tmp_path / 's'))}/b"
            await web.SockSite(runner, listening_socket(path)).start()
            yield way, place, path
            await runner.cleanup()


@pytest.mark.lane("vault")
async def test_a_start_learns_why_also_where_everything_takes_too_long(
    vault: VaultServer, hanging: tuple[FaultyProxy, VaultPlace, str], control: Control
) -> None:
    """Vault answers a byte in three seconds: the start has a sentence about Vault within seven."""
    way, _, path = hanging
    vault.put("shared/token", {"value": "v"})
    async with BrokerControlClient(path) as client:
        await client.prepare(reader("alice", 1), REQUIRED)
        control("with Vault it may start", True)
        way.drip(3.0)
        begun = time.monotonic()
        with pytest.raises((AnswerError, ProgramError)) as caught:
            await client.prepare(reader("alice", 2), REQUIRED)
    assert time.monotonic() - begun < 7.5
    assert (caught.value.code, "Vault did not answer in time" in str(caught.value)) == ("vault.slow", True)
