"""Does control start, extend and hand out only what policy allows, and is each decision in the audit?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.extending import Extender, Wish
from jupyter_sandbox_spawner.control.parts import Parts
from jupyter_sandbox_spawner.control.records import SandboxRecord
from jupyter_sandbox_spawner.control.terms import OwnTerms
from jupyter_sandbox_spawner.gpus import GpuInventory, GpuWish
from jupyter_sandbox_spawner.models import EgressPolicy, EgressRule
from jupyter_sandbox_spawner.rules.admission import Admission, AdmissionRequest
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.rules.policy import Question
from jupyter_sandbox_spawner.rules.policy_record import question_of
from jupyter_sandbox_spawner.rules.policy_settings import OpaSettings, PolicySettings, settings_digest
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from tests.programs.control_neighbours import asked, spec
from tests.programs.control_street import parts_of, street

from .test_opa_faults import answering

ALICE = spec("alice", ttl=3600)


class GivenBook(OwnTerms):
    """Terms as the request has them, and a rule book that a test changes."""

    def __init__(self) -> None:
        super().__init__("")
        self.given = Rulebook(profiles=())

    async def book(self) -> Rulebook:
        return self.given


class EmptyHost(LauncherClient):
    """A launcher without GPUs."""

    async def gpus(self) -> GpuInventory:
        return GpuInventory()


class Control:
    """Control's parts with a policy of the test's."""

    def __init__(self, parts: Parts, terms: GivenBook) -> None:
        self.parts, self._terms = parts, terms

    def policy(self, **settings: Any) -> PolicySettings:
        """From now on this is the policy."""
        settled = PolicySettings(**settings)
        self._terms.given = Rulebook(profiles=(), policy=settled)
        return settled

    async def admit(self, request: AdmissionRequest) -> Admission:
        """Control's answer."""
        return await Admissions(self.parts, lambda _: None).admit(request)

    async def lines(self, action: str) -> list[dict[str, Any]]:
        """Audit records of one kind, newest first."""
        return [line for line in await self.parts.audit.lines() if line["action"] == action]

    async def record(self) -> SandboxRecord:
        """Alice's sandbox."""
        found = await self.parts.store.run(lambda db: records.by_id(db, ALICE.id))
        assert found is not None
        return found


@pytest.fixture
async def place() -> AsyncIterator[Control]:
    """Control on a street, with the default policy."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="po", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        parts = await stack.enter_async_context(parts_of(here))
        launcher, terms = EmptyHost(here.path("launcher")), GivenBook()
        stack.push_async_callback(launcher.close)
        stack.push_async_callback(parts.policy.close)
        yield Control(replace(parts, launcher=launcher, terms=terms), terms)


async def test_an_admission_records_its_decisions(place: Control) -> None:
    """What was asked, who decided and by which policy stand with the admission."""
    settings = place.policy(gpus_at_most=2)
    assert (await place.admit(asked(ALICE))).admitted
    (line,) = await place.lines("admission")
    (decision,) = line["detail"]["decisions"]
    assert decision["question"] == {"point": "spawn", "user": "alice", "profile": "cpu-small"}
    assert (decision["allow"], decision["engine"]) == (True, "rules")
    assert decision["digest"] == settings_digest(settings)
    assert len(decision["decision_id"]) == 32


async def test_more_gpus_than_policy_allows_are_refused(place: Control) -> None:
    """The refusal says the cap, and its number is found again in the audit with the whole question."""
    place.policy(gpus_at_most=2)
    answer = await place.admit(asked(ALICE, gpu=GpuWish(count=3)))
    assert (answer.admitted, answer.code) == (False, "policy.gpu.too_many")
    assert "3 GPUs" in answer.message
    assert "allows 2" in answer.message
    (line,) = await place.lines("policy.denied")
    assert line["policy"]["decision_id"] in answer.remedy
    assert (line["policy"]["engine"], line["code"]) == ("rules", "policy.gpu.too_many")
    expected = Question(point="gpu", user="alice", profile="cpu-small", resource="any", requested=3)
    assert question_of(line["detail"]) == expected
    assert (await place.admit(asked(ALICE))).admitted  # the control: the same start without GPUs


async def test_a_denied_group_starts_nothing(place: Control) -> None:
    """Who is in a denied group is refused; the same person without it is not."""
    place.policy(denied_groups=("suspended",))
    refused = await place.admit(replace(asked(ALICE), groups=("research", "suspended")))
    assert (refused.admitted, refused.code) == (False, "policy.group.denied")
    assert (await place.admit(replace(asked(ALICE), groups=("research",)))).admitted


async def test_a_kept_back_secret_is_not_granted(place: Control) -> None:
    """The server starts without it and its user is told; what policy allows is granted."""
    place.policy(secrets=("team/*",))
    wanted = (Grant(name="team/s3"), Grant(name="users/{user}/key"))
    answer = await place.admit(asked(ALICE, secrets=wanted))
    assert answer.admitted
    assert "keeps back the secret users/alice/key" in " ".join(answer.notices)
    assert [grant["name"] for grant in (await place.record()).grants] == ["team/s3"]


async def test_a_required_secret_that_is_kept_back_ends_the_start(place: Control) -> None:
    """A profile that cannot do without it starts nothing."""
    place.policy(secrets=())
    answer = await place.admit(asked(ALICE, secrets=(Grant(name="team/s3", required=True),)))
    assert (answer.admitted, answer.code) == (False, "policy.secret.not_allowed")
    assert "team/s3" in answer.message


async def test_an_exit_that_policy_does_not_know_ends_the_start(place: Control) -> None:
    """A profile with a host outside of the policy's list is refused, with the host; one inside starts."""
    place.policy(hosts=("mirror.example:443",))
    rules = (
        EgressRule(pattern="mirror.example", ports=(443,)),
        EgressRule(pattern="paste.example", ports=(443,)),
    )
    refused = await place.admit(asked(replace(ALICE, egress=EgressPolicy(rules=rules))))
    assert (refused.admitted, refused.code) == (False, "policy.egress.not_allowed")
    assert "paste.example:443" in refused.message
    assert (await place.admit(asked(replace(ALICE, egress=EgressPolicy(rules=rules[:1]))))).admitted


async def test_an_extension_beyond_policy_is_refused(place: Control) -> None:
    """The profile offers two hours at a time and policy one: the refusal says so, and one hour is given."""
    place.policy(extension_at_most=3600)
    assert (await place.admit(asked(ALICE, extend_by=7200, extend_at_most=7200))).admitted
    refused = await Extender(place.parts).extend(await place.record(), Wish(actor="user alice"))
    assert (refused.granted, refused.code) == (False, "policy.extension.too_long")
    assert "1 h" in refused.message
    place.parts.clock.pass_time(60)  # type: ignore[attr-defined]
    assert (
        await Extender(place.parts).extend(await place.record(), Wish(actor="user alice", by=3600))
    ).granted
    (line,) = await place.lines("sandbox.extend")
    assert line["policy"]["engine"] == "rules"
    assert line["detail"]["decisions"][0]["question"]["requested"] == 3600


async def test_a_file_that_cannot_be_read_allows_nothing(place: Control, tmp_path: Path) -> None:
    """Control with a broken file neither starts nor extends by rules that nobody wrote."""
    place.policy()
    assert (await place.admit(asked(ALICE, extend_by=7200, extend_at_most=7200))).admitted
    broken = tmp_path / "profiles.yaml"
    broken.write_text("policy: {gpus_at_most: many}\nprofiles: []\n")
    place._terms.given = await OwnTerms(str(broken)).book()
    refused = await Extender(place.parts).extend(await place.record(), Wish(actor="user alice"))
    assert (refused.granted, refused.code) == (False, "policy.file.unreadable")
    again = await place.admit(asked(spec("bob")))
    assert (again.admitted, again.code) == (False, "policy.file.unreadable")


async def test_a_silent_opa_starts_nothing_and_control_lives(place: Control) -> None:
    """Where OPA is away nothing starts, control answers at once and says why; with OPA's word it starts."""
    async with answering(body={"result": {"allow": True}}) as address:
        pass  # gone again: nobody listens there now
    place.policy(opa=OpaSettings(address=address))
    refused = await place.admit(asked(ALICE))
    assert (refused.admitted, refused.code) == (False, "policy.opa.unavailable")
    assert "policy server" in refused.message
    shown = place.parts.policy.status(await place.parts.terms.book())
    assert "does not answer" in shown["opa"]["cause"]
    async with answering(body={"result": {"allow": True}}) as address:
        place.policy(opa=OpaSettings(address=address, timeout=2))
        assert (await place.admit(asked(ALICE))).admitted


async def test_opa_takes_away_and_adds_nothing(place: Control) -> None:
    """OPA's denial ends a start that the rules allow; its allow does not give what they deny."""
    body = {"result": {"allow": False, "reasons": ["policy.site.closed"]}, "decision_id": "d-1"}
    async with answering(body=body) as address:
        place.policy(opa=OpaSettings(address=address, timeout=2))
        refused = await place.admit(asked(ALICE))
    assert (refused.admitted, refused.code) == (False, "policy.site.closed")
    assert "d-1" in refused.remedy
    async with answering(body={"result": {"allow": True}}) as address:
        place.policy(opa=OpaSettings(address=address, timeout=2), denied_groups=("suspended",))
        still = await place.admit(replace(asked(ALICE), groups=("suspended",)))
    assert (still.admitted, still.code) == (False, "policy.group.denied")


async def test_a_repeated_request_needs_no_new_word(place: Control) -> None:
    """What was admitted is answered again although OPA has gone since: nothing new is decided."""
    async with answering(body={"result": {"allow": True}}) as address:
        place.policy(opa=OpaSettings(address=address, timeout=2))
        assert (await place.admit(asked(ALICE))).admitted
    again = await place.admit(asked(ALICE))
    assert (again.admitted, again.repeated) == (True, True)


async def test_no_decision_holds_a_value_of_a_secret(place: Control) -> None:
    """The audit names secrets that were asked for, and nothing of what they hold or how they are used."""
    place.policy(secrets=())
    grant = Grant(name="team/s3", environment={"KEY": "field-of-it"}, path="aws/creds/role", kind="aws")
    assert (await place.admit(asked(ALICE, secrets=(grant,)))).admitted
    (line,) = await place.lines("admission")
    text = json.dumps(line["detail"]["decisions"])
    assert "team/s3" in text
    assert "field-of-it" not in text
    assert "aws/creds" not in text
