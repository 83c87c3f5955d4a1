"""Does the audit hear of whom the wires refused at the pods' port, and can a pod fill it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.errors import AnswerError, UnreachableError
from jupyter_sandbox_spawner.models import Event
from jupyter_sandbox_spawner.rules.pod_doors import PodDenial
from jupyter_sandbox_spawner.rules.wires import PodRecord, digest
from jupyter_sandbox_spawner.wires.counts import Counts
from jupyter_sandbox_spawner.wires.denials import Denials
from jupyter_sandbox_spawner.wires.pod_book import PodBook
from tests.programs.test_wires_pods import ELSEWHERE, buy, opened, reach
from tests.programs.wires_street import street

Control = Callable[[str, bool], None]
A, B = ("sb-" + letter * 20 for letter in "ab")


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[PodBook]:
    """Two pods at addresses of their own."""
    made = PodBook(str(tmp_path / "pods"))
    for number, name in enumerate((A, B), 1):
        await made.save(name, PodRecord(ticket_sha256=digest(name), address=f"10.0.0.{number}"))
    yield made
    made.close()


class Gateway:
    """What it was told; `refusals` are raised first."""

    def __init__(self, *refusals: Exception) -> None:
        self.told: list[tuple[str, PodDenial]] = []
        self.refusals = list(refusals)
        self.heard = asyncio.Event()

    async def tell(self, sandbox: str, denial: PodDenial) -> None:
        """See GatewayClient.pod_denied."""
        if self.refusals:
            raise self.refusals.pop(0)
        self.told.append((sandbox, denial))
        self.heard.set()


@asynccontextmanager
async def denials(book: PodBook, gateway: Gateway, pace: float) -> AsyncIterator[Denials]:
    """At work, with this pace."""
    made = Denials(book, gateway.tell, Counts(asyncio.get_running_loop().time), pace)
    serving = asyncio.create_task(made.serve())
    yield made
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.proves("E18")
async def test_the_one_that_tries_or_the_one_that_is_tried(book: PodBook) -> None:
    """A pod answers for what comes from its address; of an address of no pod it is told whom it was about."""
    gateway = Gateway()
    async with denials(book, gateway, 60.0) as made:
        made.note("pods.stranger", B, "10.0.0.1")
        made.note("pods.address_foreign", B, "10.9.9.9")
        made.note("pods.stranger", "sb-unknown", "10.9.9.9")
        await asyncio.wait_for(gateway.heard.wait(), 60)
    assert gateway.told == [
        (A, PodDenial("pods.stranger", "10.0.0.1", B)),
        (B, PodDenial("pods.address_foreign", "10.9.9.9", B)),
        ("", PodDenial("pods.stranger", "10.9.9.9")),
    ]


@pytest.mark.proves("Q10")
async def test_a_flood_is_a_few_calls(book: PodBook, control: Control) -> None:
    """The first is told at once; a thousand more, each under another name, wait for the next turn."""
    gateway = Gateway()
    async with denials(book, gateway, 60.0) as made:
        made.note("pods.stranger", "", "10.0.0.1")
        await asyncio.wait_for(gateway.heard.wait(), 60)
        for number in range(1000):
            made.note("pods.stranger", f"sb-{number}", "10.0.0.1")
        await asyncio.sleep(0.2)
        control("the first was told", len(gateway.told) == 1)
    gateway.told.clear()
    gateway.heard.clear()
    async with denials(book, gateway, 0.01) as made:
        for number in range(1000):
            made.note("pods.stranger", f"sb-{number}", "10.0.0.1")
        await asyncio.wait_for(gateway.heard.wait(), 60)
    assert gateway.told == [(A, PodDenial("pods.stranger", "10.0.0.1", "", 1000))]


async def test_many_addresses_and_many_names(book: PodBook) -> None:
    """What is remembered until the next turn has an end, and nothing is left out of the count."""
    gateway = Gateway()
    names = [f"sb-{number:020}" for number in range(50)]
    for name in names:
        await book.save(name, PodRecord(ticket_sha256=digest(name)))
    async with denials(book, gateway, 60.0) as made:
        for number in range(3000):
            made.note("pods.stranger", names[number % 50], f"10.1.{number // 250}.{number % 250}")
        for name in names:
            made.note("pods.stranger", name, "10.0.0.1")
        await asyncio.wait_for(gateway.heard.wait(), 60)
        await asyncio.sleep(0)
    assert len(gateway.told) < 1100
    assert sum(denial.count for _, denial in gateway.told) == 3050


async def test_an_odd_answer_is_not_the_end(book: PodBook, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever telling one raises is logged; the next is told, and pods are carried on."""
    gateway = Gateway(ValueError("not JSON"))
    async with denials(book, gateway, 60.0) as made:
        made.note("pods.stranger", A, "10.0.0.1")
        made.note("pods.stranger", B, "10.0.0.2")
        await asyncio.wait_for(gateway.heard.wait(), 30)
    assert gateway.told == [(B, PodDenial("pods.stranger", "10.0.0.2", B))]
    assert "not JSON" in caplog.text


async def test_a_gateway_that_restarts_hears_of_it_later(book: PodBook) -> None:
    """What could not be told is told in the next turn; of a sandbox without doors as of nobody's."""
    gone = AnswerError("unknown", code="sandbox.unknown", status=404)
    gateway = Gateway(UnreachableError("away"), gone)
    async with denials(book, gateway, 0.05) as made:
        made.note("pods.ticket_used", A, "10.0.0.1", 3)
        await asyncio.wait_for(gateway.heard.wait(), 60)
    assert gateway.told == [("", PodDenial("pods.ticket_used", "10.0.0.1", A, 3))]


def _said(events: tuple[Event, ...]) -> Iterator[tuple[str, str, str]]:
    for event in events:
        if event.kind == "pods.denied":
            yield event.server, str(event.detail["code"]), str(event.detail["host"])


@pytest.mark.proves("E18")
async def test_the_gateways_events_have_it(control: Control) -> None:
    """A used ticket, a foreign address, another's key, and nobody's: each stands among the gateway's events,
    which control writes into the audit. What is none of these refusals is not taken."""
    async with street() as made:
        await made.gateway()
        await made.wires("gateway")
        sandbox, ticket = await opened(made, "t1", "w0rd")
        other, _ = await opened(made, "t2", "w0rd", ELSEWHERE)
        assert (await buy(made, sandbox, ticket))[0] == 204
        assert (await buy(made, sandbox, ticket, key="a-thief-made-this"))[0] == 403
        assert (await reach(made, sandbox, source="127.0.0.8"))[0] == 403
        assert (await reach(made, other, source=ELSEWHERE))[0] == 407
        assert (await reach(made, "sb-" + "z" * 20, source="127.0.0.8"))[0] == 407
        wanted = {
            ("t1", "pods.ticket_used", "127.0.0.1"),
            ("t1", "pods.address_foreign", "127.0.0.8"),
            ("t2", "pods.stranger", ELSEWHERE),
            ("", "pods.stranger", "127.0.0.8"),
        }
        found: set[tuple[str, str, str]] = set()
        async with GatewayClient(made.machine("gateway").gateway_socket) as client:
            last = 0
            while found != wanted:
                events = await asyncio.wait_for(client.events(last, 60), 90)
                assert events, (found, made.log_of("gateway"))
                last = events[-1].seq
                found |= set(_said(events))
                assert ticket not in repr(events)
            with pytest.raises(AnswerError):
                await client.pod_denied(sandbox, PodDenial("pods.suspended"))
        control("its own key opens", b"w0rd" in (await reach(made, sandbox))[1])
