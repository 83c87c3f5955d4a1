"""Does the gateway keep what it must, forget what it should, and tell what happened?"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.gateway.events import Spool
from jupyter_sandbox_spawner.gateway.repeats import Reporter
from jupyter_sandbox_spawner.models import EgressPolicy, EgressRule
from jupyter_sandbox_spawner.rules.bucket import Bucket
from jupyter_sandbox_spawner.rules.pod_doors import PodDenial
from tests.programs.gateway_house import GatewayHouse, boot_document, entry, gateway_house
from tests.programs.streams import connected, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
INTERNAL = EgressPolicy(rules=(EgressRule(pattern="pkg.sandbox.internal", ports=(80,), text="pkg"),))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\npackages")

    async with serving(serve) as port:
        yield port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(upstream: int) -> AsyncIterator[GatewayHouse]:
    async with gateway_house(internal={"pkg.sandbox.internal:80": f"127.0.0.1:{upstream}"}) as running:
        yield running


async def fetch(directory: str, host: str) -> bytes:
    """Ask for a page through an egress door."""
    async with connected(f"{directory}/egress.sock") as (reader, writer):
        writer.write(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await asyncio.wait_for(reader.read(), 15)


async def test_opening_again_changes_nothing(house: GatewayHouse) -> None:
    """The same entry opened twice gives the same doors; another owner under that id is refused."""
    item = entry("s1")
    name, directory = await house.open(item)
    before = os.stat(f"{directory}/api.sock").st_ino
    assert (await house.client.open(name, item)).directory == directory
    assert os.stat(f"{directory}/api.sock").st_ino == before
    with pytest.raises(AnswerError) as caught:
        await house.client.open(name, replace(item, user="eve"))
    assert caught.value.code == "gateway.entry_differs"


@pytest.mark.parametrize(
    "prefix", ["", "/", "user/a/", "/user/a", "/user/a//", "/user/a b/", "/user/ä/", "/a/?x/"]
)
async def test_an_impossible_prefix_is_refused(house: GatewayHouse, prefix: str) -> None:
    """A prefix that is not an escaped path with both slashes is refused naming the field."""
    with pytest.raises(AnswerError) as caught:
        await house.open(replace(entry("s2"), prefix=prefix))
    assert (caught.value.code, caught.value.field) == ("gateway.entry_invalid", "prefix")


@pytest.mark.parametrize("name", ["sb-x", "..", "sb-" + "A" * 20, "%2e%2e", "sb-" + "a" * 19 + "%2f"])
async def test_an_impossible_id_is_refused(house: GatewayHouse, name: str) -> None:
    """An id that is not ours opens nothing and becomes no path."""
    with pytest.raises(AnswerError) as caught:
        await house.client.open(name, entry("s3"))
    assert caught.value.status in (400, 404, 405)


async def test_unknown_sandboxes_are_404_and_close_is_idempotent(house: GatewayHouse) -> None:
    """What needs an open sandbox says that it is unknown; closing an unknown one is fine."""
    name = "sb-" + "a" * 20
    for call in (
        house.client.boot(name, boot_document()),
        house.client.ready(name, 0),
        house.client.set_egress(name, EgressPolicy()),
        house.client.drain(name),
    ):
        with pytest.raises(AnswerError) as caught:
            await call
        assert (caught.value.status, caught.value.code) == (404, "sandbox.unknown")
    await house.client.close_sandbox(name)


async def test_closing_ends_connections_and_forgets(house: GatewayHouse) -> None:
    """Closing a sandbox ends its connections and removes doors and record."""
    name, directory = await house.open(entry("s4"))
    async with connected(f"{directory}/ingress.sock") as (reader, _):
        assert await house.client.ready(name, 5)
        record = f"{house.site.run_dir}/gateway/{name}.json"
        assert stat.S_IMODE(os.stat(record).st_mode) == 0o600
        await house.client.close_sandbox(name)
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert name not in os.listdir(house.site.doors_dir)
    assert f"{name}.json" not in os.listdir(f"{house.site.run_dir}/gateway")
    await house.client.close_sandbox(name)


async def test_a_damaged_record_is_named_and_others_open() -> None:
    """After a restart a damaged record is in the log and stays shut; the other doors open."""
    async with gateway_house() as house:
        good, _ = await house.open(entry("good"))
        bad, _ = await house.open(entry("bad"))
        house.end()
        os.truncate(f"{house.site.run_dir}/gateway/{bad}.json", 25)
        await house.start()
        assert [item.id for item in await house.client.inventory()] == [good]
        assert f"{bad}.json is damaged" in house.log()
        await house.client.open(bad, entry("bad"))
        assert len(await house.client.inventory()) == 2


async def test_egress_follows_the_policy_at_once(house: GatewayHouse, control: Control) -> None:
    """A host is refused with the reason until the policy allows it, and what was decided is told."""
    name, directory = await house.open(entry("s5"))
    got = await fetch(directory, "pkg.sandbox.internal")
    assert got.startswith(b"HTTP/1.1 403 Blocked by sandbox: pkg.sandbox.internal")
    await house.client.set_egress(name, INTERNAL)
    got = await fetch(directory, "pkg.sandbox.internal")
    control("the allowed host answers", got.endswith(b"packages"))
    kinds = [(e.kind, e.detail.get("host")) for e in await house.client.events(0, 0) if e.sandbox == name]
    assert ("egress.denied", "pkg.sandbox.internal") in kinds
    assert ("egress.allowed", "pkg.sandbox.internal") in kinds
    (seen,) = [item for item in await house.client.inventory() if item.id == name]
    assert seen.denials == 1
    assert seen.bytes_in > 0


async def test_events_are_waited_for_and_acknowledged(house: GatewayHouse) -> None:
    """A long poll is answered by the next event; what is acknowledged does not come again."""
    name, directory = await house.open(entry("s6"))
    last = max((event.seq for event in await house.client.events(0, 0)), default=0)
    waiting = asyncio.create_task(house.client.events(last, 20))
    await fetch(directory, "evil.test")
    (event,) = await waiting
    assert (event.kind, event.sandbox, event.user, event.detail["host"]) == (
        "egress.denied",
        name,
        "s6",
        "evil.test",
    )
    assert event.seq == last + 1
    await house.client.acknowledge(event.seq)
    assert await house.client.events(0, 0) == ()


def _events(spool: Spool, number: int) -> None:
    for index in range(number):
        spool.append(datetime.now(timezone.utc), "k", "sb", "ada", "", {"n": index})


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """Numbers rise across a restart, even when everything was acknowledged; a cut line is left out."""
    spool = Spool(str(tmp_path / "e"))
    _events(spool, 3)
    spool.acknowledge(1)
    spool.close()
    with (tmp_path / "e").open("ab") as stream:
        stream.write(b'{"seq": 4, "ti')
    spool = Spool(str(tmp_path / "e"))
    assert [event.seq for event in await spool.after(1, 0)] == [2, 3]
    spool.acknowledge(3)
    spool.close()
    spool = Spool(str(tmp_path / "e"))
    _events(spool, 1)
    assert [event.seq for event in await spool.after(3, 0)] == [4]
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o600
    spool.close()


@pytest.mark.proves("T21", "Q10")
async def test_the_spool_is_bounded(tmp_path: Path) -> None:
    """A flood of events drops the oldest, counts them and keeps the file small."""
    spool = Spool(str(tmp_path / "e"), limit=100)
    _events(spool, 5000)
    assert [event.seq for event in await spool.after(0, 0)] == list(range(4901, 5001))
    assert spool.lost == 4900
    assert (tmp_path / "e").stat().st_size < 1100 * 200
    spool.close()


@pytest.mark.proves("T21", "Q10")
async def test_equal_events_are_one_line_a_window(tmp_path: Path) -> None:
    """The first denial is told at once, a thousand equal ones as one line, a thousand others as few."""
    spool = Spool(str(tmp_path / "e"))
    reporter = Reporter(spool, "sb", "ada", "")
    for _ in range(1000):
        reporter.report("egress.denied", {"host": "evil.test", "port": 443, "code": "c"})
    assert [event.detail["count"] for event in await spool.after(0, 0)] == [1]
    reporter.flush()
    assert [event.detail["count"] for event in await spool.after(1, 0)] == [999]
    for number in range(1000):
        reporter.report("egress.denied", {"host": f"h{number}.test", "port": 443, "code": "c"})
    reporter.flush()
    assert len(await spool.after(2, 0)) <= 70
    assert sum(int(event.detail["count"] or 0) for event in await spool.after(2, 0)) == 1000
    spool.close()


async def test_victims_of_one_address_are_told_apart(house: GatewayHouse) -> None:
    """Whoever claims to be now one pod, now another, is counted for each."""
    name, _ = await house.open(entry("tries"))
    last = max((event.seq for event in await house.client.events(0, 0)), default=0)
    for claimed in ("sb-one", "sb-two", "sb-one", "sb-one"):
        await house.client.pod_denied(name, PodDenial("pods.stranger", "10.0.0.1", claimed))
    await house.client.close_sandbox(name)
    told = [event for event in await house.client.events(last, 0) if event.sandbox == name]
    denials = [event.detail for event in told if event.kind == "pods.denied"]
    counts = [(detail["claimed"], detail["count"]) for detail in denials]
    assert counts == [("sb-one", 1), ("sb-two", 1), ("sb-one", 2)]


async def test_a_bucket_gives_its_rate() -> None:
    """A bucket of 10 a second gives 10 at once and then one each tenth of a second."""
    bucket = Bucket(10.0, now=0.0)
    for _ in range(10):
        assert bucket.wait(0.0) == 0.0
        bucket.take()
    assert bucket.wait(0.0) == pytest.approx(0.1)
    assert bucket.wait(0.11) == 0.0


async def test_health_and_metrics_answer(house: GatewayHouse) -> None:
    """Health says ok; metrics name no user."""
    assert await house.client.health() is True
    async with house.client.session().get("/metrics") as answer:
        text = await answer.text()
    assert "sandbox_gateway_sandboxes{" in text
    assert "s5" not in text
