"""Is the boot document handed over once, to the sandbox it is for, and kept nowhere?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.errors import AnswerError
from tests.programs.gateway_house import GatewayHouse, boot_document, entry, gateway_house
from tests.programs.gateway_strangers import CONNECT_AS, STRANGER, reachable, run_as, through, told
from tests.programs.streams import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house() as running:
        yield running


async def test_the_boot_document_is_handed_over_once(house: GatewayHouse) -> None:
    """The first reader gets the document, the second end of file, and that is told."""
    name, directory = await house.open(entry("b1"))
    await house.client.boot(name, boot_document(TOKEN="c4n4ry"))
    first = json.loads(await through(f"{directory}/boot.sock"))
    assert first["environment"] == {"TOKEN": "c4n4ry"}
    assert await through(f"{directory}/boot.sock") == b""
    assert len(await told(house, "boot.second_reader", name)) == 1
    with pytest.raises(AnswerError, match="already handed over"):
        await house.client.boot(name, boot_document())


async def test_a_reader_waits_for_the_document(house: GatewayHouse) -> None:
    """A sandbox that is faster than the hub is held until its document comes; another reader is not."""
    name, directory = await house.open(entry("b2"))
    waiting = asyncio.create_task(through(f"{directory}/boot.sock"))
    await house.carries(name, 1)
    assert await through(f"{directory}/boot.sock") == b""
    assert not waiting.done()
    await house.client.boot(name, boot_document())
    assert json.loads(await waiting)["version"] == 1


async def test_a_reader_that_left_does_not_use_up_the_document(house: GatewayHouse) -> None:
    """A reader that leaves before the document came leaves it to the next."""
    name, directory = await house.open(entry("b3"))
    async with connected(f"{directory}/boot.sock"):
        await house.carries(name, 1)
    await house.carries(name, 0)
    await house.client.boot(name, boot_document())
    assert json.loads(await through(f"{directory}/boot.sock"))["version"] == 1


async def test_an_expired_document_is_gone(house: GatewayHouse) -> None:
    """A document past its time is withdrawn; one that has expired already is not taken."""
    name, directory = await house.open(entry("b4"))
    await house.client.boot(name, boot_document(seconds=0.5, TOKEN="old"))
    await asyncio.sleep(0.8)  # the document's time passes; nobody is told
    reader = asyncio.create_task(through(f"{directory}/boot.sock"))
    await house.carries(name, 1)
    assert not reader.done()
    with pytest.raises(AnswerError, match="expired") as caught:
        await house.client.boot(name, boot_document(seconds=-1))
    assert caught.value.code == "boot.expired"
    await house.client.boot(name, boot_document(TOKEN="new"))
    assert json.loads(await reader)["environment"] == {"TOKEN": "new"}


@pytest.mark.lane("root")
async def test_a_foreign_connect_aborts_the_start(house: GatewayHouse) -> None:
    """Another uid at the boot door withdraws the document: nobody gets it, and the hub is told why."""
    name, directory = await house.open(entry("b5"))
    await house.client.boot(name, boot_document(TOKEN="c4n4ry"))
    reachable(house, True)
    try:
        assert await run_as(STRANGER, CONNECT_AS, f"{directory}/boot.sock") == "read 0"
    finally:
        reachable(house, False)
    assert await through(f"{directory}/boot.sock") == b""
    with pytest.raises(AnswerError) as caught:
        await house.client.ready(name, 30)
    assert caught.value.code == "boot.foreign"
    with pytest.raises(AnswerError, match="aborted"):
        await house.client.boot(name, boot_document())
    (event,) = await told(house, "boot.foreign", name)
    assert event.detail["uid"] == STRANGER


async def test_the_boot_document_is_never_on_disk(house: GatewayHouse, control: Control) -> None:
    """No file below the gateway's directories holds a byte of a boot document; entries are there."""
    name, directory = await house.open(entry("b6"))
    await house.client.boot(name, boot_document(TOKEN="c4n4ry-on-disk"))
    files = {path: path.read_bytes() for path in house.root.rglob("*") if path.is_file()}
    assert not [path for path, raw in files.items() if b"c4n4ry-on-disk" in raw]
    control("the entry is on disk", any(b"/user/b6/" in raw for raw in files.values()))
    assert b"c4n4ry-on-disk" in await through(f"{directory}/boot.sock")
