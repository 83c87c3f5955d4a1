"""How long does it take to say what one of 10 000 people may have, and to admit a server of theirs?"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.hub.form import profile_form
from jupyter_sandbox_spawner.rules.choosing import decide

from .figures import Goal, Measure
from .house import scratch
from .machine import first_of_all
from .own_database import open_database
from .peer_hub import open_peer_hub
from .row import BenchmarkError, Row, Take
from .town import OPEN, PEOPLE, PROFILES, Person, Town, open_town, percentile, person

__all__ = ["ROWS"]

_NOTHING = "do-nothing spawner"
_SPAWNER = "benchmarks.nothing.DoNothingSpawner"
_FORMS = f"{PROFILES} profiles"
_DECIDED = Measure("form: decided, p99", "ms", Goal("at most", 50), "ours")
_RENDERED = Measure("form: decided and rendered, p50", "ms", compare="ours")
_SLOWEST = Measure("form: decided and rendered, p99", "ms", compare="ours")
_P50 = Measure(f"an admission beside {OPEN} open sandboxes, p50", "ms", compare="ours")
_P99 = Measure(f"an admission beside {OPEN} open sandboxes, p99", "ms", Goal("at most", 20), "ours")
_LOOKS, _ADMISSIONS, _STARTS, _PAGES = 100, 200, 20, 30


def _milliseconds(began: float) -> float:
    return (time.perf_counter() - began) * 1e3


class _Decisions:
    """What is measured; people come in another order each round."""

    def __init__(self, town: Town, peer: Visitor, token: str) -> None:
        self._town, self._peer, self._token = town, peer, token
        self._dice = random.Random(3)

    def _people(self, count: int) -> list[Person]:
        # Of those who have no server yet: the last ones have one each.
        return [person(number) for number in self._dice.sample(range(PEOPLE - OPEN), count)]

    async def forms(self) -> Mapping[str, float]:
        """What may this person have, by the hub's rules and control's books; and the page."""
        decided, shown = [], []
        for who in self._people(_LOOKS):
            began = time.perf_counter()
            offers = {offer.slug: offer for offer in await self._town.control.offers(who.name, who.groups)}
            choice = decide(self._town.book.profiles, None, False, who.name, who.groups)
            decided.append(_milliseconds(began))
            page = profile_form(self._town.book.profiles, who.groups, choice, offers=offers)
            shown.append(_milliseconds(began))
            if page.count("<input") < PROFILES:
                raise BenchmarkError("The form does not show every profile.")
        return {
            _DECIDED.name: percentile(decided, 0.99),
            _RENDERED.name: percentile(shown, 0.5),
            _SLOWEST.name: percentile(shown, 0.99),
        }

    async def pages(self) -> Mapping[str, float]:
        """The hub's own page with a form of one field."""
        shown = []
        for _ in range(_PAGES):
            began = time.perf_counter()
            await self._peer.open(self._peer.hub("spawn"))
            shown.append(_milliseconds(began))
        return {
            _DECIDED.name: percentile(shown, 0.99),
            _RENDERED.name: percentile(shown, 0.5),
            _SLOWEST.name: percentile(shown, 0.99),
        }

    async def admissions(self) -> Mapping[str, float]:
        """One after the other; each ends before the next, which is not timed."""
        took = []
        for who in self._people(_ADMISSIONS):
            request = self._town.request(who, self._dice)
            began = time.perf_counter()
            answer = await self._town.control.admit(request)
            took.append(_milliseconds(began))
            if not answer.admitted:
                raise BenchmarkError(f"control does not admit {who.name}: {answer.message}")
            await self._town.leave(request)
        return _both(took)

    async def starts(self) -> Mapping[str, float]:
        """The same hub's call for a start, until it says that the server is there."""
        took = []
        server = self._peer.hub(f"api/users/{self._peer.name}/server")
        async with aiohttp.ClientSession(headers={"Authorization": f"token {self._token}"}) as session:
            for _ in range(_STARTS):
                began = time.perf_counter()
                await _done(session, "POST", server)
                took.append(_milliseconds(began))
                await _done(session, "DELETE", server)
        return _both(took)


async def _done(session: aiohttp.ClientSession, verb: str, server: URL) -> None:
    async with session.request(verb, server) as answer:
        if answer.status not in (201, 204):
            raise BenchmarkError(f"The peer answered {verb} with {answer.status}: {await answer.text()}")


def _both(took: Sequence[float]) -> Mapping[str, float]:
    return {_P50.name: percentile(took, 0.5), _P99.name: percentile(took, 0.99)}


@asynccontextmanager
async def _opened(
    takes: Callable[[_Decisions], Take], database: AbstractAsyncContextManager[tuple[str, str]] | None = None
) -> AsyncIterator[Take]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(scratch())
        where = await stack.enter_async_context(database) if database else ("", "")
        town = await stack.enter_async_context(open_town(_made(directory / "town"), *where))
        peer = await stack.enter_async_context(open_peer_hub(_made(directory / "peer"), "alice", _SPAWNER))
        await peer.open(peer.hub("home"))
        token = await peer.token("bench")
        stack.enter_context(first_of_all())
        yield takes(_Decisions(town, peer, token))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _form_takes(decisions: _Decisions) -> Take:
    async def take(contestant: str) -> Mapping[str, float]:
        return await (decisions.forms() if contestant == _FORMS else decisions.pages())

    return take


def _admission_takes(decisions: _Decisions) -> Take:
    async def take(contestant: str) -> Mapping[str, float]:
        return await (decisions.starts() if contestant == _NOTHING else decisions.admissions())

    return take


ROWS = (
    Row(
        "form",
        f"what one of {PEOPLE} people may have of {PROFILES} profiles, and the page that shows it",
        (_FORMS, _NOTHING),
        (_DECIDED, _RENDERED, _SLOWEST),
        lambda: _opened(_form_takes),
    ),
    Row(
        "admission",
        f"control's answer to a start, on SQLite, beside {OPEN} open sandboxes",
        ("control on SQLite", _NOTHING),
        (_P50, _P99),
        lambda: _opened(_admission_takes),
    ),
    Row(
        "admission-postgresql",
        "the same on a PostgreSQL of this machine",
        ("control on PostgreSQL", _NOTHING),
        (_P50, _P99),
        lambda: _opened(_admission_takes, open_database()),
    ),
)
