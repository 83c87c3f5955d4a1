"""Is a wish for time granted once, within its caps, with a line in the audit, whatever happens meanwhile?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.control import happenings, records, wish_records
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.control.records import SandboxRecord
from jupyter_sandbox_spawner.control.terms import OwnTerms
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.models import Mount
from jupyter_sandbox_spawner.rules.lifetimes import LifetimeRule, Lifetimes
from jupyter_sandbox_spawner.rules.policy_settings import PolicySettings
from jupyter_sandbox_spawner.rules.rulebook import Rulebook

from .control_neighbours import START, spec
from .control_street import Street, parts_of, street
from .test_control_api import Control

ALICE = spec("alice", ttl=3600, idle_timeout=600)
BOB = spec("bob", ttl=3600)
TWICE = {"extend_by": 3600, "extend_at_most": 7200, "extend_times": 2}
EXTEND, KEEP = "/api/self/extend", "/api/self/keep"


class GivenBook(OwnTerms):
    """Terms as the request has them, and a rule book of the test's."""

    def __init__(self, **sections: Any) -> None:
        super().__init__("")
        self.given = Rulebook(profiles=(), **sections)

    async def book(self) -> Rulebook:
        return self.given


class Site(Control):
    """Control, with what these tests ask of it."""

    async def extend(self, key: str = "", **more: Any) -> tuple[int, Any]:
        """Alice's own wish."""
        body = {**({"key": key} if key else {}), **more}
        return await self.ask("POST", EXTEND, token="alice-token", body=body)

    async def keep(self, by: int, token: str = "alice-token") -> tuple[int, Any]:
        """To be kept."""
        return await self.ask("POST", KEEP, token=token, body={"by": by})

    async def me(self) -> Any:
        """What alice's server reads of itself."""
        return (await self.ask("GET", "/api/self"))[1]

    async def record(self) -> SandboxRecord:
        """Alice's."""
        found = await self.parts.store.run(lambda db: records.by_id(db, ALICE.id))
        assert found is not None
        return found

    async def lines(self, *actions: str) -> list[dict[str, Any]]:
        """What the audit has of alice's server, newest first."""
        found = await self.parts.audit.lines(sandbox=ALICE.id)
        return [line for line in found if line["action"] in actions]


@asynccontextmanager
async def control_on(here: Street, **sections: Any) -> AsyncIterator[Site]:
    """Control, served; enter again to restart it."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(parts_of(here, Tuning(settle=0, tick=0.05)))
        site = Site(here, replace(parts, terms=GivenBook(**sections)))
        await site.serve(stack)
        yield site


@pytest.fixture
async def here() -> AsyncIterator[Street]:
    """A street without control."""
    with tempfile.TemporaryDirectory(prefix="cw", dir="/tmp") as name:
        async with street(Path(name)) as found:
            yield found


@pytest.fixture
async def site(here: Street) -> AsyncIterator[Site]:
    """Control with alice's server, fifty minutes old, and bob's."""
    async with control_on(here) as found:
        await found.start(ALICE, **TWICE)
        await found.start(BOB, **TWICE)
        here.clock.pass_time(3000)
        yield found


def instant(text: str) -> datetime:
    """Of an answer."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


async def test_the_same_wish_again_changes_nothing(site: Site) -> None:
    """The answer to a repeated key is the first one, however late; there is one extension and one line."""
    status, first = await site.extend("wish-1")
    assert (status, first["deadline"], first["left"], first["repeated"]) == (
        200,
        "2026-11-25T13:50:00Z",
        1,
        False,
    )
    site.here.clock.pass_time(600)
    status, again = await site.extend("wish-1")
    assert (status, again["deadline"], again["left"], again["repeated"]) == (200, first["deadline"], 1, True)
    assert (await site.record()).deadline == instant(first["deadline"])
    (line,) = await site.lines("sandbox.extend")
    assert (line["actor"], line["detail"]["key"]) == ("alice", "wish-1")
    assert (await site.extend("wish-2"))[1]["deadline"] == "2026-11-25T14:00:00Z"
    assert (await site.extend("wish-1"))[1]["deadline"] == first["deadline"]


async def test_many_that_ask_at_once_under_one_key_are_one_wish(site: Site) -> None:
    """Eight requests in a race get one deadline between them and leave one line."""
    answers = await asyncio.gather(*(site.extend("race") for _ in range(8)))
    assert {(status, answer["deadline"]) for status, answer in answers} == {(200, "2026-11-25T13:50:00Z")}
    assert sum(not answer["repeated"] for _, answer in answers) == 1
    assert len(await site.lines("sandbox.extend")) == 1


async def test_a_wish_is_known_after_a_restart(here: Street) -> None:
    """Control that was killed after it granted a wish answers the same, and writes the line it owed."""
    async with control_on(here) as site:
        await site.start(ALICE, **TWICE)
        here.clock.pass_time(3000)
        granted = (await site.extend("kept"))[1]["deadline"]
        here.clock.pass_time(60)
        record, now = await site.record(), here.clock.now()
        later = now + timedelta(hours=1)  # as far as a control came that died before its audit
        await site.parts.store.run(
            lambda db: wish_records.add_extension(db, record, later, "alice", now, "died")
        )
    async with control_on(here) as site:
        assert (await site.extend("kept"))[1]["deadline"] == granted
        for _ in range(2):
            assert instant((await site.extend("died"))[1]["deadline"]) == later
        keys = [line["detail"]["key"] for line in await site.lines("sandbox.extend")]
        assert keys == ["died", "kept"]


async def test_no_more_than_the_profile_s_number(site: Site) -> None:
    """Of ten at once, two are granted; the refusal says how many were used, and it is audited."""
    answers = await asyncio.gather(*(site.extend(f"w{number}", by=1200 + number) for number in range(10)))
    assert sum(status == 200 for status, _ in answers) <= 2
    site.here.clock.pass_time(600)
    while (answer := await site.extend())[0] == 200:
        site.here.clock.pass_time(600)
    assert (answer[0], answer[1]["code"]) == (409, "extend.used_up")
    assert "2 of 2 extensions used" in answer[1]["message"]
    assert len(await site.lines("sandbox.extend")) == 2
    assert (await site.lines("extension.denied"))[0]["code"] == "extend.used_up"


async def test_what_is_left_can_be_read(site: Site) -> None:
    """How many more there are, and where they end, before and after one."""
    before = (await site.me())["extension"]
    assert (before["possible"], before["left"], before["cap"]) == (True, 2, "2026-11-25T15:00:00Z")
    assert (await site.extend())[1]["cap"] == "2026-11-25T15:00:00Z"
    assert (await site.me())["extension"]["left"] == 1


@pytest.mark.parametrize("key", ["admin/x", "a" * 65, "a b", "\u00e4"])
async def test_a_key_that_is_none_is_refused(site: Site, key: str) -> None:
    """It is refused with its field, and nothing is granted."""
    status, answer = await site.extend(key)
    assert (status, answer["code"], answer["field"]) == (400, "wire.invalid", "key")
    assert (await site.record()).deadline == START + timedelta(hours=1)


async def test_what_is_being_stopped_is_not_extended(site: Site) -> None:
    """A stop that is decided stays decided."""
    now = site.here.clock.now()
    await site.parts.store.run(lambda db: records.decide_stop(db, ALICE.id, "stop.idle", "x", "control", now))
    status, answer = await site.extend()
    assert (status, answer["code"]) == (409, "extend.too_late")


async def test_a_key_counts_for_its_own_server_only(site: Site) -> None:
    """Another person's key of the same name is another wish."""
    assert (await site.extend("same"))[0] == 200
    status, answer = await site.ask("POST", EXTEND, BOB.id, "bob-token", {"key": "same"})
    assert (status, answer["repeated"]) == (200, False)


async def test_an_admin_passes_the_profiles_caps(site: Site) -> None:
    """A day is given where the profile gives an hour; user and audit read who and why, and it counts as
    none of the user's extensions."""
    answer = await site.admin.extend(ALICE.id, 24 * 3600, "For the paper.", "k")
    assert answer["deadline"] == "2026-11-26T12:50:00Z"
    assert (await site.admin.extend(ALICE.id, 24 * 3600, "For the paper.", "k"))["repeated"]
    (line,) = await site.lines("sandbox.extend")
    assert line["actor"].startswith("admin uid")
    assert line["detail"]["why"] == "For the paper."
    (event,) = (await site.ask("GET", "/api/self/events"))[1]["items"]
    assert (event["kind"], event["detail"]["code"]) == ("extended", "extended.by_admin")
    assert event["detail"]["why"] == "An admin extended it: it ends at Thu 26 Nov 12:50 UTC (For the paper.)."
    extension = (await site.me())["extension"]
    assert (extension["left"], extension["code"]) == (2, "extend.at_cap")


async def test_an_admin_does_not_pass_policy(here: Street) -> None:
    """The site's policy is asked about an admin's extension, too, and its refusal says the cap."""
    async with control_on(here, policy=PolicySettings(extension_at_most=7200)) as site:
        await site.start(ALICE)
        with pytest.raises(AnswerError) as caught:
            await site.admin.extend(ALICE.id, 3 * 3600)
        assert caught.value.code == "policy.extension.too_long"
        assert (await site.record()).deadline == START + timedelta(hours=1)
        assert (await site.admin.extend(ALICE.id, 2 * 3600))["deadline"] == "2026-11-25T14:00:00Z"


@pytest.mark.parametrize("zone", ["phi", ""])
async def test_an_admin_does_not_pass_the_end_of_a_right(here: Street, zone: str) -> None:
    """In a zone, and where the right to a dataset ends with the server, nobody moves the end."""
    data = Mount(kind="dataset", source="/d", target="/data/d", read_only=True, dataset="d@1")
    ending = replace(data, until=START + timedelta(hours=1))
    wanted = replace(ALICE, zone=zone, mounts=(*ALICE.mounts, *(() if zone else (ending,))))
    async with control_on(here) as site:
        await site.start(wanted)
        await site.start(BOB)
        with pytest.raises(AnswerError) as caught:
            await site.admin.extend(wanted.id, 7200)
        assert caught.value.code == "extend.data_ends"
        (line,) = await site.lines("extension.denied")
        assert line["detail"]["actor"].startswith("admin uid")
        assert (await site.admin.extend(BOB.id, 7200))["deadline"] == "2026-11-25T14:00:00Z"


async def test_a_kept_server_is_not_culled(site: Site) -> None:
    """Unused past its idle timeout it goes on until the instant it is kept to, and then ends."""
    await site.admin.extend(ALICE.id, 24 * 3600)
    assert (await site.keep(7200))[1]["keep_until"] == "2026-11-25T14:50:00Z"
    assert (await site.me())["keep_until"] == "2026-11-25T14:50:00Z"
    site.here.clock.pass_time(7100)
    judged = await site.lifetime.verdict_of(await site.record())
    assert judged.verdict.action != "stop"
    assert judged.verdict.at == instant("2026-11-25T14:50:00Z")
    site.here.clock.pass_time(101)
    assert (await site.me())["keep_until"] is None
    assert (await site.lifetime.verdict_of(await site.record())).verdict.code == "stop.idle"


async def test_a_warning_of_idleness_goes_when_it_is_kept_or_used(site: Site) -> None:
    """What the pages and the server itself show of it is gone while it is kept beyond that end, and for good
    once it was used; other ends stand, also where its time was extended."""
    now, soon = site.here.clock.now(), site.here.clock.now() + timedelta(minutes=2)
    detail = {"at": soon.isoformat(), "why": "It is not used.", "code": "warning.idle"}

    async def shown() -> tuple[int, bool]:
        (found,) = await site.hub.servers("alice")
        return len((await site.me())["warnings"]), found.warned_at is not None

    async def told(code: str) -> None:
        event = partial(happenings.add_event, sandbox=ALICE.id, at=now, kind="warning")
        await site.parts.store.run(lambda db: event(db, detail={**detail, "code": code}))

    await told("warning.idle")
    assert await shown() == (1, True)
    await site.keep(300)
    assert await shown() == (0, False)
    await site.keep(60)
    assert await shown() == (1, True)
    later = now + timedelta(seconds=1)
    await site.parts.store.run(lambda db: records.remember_use(db, ALICE.id, later))
    assert await shown() == (0, False)
    await told("warning.schedule")
    await site.keep(300)
    assert await shown() == (1, True)


async def test_the_pages_tell_the_limits_in_force(here: Street) -> None:
    """A rule's idle timeout and max age are told in the place of the profile's."""
    rules = (LifetimeRule(name="short", profiles=(ALICE.profile,), idle_timeout=300, max_age=1200),)
    for lifetime, idle, left in ((Lifetimes(), 600, 3600), (Lifetimes(rules=rules), 300, 1200)):
        async with control_on(here, lifetime=lifetime) as site:
            await site.start(ALICE)
            (found,) = await site.hub.servers("alice")
        assert (found.idle_timeout, found.deadline) == (idle, START + timedelta(seconds=left))


async def test_keeping_is_audited_where_it_changes_something(site: Site) -> None:
    """Asked again within the minute it is the same instant without a line; off has one, once."""
    first = (await site.keep(300))[1]["keep_until"]
    site.here.clock.pass_time(10)
    assert (await site.keep(300))[1]["keep_until"] == first
    for _ in range(2):
        assert await site.keep(0) == (200, {"keep_until": None, "now": "2026-11-25T12:50:10Z"})
    untils = [line["detail"]["until"] for line in await site.lines("sandbox.keep")]
    assert untils == [None, "2026-11-25T12:55:00+00:00"]


async def test_what_changes_nothing_is_no_reason_to_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of wishes that are repeated, each first one alone lets its server be judged again."""
    looks: list[str] = []
    monkeypatch.setattr(site.lifetime, "watch", looks.append)
    for _ in range(3):
        assert (await site.keep(300))[0] == 200
        assert (await site.extend("wish"))[0] == 200
        await site.admin.extend(ALICE.id, 24 * 3600, key="longer")
    assert looks == [ALICE.id] * 3


async def test_keeping_moves_no_other_end(site: Site) -> None:
    """Until the end of its time at most, whatever is asked for."""
    assert (await site.keep(10**12))[1]["keep_until"] == "2026-11-25T13:00:00Z"
    assert (await site.record()).deadline == START + timedelta(hours=1)


async def test_keeping_survives_a_restart(here: Street) -> None:
    """What was granted is in the database."""
    async with control_on(here) as site:
        await site.start(ALICE)
        await site.keep(1800)
    async with control_on(here) as site:
        assert (await site.me())["keep_until"] == "2026-11-25T12:30:00Z"


async def test_a_site_may_keep_nothing(here: Street) -> None:
    """With keep_alive 0 the refusal says so, and it is audited."""
    async with control_on(here, lifetime=Lifetimes(keep_alive=0)) as site:
        await site.start(ALICE)
        status, answer = await site.keep(60)
        assert (status, answer["code"]) == (409, "keep.not_offered")
        assert "keep_alive is 0" in answer["message"]
        assert (await site.lines("keep.denied"))[0]["code"] == "keep.not_offered"


@pytest.mark.proves("Q10")
async def test_a_program_inside_cannot_fill_the_audit_by_it(site: Site) -> None:
    """The sixty-first change within an hour is refused; later it is possible again."""
    for number in range(60):
        assert (await site.keep(300 if number % 2 else 0 if number else 400))[0] == 200
    status, answer = await site.keep(500)
    assert (status, answer["code"]) == (429, "keep.too_often")
    assert (await site.record()).keep_until is not None
    await site.admin.extend(ALICE.id, 4 * 3600)
    site.here.clock.pass_time(3601)
    assert (await site.keep(500))[0] == 200


async def test_only_the_servers_own_token_keeps_it(site: Site) -> None:
    """Without a token, with bob's, and with nonsense for a number nothing is kept."""
    for token in ("", "bob-token", "nobody"):
        assert (await site.keep(600, token))[0] in (401, 403)
    for by in (-1, "2h", 1.5, None):
        status, answer = await site.ask("POST", KEEP, token="alice-token", body={"by": by})
        assert (status, answer["code"]) == (400, "wire.invalid")
    assert (await site.record()).keep_until is None
    assert (await site.keep(600))[0] == 200
