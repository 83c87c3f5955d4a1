"""Does a running server hear of its end once, in time and cheaply, by its own claims and by waiting?"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from jupyter_sandbox_spawner.clients.control import Notices
from jupyter_sandbox_spawner.control import happenings, records
from jupyter_sandbox_spawner.control.api_self import SelfApi
from jupyter_sandbox_spawner.wire import decode

from .control_neighbours import START
from .test_control_api import ALICE, BOB, Control, control_program

__all__ = ["control_program"]

CLAIM = {"kernels": 1, "busy": 0}


async def happens(
    program: Control, kind: str, ahead: float = 600, sandbox: str = ALICE.id, **detail: Any
) -> None:
    """Control writes an event as its loop does."""
    at = START + timedelta(seconds=ahead)
    detail = {"code": f"{kind}.ttl", "why": "It stops in 10 min because its time is up then.", **detail}
    detail = {"at": at.isoformat(), **detail}

    def write(connection: Connection) -> None:
        happenings.add_event(connection, sandbox, START, kind, detail)

    await program.parts.store.run(write)


async def claim(program: Control, heard: int = 0, sandbox: str = ALICE.id) -> Notices:
    """One word of the server, and control's answer."""
    status, answer = await program.ask("POST", "/api/self/claims", sandbox, body={**CLAIM, "heard": heard})
    assert status == 200
    return decode(Notices, answer)


async def test_a_warning_is_told_once_and_to_its_own_server(control_program: Control) -> None:
    """The answer to a claim has what came after the number heard, for this sandbox and no other."""
    assert (await claim(control_program)).notices == ()
    await happens(control_program, "warning")
    (notice,) = (await claim(control_program)).notices
    assert (notice.kind, notice.code, notice.at) == ("warning", "warning.ttl", START + timedelta(minutes=10))
    assert notice.why == "Ends at 12:10 UTC: it stops in 10 min because its time is up then."
    assert (await claim(control_program, notice.id)).notices == ()
    assert (await claim(control_program, sandbox=BOB.id)).notices == ()
    await happens(control_program, "save", 30)
    assert [item.kind for item in (await claim(control_program, notice.id)).notices] == ["save"]


async def test_what_is_over_or_moved_is_not_told(control_program: Control) -> None:
    """An end that has passed, and one that an extension has moved, are no news; the extension is."""
    await happens(control_program, "warning", code="warning.ttl")
    await happens(control_program, "warning", code="warning.idle", ahead=60)
    await happens(control_program, "extended", until=(START + timedelta(hours=1)).isoformat(), at=None)
    told = (await claim(control_program)).notices
    assert [(item.kind, item.code) for item in told] == [
        ("warning", "warning.idle"),
        ("extended", "extended.ttl"),
    ]
    assert told[1].why == "Its end was moved to 13:00 UTC."
    control_program.here.clock.pass_time(61)
    assert [item.kind for item in (await claim(control_program)).notices] == ["extended"]


async def test_a_stop_is_told_with_its_reason(control_program: Control) -> None:
    """While it is being stopped the reason is there for the teller."""
    record = await control_program.parts.store.run(lambda db: records.by_id(db, ALICE.id))
    assert record is not None
    await control_program.stopper.stop(record, "stop.by_admin", "Maintenance.", "root")
    (notice,) = (await claim(control_program)).notices
    assert (notice.code, notice.why) == ("stop.by_admin", "It is being stopped: Maintenance.")


async def test_without_news_the_database_is_not_asked(
    control_program: Control, monkeypatch: pytest.MonkeyPatch, control: Any
) -> None:
    """A claim of a server that has heard everything costs no question, also many; news end that."""
    asked: list[object] = []
    run = control_program.parts.store.run

    async def counted(question: Any) -> Any:
        asked.append(question)
        return await run(question)

    monkeypatch.setattr(control_program.parts.store, "run", counted)
    await claim(control_program)
    control("the first one asks", len(asked) == 1)
    began = time.perf_counter()
    for _ in range(50):
        await claim(control_program)
    print(f"{(time.perf_counter() - began) / 50 * 1000:.2f} ms a claim, client and server")
    assert len(asked) == 1
    await happens(control_program, "warning")
    assert len((await claim(control_program)).notices) == 1
    told = len(asked)
    await claim(control_program, 1 << 40)
    assert len(asked) == told


async def test_a_new_control_tells_again_what_was_not_heard(control_program: Control) -> None:
    """After a restart, which forgets, nothing is missed and nothing is told twice."""
    await happens(control_program, "warning")
    again = SelfApi(
        control_program.parts,
        control_program.people,
        control_program.lifetime,
        control_program.stopper,
        control_program.watcher,
    )
    assert not again._news.is_quiet(ALICE.id, 1 << 40)
    (notice,) = (await claim(control_program)).notices
    await claim(control_program, notice.id)
    assert not again._news.is_quiet(ALICE.id, 1 << 40)


async def test_an_ended_sandbox_is_no_longer_believed(control_program: Control) -> None:
    """What control remembers of a sandbox goes with it: its next claim is refused as unknown."""
    await claim(control_program)
    await control_program.hub.released(ALICE.id, "stop.at_hub", "It was stopped.", None)
    status, answer = await control_program.ask("POST", "/api/self/claims", body=CLAIM)
    assert (status, answer["code"]) == (404, "sandbox.unknown")


@pytest.mark.parametrize("heard", [-1, 10**40])
async def test_an_impossible_number_harms_nothing(control_program: Control, heard: int) -> None:
    """A claim that says to have heard what cannot be is answered."""
    await happens(control_program, "warning")
    assert len((await claim(control_program, heard)).notices) == (1 if heard < 0 else 0)


async def test_who_waits_hears_at_once(control_program: Control, control: Any) -> None:
    """The route for JupyterLab answers when an event comes, not at its timeout, and says the time."""
    status, empty = await control_program.ask("GET", "/api/self/events?timeout=1&after=99")
    assert (status, empty["items"], empty["next"], empty["now"]) == (200, [], 99, "2026-11-25T12:00:00Z")
    waiting = asyncio.create_task(control_program.ask("GET", "/api/self/events?after=0&timeout=60"))
    others = asyncio.create_task(control_program.ask("GET", "/api/self/events?timeout=1", BOB.id))
    _, quiet = await others
    control("it waits meanwhile, and so does another's", not waiting.done() and quiet["items"] == [])
    await happens(control_program, "warning")
    _, answer = await asyncio.wait_for(waiting, 10)
    assert [item["kind"] for item in answer["items"]] == ["warning"]
    assert answer["next"] == answer["items"][0]["id"]


async def test_a_flood_of_waiters_is_bounded(control_program: Control) -> None:
    """Of one sandbox 32 wait at once; one more lets the oldest go, with nothing."""
    path = "/api/self/events?timeout=60"
    waiting = [asyncio.create_task(control_program.ask("GET", path)) for _ in range(33)]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    assert (len(done), len(pending)) == (1, 32)
    await happens(control_program, "warning")
    assert len(await asyncio.wait_for(asyncio.gather(*pending), 20)) == 32


async def test_warnings_are_in_the_servers_own_answer(control_program: Control) -> None:
    """`%sandbox ttl` gets the warnings that still matter, with when they were given."""
    await happens(control_program, "warning")
    _, me = await control_program.ask("GET", "/api/self")
    (given,) = me["warnings"]
    assert (given["told_at"], given["at"]) == ("2026-11-25T12:00:00Z", "2026-11-25T12:10:00Z")
    control_program.here.clock.pass_time(601)
    assert (await control_program.ask("GET", "/api/self"))[1]["warnings"] == []
