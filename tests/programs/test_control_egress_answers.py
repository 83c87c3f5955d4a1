"""Does an admin's answer open and close a host at once, for whom it is meant, and never past its end?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.errors import AnswerError, ProgramError
from jupyter_sandbox_spawner.models import Mount, SandboxSpec
from jupyter_sandbox_spawner.rules.egress import decide
from jupyter_sandbox_spawner.rules.policy_settings import PolicySettings
from tests.support.waiting import until

from .control_neighbours import START, asked, spec
from .control_street import Street
from .test_control_egress import ALICE, BOB, MIRROR, Desk, desk_on
from .test_control_egress import desk as desk  # the fixture
from .test_control_egress import here as here

Control = Callable[[str, bool], None]
GPU = spec("alice", "gpu", egress=MIRROR)
HOUR = {"for": 3600, "scope": "sandbox"}


def reaches(here: Street, sandbox: SandboxSpec = ALICE, host: str = "data.test") -> bool:
    """Would the gateway let it, by the policy that it was told last, at the clock's time?"""
    policy = here.gateway.policies.get(sandbox.id, sandbox.egress)
    return decide(policy, host, 443, here.clock.now())[0].allowed


async def wished(desk: Desk, user: str = "alice", **more: Any) -> int:
    """The number of a request that waits."""
    status, request = await desk.wish(user, **more)
    assert status == 200
    return int(request["id"])


def reconciler(desk: Desk) -> Reconciler:
    """Another one, as after a restart: it remembers nothing."""
    return Reconciler(desk.parts, desk.stopper, desk.lifetime)


async def test_an_approved_host_is_open_at_once_and_ends_by_itself(desk: Desk, control: Control) -> None:
    """The running server has it without a restart, everybody reads until when, and then it is gone."""
    number = await wished(desk)
    control("it is closed before", not reaches(desk.here))
    answer = await desk.admin.approve_egress(number, {**HOUR, "why": "for the census"})
    assert (answer["applied"], answer["not_applied"]) == (1, [])
    assert (answer["request"]["status"], answer["grant"]["until"]) == ("approved", "2026-11-25T13:00:00Z")
    assert reaches(desk.here)
    assert not reaches(desk.here, BOB)
    seen = await desk.seen()
    assert seen["allowed"] == ["mirror.test", "data.test:443 (request 1) until 2026-11-25 13:00 UTC"]
    (request,) = seen["requests"]
    assert (request["status"], request["answer"], request["scope"]) == (
        "approved",
        "for the census",
        "sandbox",
    )
    event = (await desk.told())[-1]
    assert (event["status"], event["until"]) == ("approved", "2026-11-25T13:00:00+00:00")
    desk.here.clock.pass_time(3600)
    assert not reaches(desk.here)
    seen = await desk.seen()
    assert (seen["allowed"], seen["requests"][0]["status"]) == (["mirror.test"], "expired")


async def test_the_answer_comes_as_a_notice(desk: Desk) -> None:
    """What the server inside is told of is the answer, and not the user's own act."""
    number = await wished(desk)
    claims = {"kernels": 1, "busy": 0}
    path = "/api/self/claims"
    assert (await desk.ask("POST", path, ALICE.id, body=claims))[1]["notices"] == []
    await desk.admin.deny_egress(number, "Use the mirror.")
    (notice,) = (await desk.ask("POST", path, ALICE.id, body=claims))[1]["notices"]
    assert (notice["kind"], notice["code"]) == ("egress_request", "egress_request.denied")
    assert notice["why"] == "Access to data.test:443 was denied (Use the mirror.)."


async def test_every_step_is_in_the_audit(desk: Desk) -> None:
    """Asked, approved, applied and taken back, each with who and what."""
    number = await wished(desk)
    answer = await desk.admin.approve_egress(number, HOUR)
    await desk.admin.revoke_egress(answer["grant"]["id"], "No more.")
    actions = ("egress_request.asked", "egress_request.approved", "egress_grant.applied")
    found = await desk.lines(*actions, "egress_request.revoked")
    assert [line["action"] for line in found[::-1]] == [
        *actions,
        "egress_grant.applied",
        "egress_request.revoked",
    ]
    revoked, closed, opened, approved, _ = found
    assert approved["actor"].startswith("admin uid ")
    assert approved["detail"]["until"] == "2026-11-25T13:00:00+00:00"
    assert approved["detail"]["decisions"][0]["allow"] is True
    assert opened["detail"]["opened"] == closed["detail"]["closed"] == ["data.test:443 (request 1)"]
    assert revoked["detail"]["why"] == "No more."


async def test_a_user_has_it_in_every_server_and_in_the_next(desk: Desk) -> None:
    """With the scope of a user, one that runs beside has it now, and one that starts has it in its spec."""
    number = await wished(desk)
    await desk.start(GPU)
    answer = await desk.admin.approve_egress(number, {"for": 3600, "scope": "user"})
    assert answer["applied"] == 2
    assert reaches(desk.here, GPU)
    more = spec("alice", "more", egress=MIRROR)
    admitted = await desk.hub.admit(asked(more))
    assert admitted.spec is not None
    assert decide(admitted.spec.egress, "data.test", 443, START)[0].allowed
    (line,) = [line for line in await desk.lines("admission") if line["subject"]["sandbox"] == more.id]
    assert list(line["detail"]["egress_grants"]) == ["data.test:443 (request 1)"]
    bobs = await desk.hub.admit(asked(spec("bob", "more", egress=MIRROR)))
    assert bobs.spec is not None
    assert bobs.spec.egress == MIRROR


async def test_a_group_has_it_and_others_do_not(here: Street) -> None:
    """Its members' servers have it; a group that the asker is not in cannot be given it."""
    async with desk_on(here) as desk:
        for wanted, groups in ((ALICE, ("physics",)), (BOB, ("physics",)), (spec("carol"), ())):
            request = replace(asked(wanted), groups=groups)
            assert (await desk.hub.admit(request)).admitted
            here.running(wanted)
            here.hub.tokens[f"{wanted.user}-token"] = {
                "name": wanted.user,
                "kind": "user",
                "scopes": [f"custom:sandbox:self!server={wanted.user}/"],
            }
        number = await wished(desk)
        with pytest.raises(AnswerError) as caught:
            await desk.admin.approve_egress(number, {"for": 3600, "scope": "group", "name": "maths"})
        assert (caught.value.code, caught.value.field) == ("egress.grant_invalid", "name")
        answer = await desk.admin.approve_egress(number, {"for": 60, "scope": "group", "name": "physics"})
        assert answer["applied"] == 2
        assert reaches(here)
        assert reaches(here, BOB)
        assert not reaches(here, spec("carol"))


async def test_what_is_taken_back_is_closed_at_once(desk: Desk) -> None:
    """Also for a server that was started with it; taking it back twice changes nothing more."""
    grant = (await desk.admin.approve_egress(await wished(desk), {"for": 3600, "scope": "user"}))["grant"]
    more = spec("alice", "more", egress=MIRROR)
    admitted = await desk.hub.admit(asked(more))
    assert admitted.spec is not None
    desk.here.running(admitted.spec)
    answer = await desk.admin.revoke_egress(grant["id"])
    assert (answer["applied"], answer["request"]["status"]) == (2, "revoked")
    assert not reaches(desk.here)
    assert not reaches(desk.here, more)
    again = await desk.admin.revoke_egress(grant["id"])
    assert again["grant"] == answer["grant"]
    assert len(await desk.lines("egress_request.revoked")) == 1
    assert (await desk.hub.admit(asked(spec("alice", "last", egress=MIRROR)))).spec.egress == MIRROR  # type: ignore[union-attr]


async def test_a_request_is_answered_once(desk: Desk) -> None:
    """Two admins at once: one answer holds, the other is told so."""
    number = await wished(desk)
    answers = await asyncio.gather(
        desk.admin.approve_egress(number, HOUR),
        desk.admin.approve_egress(number, HOUR),
        desk.admin.deny_egress(number, "No."),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, AnswerError)]
    assert [error.code for error in refused] == ["egress.request_decided"] * 2
    assert len((await desk.admin.egress_grants(active=False))["items"]) <= 1


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        ({"scope": "sandbox"}, "wire.invalid", "for"),
        ({"for": "1h"}, "wire.invalid", "seconds"),
        ({"for": 59}, "egress.grant_invalid", "for"),
        ({"for": 31 * 86400 + 1}, "egress.grant_invalid", "for"),
        ({"for": 60, "scope": "world"}, "wire.invalid", "scope"),
        ({"for": 60, "pattern": "*"}, "egress.rule_invalid", "pattern[0].host"),
        ({"for": 60, "pattern": "10.0.0.0/8"}, "egress.grant_invalid", "pattern"),
        ({"for": 60, "allow_private": ["10.0.0.0/8"]}, "wire.invalid", "allow_private"),
    ],
)
async def test_terms_that_cannot_be_given_are_refused(
    desk: Desk, terms: dict[str, Any], code: str, field: str
) -> None:
    """The admin reads which field; the request waits on."""
    number = await wished(desk)
    with pytest.raises(AnswerError) as caught:
        await desk.admin.approve_egress(number, terms)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert (await desk.admin.egress_requests())["waiting"] == 1
    assert not desk.here.gateway.told


async def test_policy_vetoes_an_approval(here: Street) -> None:
    """What an admin may not give stays closed and waits; a wider pattern than the site's is vetoed, too."""
    async with desk_on(here, policy=PolicySettings(hosts=("mirror.test:443", "eu.data.test:443"))) as desk:
        await desk.start(ALICE)
        number = await wished(desk, host="eu.data.test")
        with pytest.raises(AnswerError) as caught:
            await desk.admin.approve_egress(number, {**HOUR, "pattern": "*.data.test"})
        assert caught.value.code == "policy.egress.not_allowed"
        assert (await desk.admin.egress_requests())["waiting"] == 1
        assert len(await desk.lines("policy.denied")) == 1


async def test_policy_that_is_edited_closes_what_was_open(here: Street, control: Control) -> None:
    """The next pass of the reconciler asks anew, and a start asks, too."""
    async with desk_on(here) as desk:
        await desk.start(ALICE)
        await desk.admin.approve_egress(await wished(desk), {"for": 3600, "scope": "user"})
        control("it was open", reaches(here))
    async with desk_on(here, policy=PolicySettings(hosts=("mirror.test:443",))) as desk:
        await reconciler(desk).step()
        assert not reaches(here)
        admitted = await desk.hub.admit(asked(spec("alice", "more", egress=MIRROR)))
        assert admitted.spec is not None
        assert admitted.spec.egress == MIRROR
        vetoes = [line["detail"]["request"] for line in await desk.lines("policy.denied")]
        assert vetoes == ["1", "1"]


async def test_guarded_data_close_what_is_given_to_the_user(desk: Desk) -> None:
    """A server with such data gets nothing of it, neither while it runs nor at its start."""
    data = Mount(kind="dataset", source="/d", target="/data/d", read_only=True, dataset="d@1", tags=("phi",))
    guarded = spec("alice", "phi", egress=MIRROR)
    guarded = replace(guarded, mounts=(*guarded.mounts, data))
    number = await wished(desk)
    await desk.start(guarded)
    answer = await desk.admin.approve_egress(number, {"for": 3600, "scope": "user"})
    assert answer["applied"] == 1
    (missed,) = answer["not_applied"]
    assert (missed["sandbox"], missed["code"]) == (guarded.id, "egress.guarded_data")
    assert not reaches(desk.here, guarded)
    more = replace(spec("alice", "phi2", egress=MIRROR), mounts=guarded.mounts)
    admitted = await desk.hub.admit(asked(more))
    assert admitted.spec is not None
    assert admitted.spec.egress == MIRROR


async def test_what_control_could_not_apply_the_reconciler_does(desk: Desk, control: Control) -> None:
    """Killed between the record and the gateway, the next control opens and closes what was decided."""
    number = await wished(desk)
    await desk.here.close("gateway")
    answer = await desk.admin.approve_egress(number, HOUR)
    assert answer["not_applied"][0]["code"] == "gateway.unreachable"
    await desk.here.serve("gateway")
    control("nothing was applied", not reaches(desk.here))
    await reconciler(desk).step()
    assert reaches(desk.here)
    await desk.here.close("gateway")
    await desk.admin.revoke_egress(answer["grant"]["id"])
    await desk.here.serve("gateway")
    control("it was not told yet", reaches(desk.here))
    await reconciler(desk).step()
    assert not reaches(desk.here)
    told = len(desk.here.gateway.told)
    await reconciler(desk).step()
    assert len(desk.here.gateway.told) == told


async def test_a_gateway_that_was_away_is_asked_again_soon(desk: Desk) -> None:
    """Without waiting for the reconciler's turn."""
    keeper = reconciler(desk).egress
    number = await wished(desk)
    await desk.here.close("gateway")
    await desk.admin.approve_egress(number, HOUR)
    assert (await keeper.apply(ALICE.id)).code == "gateway.unreachable"
    await desk.here.serve("gateway")
    await asyncio.wait_for(keeper.step(), 10)
    await until(lambda: reaches(desk.here))


async def test_a_server_that_starts_gets_what_was_decided_meanwhile(desk: Desk) -> None:
    """The gateway does not know it yet when a grant is taken back; it loses it as soon as it does."""
    grant = (await desk.admin.approve_egress(await wished(desk), {"for": 3600, "scope": "user"}))["grant"]
    more = spec("alice", "more", egress=MIRROR)
    admitted = await desk.hub.admit(asked(more))
    assert admitted.spec is not None
    answer = await desk.admin.revoke_egress(grant["id"])
    assert [item["code"] for item in answer["not_applied"]] == ["egress.not_open_yet"]
    desk.here.gateway.add(admitted.spec)
    desk.here.gateway.policies[more.id] = admitted.spec.egress
    keeper = reconciler(desk).egress
    assert (await keeper.apply(more.id)).code == ""
    assert not reaches(desk.here, more)


async def test_an_approval_that_cannot_be_audited_is_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits again, and nothing opens, also not at the reconciler's next pass."""
    number = await wished(desk)

    async def full(*_: Any, **__: Any) -> int:
        raise ProgramError("The audit is full.", code="audit.full", status=503)

    with monkeypatch.context() as patch:
        patch.setattr(desk.parts.audit, "write", full)
        with pytest.raises(AnswerError) as caught:
            await desk.admin.approve_egress(number, HOUR)
        assert caught.value.code == "audit.full"
    await reconciler(desk).step()
    assert not reaches(desk.here)
    assert (await desk.admin.egress_requests())["waiting"] == 1
    assert (await desk.admin.approve_egress(number, HOUR))["applied"] == 1


async def test_a_sandbox_that_ended_gets_nothing_but_its_user_may(desk: Desk) -> None:
    """The admin is told, and can give it to the user."""
    number = await wished(desk)
    await desk.hub.released(ALICE.id, "ended.by_user", "It ended.")
    with pytest.raises(AnswerError) as caught:
        await desk.admin.approve_egress(number, HOUR)
    assert caught.value.code == "egress.sandbox_over"
    assert (await desk.admin.approve_egress(number, {"for": 60, "scope": "user"}))["applied"] == 0


async def test_the_next_user_of_a_name_has_nothing_of_the_last(desk: Desk) -> None:
    """With the user go the requests and what was given; a group keeps its own."""
    await desk.admin.approve_egress(await wished(desk), {"for": 3600, "scope": "user"})
    await wished(desk, host="other.test")
    await desk.hub.forget_user("alice")
    admitted = await desk.hub.admit(asked(spec("alice", nonce="9", egress=MIRROR)))
    assert admitted.spec is not None
    assert admitted.spec.egress == MIRROR
    assert (await desk.seen_by(admitted.spec.id))["requests"] == []
    assert (await desk.admin.egress_requests())["waiting"] == 0
    assert (await desk.admin.egress_grants())["items"] == []


async def test_admins_page_through_requests(desk: Desk) -> None:
    """By status and user, the latest first, as many as wanted."""
    numbers = [await wished(desk, host=f"h{number}.test") for number in range(4)]
    await wished(desk, "bob")
    await desk.admin.approve_egress(numbers[0], {"for": 60, "scope": "user"})
    first = await desk.admin.egress_requests(user="alice", limit=2)
    assert [item["id"] for item in first["items"]] == [numbers[3], numbers[2]]
    second = await desk.admin.egress_requests(user="alice", limit=2, before=first["next"])
    assert [item["id"] for item in second["items"]] == [numbers[1], numbers[0]]
    assert first["waiting"] == 4
    for status, found in (("approved", [numbers[0]]), ("expired", []), ("revoked", [])):
        page = await desk.admin.egress_requests(status=status)
        assert [item["id"] for item in page["items"]] == found
    desk.here.clock.pass_time(60)
    page = await desk.admin.egress_requests(status="expired")
    assert [item["status"] for item in page["items"]] == ["expired"]
    with pytest.raises(AnswerError) as caught:
        await desk.admin.egress_requests(status="<b>")
    assert caught.value.field == "status"
