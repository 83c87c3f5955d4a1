"""Can a user ask for a host, and does everybody see what became of it, with a line in the audit?"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.models import EgressPolicy, Mount
from jupyter_sandbox_spawner.rules.egress import compile_rules
from jupyter_sandbox_spawner.rules.policy_settings import PolicySettings

from .control_neighbours import asked, spec
from .control_street import Street, parts_of, street
from .test_control_api import Control
from .test_control_wishes import GivenBook

MIRROR = EgressPolicy(rules=compile_rules(["mirror.test"], "egress"))
ALICE = spec("alice", egress=MIRROR)
BOB = spec("bob", egress=MIRROR)
WISH = {"host": "data.test", "port": 443, "why": "the census of 2026"}
HOSTILE = "<img src=x onerror=alert(1)> \x1b[31m \u202e\0 end"


class Desk(Control):
    """Control, with what these tests ask of it."""

    async def wish(self, user: str = "alice", **more: Any) -> tuple[int, Any]:
        """A user's wish from inside."""
        sandbox = spec(user).id
        body = {**WISH, **more}
        return await self.ask("POST", "/api/self/egress/ask", sandbox, f"{user}-token", body)

    async def withdraw(self, number: int, user: str = "alice") -> tuple[int, Any]:
        """A user's second thought."""
        body = {"id": number}
        return await self.ask("POST", "/api/self/egress/withdraw", spec(user).id, f"{user}-token", body)

    async def seen(self, user: str = "alice") -> Any:
        """What a sandbox reads of its network."""
        return (await self.ask("GET", "/api/self/egress", spec(user).id))[1]

    async def seen_by(self, sandbox: str) -> Any:
        """What one of these ids reads of its network."""
        return (await self.ask("GET", "/api/self/egress", sandbox))[1]

    async def lines(self, *actions: str) -> list[dict[str, Any]]:
        """Lines of the audit, newest first."""
        return [line for line in await self.parts.audit.lines() if line["action"] in actions]

    async def told(self, user: str = "alice") -> list[dict[str, Any]]:
        """The events of requests that its sandbox has."""
        items = (await self.ask("GET", "/api/self/events", spec(user).id))[1]["items"]
        return [item["detail"] for item in items if item["kind"] == "egress_request"]


@asynccontextmanager
async def desk_on(
    here: Street, internal: Mapping[str, str] | None = None, **sections: Any
) -> AsyncIterator[Desk]:
    """Control, served; enter again to restart it."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(parts_of(here, Tuning(settle=0, tick=0.05)))
        found = Desk(here, replace(parts, terms=GivenBook(**sections), internal_services=internal or {}))
        await found.serve(stack)
        yield found


@pytest.fixture
async def here() -> AsyncIterator[Street]:
    """A street without control."""
    with tempfile.TemporaryDirectory(prefix="ce", dir="/tmp") as name:
        async with street(Path(name)) as found:
            yield found


@pytest.fixture
async def desk(here: Street) -> AsyncIterator[Desk]:
    """Control with alice's and bob's servers running."""
    async with desk_on(here) as found:
        await found.start(ALICE)
        await found.start(BOB)
        yield found


async def test_a_wish_waits_and_is_seen_in_the_list_the_events_and_the_audit(desk: Desk) -> None:
    """Who asked reads it with its reason; the audit has it with the decision of policy."""
    status, request = await desk.wish(host="Data.Test.")
    assert (status, request["host"], request["port"], request["status"]) == (200, "data.test", 443, "waiting")
    assert request["until"] is None
    seen = await desk.seen()
    assert seen["requests"] == [request]
    assert seen["allowed"] == ["mirror.test"]
    (event,) = await desk.told()
    assert (event["id"], event["status"], event["until"]) == (request["id"], "waiting", None)
    (line,) = await desk.lines("egress_request.asked")
    assert (line["actor"], line["subject"]["sandbox"]) == ("alice", ALICE.id)
    assert line["detail"]["decisions"][0]["question"]["resource"] == "data.test:443"


async def test_another_user_sees_nothing_of_it(desk: Desk) -> None:
    """Neither the list nor the events of bob's server have alice's request."""
    assert (await desk.wish())[0] == 200
    assert (await desk.seen("bob"))["requests"] == []
    assert await desk.told("bob") == []


async def test_the_same_wish_again_is_the_same_request(desk: Desk) -> None:
    """A second click asks for nothing new, and writes nothing."""
    (_, first), (_, second) = await desk.wish(), await desk.wish(why="again")
    assert second == first
    assert len(await desk.lines("egress_request.asked")) == 1


async def test_ten_requests_wait_and_no_more(desk: Desk) -> None:
    """The eleventh is refused; one withdrawn makes room again."""
    numbers = [(await desk.wish(host=f"h{number}.test"))[1]["id"] for number in range(10)]
    status, refused = await desk.wish(host="h10.test")
    assert (status, refused["code"]) == (429, "egress.too_many_requests")
    status, gone = await desk.withdraw(numbers[0])
    assert (status, gone["status"]) == (200, "withdrawn")
    assert (await desk.wish(host="h10.test"))[0] == 200
    (line,) = await desk.lines("egress_request.withdrawn")
    assert line["detail"]["request"] == numbers[0]


async def test_nobody_withdraws_what_is_not_theirs_or_does_not_wait(desk: Desk) -> None:
    """Bob is told that there is no such request, alice that it was withdrawn already."""
    number = (await desk.wish())[1]["id"]
    status, refused = await desk.withdraw(number, "bob")
    assert (status, refused["code"]) == (404, "egress.unknown_request")
    assert (await desk.withdraw(number))[0] == 200
    status, refused = await desk.withdraw(number)
    assert (status, refused["code"]) == (409, "egress.request_decided")


async def test_a_wish_needs_the_servers_own_token(desk: Desk) -> None:
    """The socket alone, and another server's token, ask for nothing."""
    for token, code in (("", "identity.missing"), ("bob-token", "identity.mismatch")):
        _, refused = await desk.ask("POST", "/api/self/egress/ask", ALICE.id, token, WISH)
        assert refused["code"] == code
    assert (await desk.seen())["requests"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"host": "127.0.0.1"}, "egress.request_invalid"),
        ({"host": "<b>x</b>"}, "egress.request_invalid"),
        ({"port": "443"}, "wire.invalid"),
        ({"port": True}, "wire.invalid"),
        ({"why": "x" * 501}, "egress.request_invalid"),
        ({"allow_private": ["10.0.0.0/8"]}, "wire.invalid"),
        ({"host": "mirror.test"}, "egress.already_allowed"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_its_reason(
    desk: Desk, body: dict[str, Any], code: str
) -> None:
    """The answer has a code and a sentence, and nothing waits."""
    status, refused = await desk.wish(**body)
    assert (400 <= status < 500, refused["code"]) == (True, code)
    assert refused["message"]
    assert (await desk.seen())["requests"] == []


@pytest.mark.proves("H06")
async def test_hostile_words_are_kept_as_one_harmless_line(desk: Desk) -> None:
    """Markup stays text; what a terminal or a database obeys does not reach them."""
    status, request = await desk.wish(why=HOSTILE)
    assert status == 200
    assert request["why"] == "<img src=x onerror=alert(1)> \ufffd[31m \ufffd\ufffd end"
    assert (await desk.seen())["requests"] == [request]


async def test_where_guarded_data_are_nothing_is_asked_for(here: Street) -> None:
    """A server with such data is refused with the reason, and may withdraw nothing either."""
    data = Mount(kind="dataset", source="/d", target="/data/d", read_only=True, dataset="d@1", tags=("pii",))
    guarded = replace(ALICE, mounts=(*ALICE.mounts, data))
    async with desk_on(here) as desk:
        await desk.start(guarded)
        status, refused = await desk.wish()
        assert (status, refused["code"]) == (403, "egress.guarded_data")
        (line,) = await desk.lines("egress_request.denied")
        assert (line["code"], line["detail"]["host"]) == ("egress.guarded_data", "data.test")


async def test_policy_vetoes_a_wish_before_anybody_is_asked(here: Street) -> None:
    """What the site's policy does not open waits for no admin; the audit has the denial."""
    async with desk_on(here, policy=PolicySettings(hosts=("mirror.test:443", "*.open.test:443"))) as desk:
        await desk.start(ALICE)
        status, refused = await desk.wish()
        assert (status, refused["code"]) == (403, "policy.egress.not_allowed")
        assert "profile" not in refused["message"]
        assert (await desk.wish(host="eu.open.test"))[0] == 200
        assert [item["host"] for item in (await desk.seen())["requests"]] == ["eu.open.test"]
        (line,) = await desk.lines("policy.denied")
        assert line["subject"]["sandbox"] == ALICE.id


async def test_a_wish_of_an_ended_server_is_taken_over_by_the_next(desk: Desk) -> None:
    """Asked again from a new server, it is the same request, now for the one that runs."""
    number = (await desk.wish())[1]["id"]
    await desk.hub.released(ALICE.id, "ended.by_user", "It ended.")
    again = spec("alice", nonce="2", egress=MIRROR)
    assert (await desk.hub.admit(asked(again))).admitted
    _, request = await desk.ask("POST", "/api/self/egress/ask", again.id, "alice-token", WISH)
    assert request["id"] == number
    found = await desk.parts.store.run(lambda db: records.by_id(db, again.id))
    assert found is not None
    assert found.is_open
