"""What holds of hosts for a time when something fails, moves, or is not known any more?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jupyter_sandbox_spawner.control import egress_records, happenings
from jupyter_sandbox_spawner.control.forgetting import forget_ended
from jupyter_sandbox_spawner.control.tables import sandboxes
from jupyter_sandbox_spawner.errors import AnswerError, ProgramError
from jupyter_sandbox_spawner.models import EgressPolicy
from jupyter_sandbox_spawner.rules.audit import Entry
from jupyter_sandbox_spawner.rules.egress_requests import LONGEST_WAIT
from jupyter_sandbox_spawner.rules.policy_settings import PolicySettings

from .control_neighbours import START, asked, spec
from .control_street import Street
from .test_control_egress import ALICE, MIRROR, WISH, Desk, desk_on
from .test_control_egress import desk as desk  # the fixture
from .test_control_egress import here as here
from .test_control_egress_answers import GPU, HOUR, reaches, reconciler, wished

Control = Callable[[str, bool], None]
USER = {"for": 3600, "scope": "user"}


def fails_for(desk: Desk, patch: pytest.MonkeyPatch, *actions: str) -> None:
    """The audit takes every line but these."""
    write = desk.parts.audit.write

    async def full(entry: Entry, *more: Any, **named: Any) -> int:
        if entry.action in actions:
            raise ProgramError("The audit is full.", code="audit.full", status=503)
        return await write(entry, *more, **named)

    patch.setattr(desk.parts.audit, "write", full)


async def test_a_service_of_the_site_is_opened_by_its_name_alone(here: Street, control: Control) -> None:
    """Admins read that it is one; a wildcard is no answer to it, and is not taken for one."""
    async with desk_on(here, internal={"db.site.test:443": "127.0.0.1:1"}) as desk:
        await desk.start(ALICE)
        number, other = await wished(desk, host="db.site.test"), await wished(desk, host="x.site.test")
        marks = [item["internal"] for item in (await desk.admin.egress_requests())["items"]]
        assert marks == [False, True]
        with pytest.raises(AnswerError) as caught:
            await desk.admin.approve_egress(number, {**HOUR, "pattern": "*.site.test"})
        assert (caught.value.code, caught.value.field) == ("egress.grant_invalid", "pattern")
        answer = await desk.admin.approve_egress(other, {**HOUR, "pattern": "*.site.test"})
        control("the wildcard is given to the other", answer["applied"] == 1)
        assert (await desk.withdraw(number))[0] == 200
        status, again = await desk.wish(host="db.site.test")
        assert (status, again["status"]) == (200, "waiting")
        assert (await desk.admin.approve_egress(again["id"], HOUR))["applied"] == 1
        assert here.gateway.policies[ALICE.id].rules[1].pattern == "db.site.test"


async def test_who_asked_reads_that_it_is_open_once_it_is(desk: Desk) -> None:
    """While the gateway is away they read that it is not, and the list of what is allowed says the same."""
    number = await wished(desk)
    await desk.here.close("gateway")
    await desk.admin.approve_egress(number, HOUR)
    assert (await desk.told())[-1]["code"] == "egress_request.not_applied"
    seen = await desk.seen()
    assert (seen["allowed"], seen["requests"][0]["here"]) == (["mirror.test"], False)
    again = reconciler(desk)
    for _ in range(3):
        assert (await again.egress.apply(ALICE.id)).code == "gateway.unreachable"
    assert len(await desk.lines("egress_grant.applied")) == 2  # each control that tries says so once
    await desk.here.serve("gateway")
    await again.step()
    assert [item["code"] for item in await desk.told()][-2:] == [
        "egress_request.not_applied",
        "egress_request.approved",
    ]
    seen = await desk.seen()
    assert (len(seen["allowed"]), seen["requests"][0]["here"]) == (2, True)
    assert len(await desk.lines("egress_grant.applied")) == 2


async def test_only_the_sandbox_that_has_it_is_told(desk: Desk) -> None:
    """What is given to one server is no news in another of the same user, neither given nor taken back."""
    number = await wished(desk)
    await desk.start(GPU)
    grant = (await desk.admin.approve_egress(number, HOUR))["grant"]
    await desk.admin.revoke_egress(grant["id"])
    others = await desk.parts.store.run(lambda db: happenings.events_of(db, GPU.id, 0))
    assert [event for event in others if event["kind"] == "egress_request"] == []
    assert [item["status"] for item in await desk.told()] == ["waiting", "approved", "revoked"]


async def test_answers_push_no_warning_out(desk: Desk) -> None:
    """However often a program inside asks, the warning of the end is still told."""
    at = START + timedelta(minutes=10)
    detail = {"code": "warning.ttl", "why": "Its time is up.", "at": at.isoformat()}
    await desk.parts.store.run(lambda db: happenings.add_event(db, ALICE.id, START, "warning", detail))
    for _ in range(11):
        await desk.admin.deny_egress(await wished(desk), "No.")
        assert (await desk.withdraw(await wished(desk)))[0] == 200
    body = {"kernels": 1, "busy": 0}
    notices = (await desk.ask("POST", "/api/self/claims", ALICE.id, body=body))[1]["notices"]
    codes = [item["code"] for item in notices]
    assert codes == ["warning.ttl", *["egress_request.denied"] * 10]
    assert {item["at"] for item in notices[1:]} == {None}


async def test_an_answer_is_for_the_sandbox_that_the_admin_saw(desk: Desk) -> None:
    """A request that another sandbox took over is looked at again; the audit has that it moved."""
    number = await wished(desk)
    await desk.hub.released(ALICE.id, "ended.by_user", "It ended.")
    assert [item["sandbox_open"] for item in (await desk.admin.egress_requests())["items"]] == [False]
    again = spec("alice", nonce="2", egress=MIRROR)
    assert (await desk.hub.admit(asked(again))).admitted
    assert (await desk.ask("POST", "/api/self/egress/ask", again.id, "alice-token", WISH))[0] == 200
    with pytest.raises(AnswerError) as caught:
        await desk.admin.approve_egress(number, {**HOUR, "sandbox": ALICE.id})
    assert caught.value.code == "egress.request_moved"
    (line,) = await desk.lines("egress_request.moved")
    assert (line["subject"]["sandbox"], line["detail"]["to"]) == (ALICE.id, again.id)
    assert (await desk.admin.approve_egress(number, {**HOUR, "sandbox": again.id}))["grant"][
        "name"
    ] == again.id


async def test_one_closes_although_another_cannot_be_opened(desk: Desk, control: Control) -> None:
    """Where what opens is not audited, what was taken back is closed all the same."""
    first = (await desk.admin.approve_egress(await wished(desk), USER))["grant"]
    number = await wished(desk, host="other.test")
    control("it is open before", reaches(desk.here))
    with pytest.MonkeyPatch.context() as patch:
        fails_for(desk, patch, "egress_grant.applied")
        answer = await desk.admin.approve_egress(number, USER)
        assert [item["code"] for item in answer["not_applied"]] == ["audit.full"]
        await desk.admin.revoke_egress(first["id"])
        assert not reaches(desk.here)
        assert not reaches(desk.here, host="other.test")
    await reconciler(desk).step()
    assert reaches(desk.here, host="other.test")


async def test_an_answer_that_cannot_be_audited_is_none(desk: Desk) -> None:
    """Neither a no nor a withdrawal: the request waits, and nobody was told."""
    number = await wished(desk)
    with pytest.MonkeyPatch.context() as patch:
        fails_for(desk, patch, "egress_request.refused", "egress_request.withdrawn")
        with pytest.raises(AnswerError) as caught:
            await desk.admin.deny_egress(number, "No.")
        assert caught.value.code == "audit.full"
        assert (await desk.withdraw(number))[1]["code"] == "audit.full"
    assert [item["status"] for item in await desk.told()] == ["waiting"]
    assert (await desk.admin.egress_requests())["waiting"] == 1


async def test_a_taking_back_that_is_not_audited_is_written_the_next_time(desk: Desk) -> None:
    """It closes at once, the admin reads that the line is missing, and once more writes it, once."""
    grant = (await desk.admin.approve_egress(await wished(desk), HOUR))["grant"]
    with pytest.MonkeyPatch.context() as patch:
        fails_for(desk, patch, "egress_request.revoked")
        with pytest.raises(AnswerError) as caught:
            await desk.admin.revoke_egress(grant["id"])
        assert "is taken back, but that is not in the audit" in caught.value.message
    assert not reaches(desk.here)
    for _ in range(2):
        await desk.admin.revoke_egress(grant["id"])
    assert len(await desk.lines("egress_request.revoked")) == 1


async def test_nothing_is_in_force_before_its_line_is_written(desk: Desk) -> None:
    """Whoever applies grants while the line is being written finds none."""
    number, seen = await wished(desk), []
    write = desk.parts.audit.write

    async def looking(entry: Entry, *more: Any, **named: Any) -> int:
        if entry.action == "egress_request.approved":
            now = desk.here.clock.now()
            seen.append(await desk.parts.store.run(lambda db: egress_records.active(db, now)))
        return await write(entry, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.parts.audit, "write", looking)
        await desk.admin.approve_egress(number, HOUR)
    assert seen == [[]]


async def test_a_veto_is_not_asked_about_for_ever(here: Street) -> None:
    """What policy denied is asked about again when its settings change, not at every pass."""
    async with desk_on(here) as desk:
        await desk.start(ALICE)
        await desk.admin.approve_egress(await wished(desk), USER)
    async with desk_on(here, policy=PolicySettings(hosts=("mirror.test:443",))) as desk:
        again = reconciler(desk)
        await again.step()
        assert not reaches(here)
        told = len(here.gateway.told)
        await again.step()
        assert len(here.gateway.told) == told


async def test_what_is_taken_back_closes_where_the_rest_is_not_known(desk: Desk) -> None:
    """Of a sandbox whose spec nobody can read the gateway drops what was given for a time."""
    grant = (await desk.admin.approve_egress(await wished(desk), HOUR))["grant"]
    known = desk.here.gateway.entries[ALICE.id]
    lost = update(sandboxes).where(sandboxes.c.id == ALICE.id).values(spec={"v": "lost"})
    await desk.parts.store.run(lambda db: db.execute(lost))
    await reconciler(desk).step()
    assert desk.here.gateway.dropped == []
    await desk.admin.revoke_egress(grant["id"])
    assert desk.here.gateway.dropped == [ALICE.id]
    desk.here.gateway.entries[ALICE.id] = replace(known, timed="something")
    await reconciler(desk).step()
    assert desk.here.gateway.dropped == [ALICE.id] * 2


async def test_what_nobody_answers_ends(desk: Desk) -> None:
    """After thirty days it has expired and counts no more; a day before it waits."""
    await wished(desk)
    for seconds, waiting in ((LONGEST_WAIT - 86400, 1), (2 * 86400, 0)):
        desk.here.clock.pass_time(seconds)
        now = desk.here.clock.now()
        await desk.parts.store.run(lambda db, now=now: forget_ended(db, now))  # type: ignore[misc]
        assert (await desk.admin.egress_requests())["waiting"] == waiting
    assert len((await desk.admin.egress_requests(status="expired"))["items"]) == 1
    assert (await desk.seen())["requests"][0]["status"] == "expired"
    assert desk.here.gateway.policies.get(ALICE.id, EgressPolicy()).rules == ()
