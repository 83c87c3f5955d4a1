"""Do the admin's policy commands say what would be decided, with a status that a pipeline can read?"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub_config.policy.own_opa import OwnOpa
from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.control.audit import AuditLog
from jupyter_sandbox_spawner.control.clock import SystemClock
from jupyter_sandbox_spawner.control.denials import DenialLedger
from jupyter_sandbox_spawner.rules.audit import Entry
from jupyter_sandbox_spawner.rules.policy import Decision, Question, decide
from jupyter_sandbox_spawner.rules.policy_record import denial_detail, recorded
from jupyter_sandbox_spawner.rules.policy_settings import PolicySettings
from tests.lanes import CHECKOUT
from tests.programs.control_neighbours import SettableClock

VECTORS = str(CHECKOUT / "hub_config/policy/vectors.yaml")
STRICT = str(CHECKOUT / "hub_config/policy/vectors-strict.yaml")
PROFILES = """
policy: {gpus_at_most: 1}
profiles:
  - {display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}
"""


@pytest.fixture
def profiles(tmp_path: Path) -> str:
    """A profiles.yaml whose policy allows one GPU."""
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES)
    return str(file)


def plan(directory: Path, text: str) -> str:
    """A file of questions."""
    file = directory / "plan.yaml"
    file.write_text(text)
    return str(file)


def test_the_shipped_questions_are_answered_as_expected(capsys: pytest.CaptureFixture[str]) -> None:
    """Both shipped files end with status 0, the second by the policy that it brings."""
    assert main(["policy", "test", "--plan", VECTORS, "--plan", STRICT]) == 0
    assert " questions, 0 answered otherwise." in capsys.readouterr().out


def test_a_plan_that_policy_denies_fails(
    tmp_path: Path, profiles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a user's pipeline wants and the site's policy denies is named with line and reason; status 11."""
    file = plan(
        tmp_path,
        "- question: {point: gpu, user: alice, requested: 1}\n"
        "- question: {point: gpu, user: alice, requested: 2}\n",
    )
    assert main(["policy", "test", "--plan", file, "--file", profiles]) == 11
    out = capsys.readouterr().out
    assert f"{file}:2: rules says policy.gpu.too_many" in out
    assert "2 questions, 1 answered otherwise." in out
    assert main(["policy", "test", "--plan", file]) == 0  # the default policy allows four


def test_an_expected_denial_is_right_and_a_missing_one_is_not(tmp_path: Path) -> None:
    """expect names the reasons: the same ones are right, an allow in their place is not."""
    right = "- {question: {point: gpu, user: a, requested: 9}, expect: [policy.gpu.too_many]}\n"
    assert main(["policy", "test", "--plan", plan(tmp_path, right)]) == 0
    assert main(["policy", "test", "--plan", plan(tmp_path, right.replace("9", "1"))]) == 11


def test_a_result_is_json_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one document with everything about what was answered otherwise."""
    file = plan(tmp_path, "- question: {point: gpu, user: alice, requested: -1}\n")
    assert main(["policy", "test", "--plan", file, "--json"]) == 11
    document = json.loads(capsys.readouterr().out)
    assert document["asked"] == 1
    assert document["wrong"][0]["reasons"] == ["policy.input.invalid"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "questions: there are none"),
        ("[]", "questions: there are none"),
        ("- {ask: 1}", "plan.yaml:1: questions[0].ask: this key does not exist"),
        ("- {question: {point: spawn, user: a}, expect: denied}", "is neither allow nor a list of reasons"),
        (
            "policy: {gpus_at_most: -1}\nquestions: [{question: 1}]",
            "plan.yaml:1: policy.gpus_at_most",
        ),
        ("- {question: {point: spawn, user: a}, expect: [}", "the YAML cannot be read"),
    ],
)
def test_a_wrong_plan_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """A file of questions that is wrong ends with status 2 and its line."""
    assert main(["policy", "test", "--plan", plan(tmp_path, text)]) == 2
    assert said in capsys.readouterr().err


def test_explain_says_who_says_what(profiles: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A denied question ends with status 11, its reason and a sentence; an allowed one with 0."""
    asked = ["policy", "explain", "--point", "gpu", "--user", "alice", "--file", profiles, "--requested"]
    assert main([*asked, "2"]) == 11
    out = capsys.readouterr().out
    assert "rules  deny  policy.gpu.too_many" in out
    assert "DENIED: The profile asks for 2 GPUs, and this site allows 1." in out
    assert main([*asked, "1"]) == 0
    assert "ALLOWED" in capsys.readouterr().out


@pytest.mark.lane("opa")
def test_opa_is_asked_where_it_is_named(opa: OwnOpa, capsys: pytest.CaptureFixture[str]) -> None:
    """With --opa both are asked; what OPA answers otherwise counts."""
    assert main(["policy", "test", "--plan", VECTORS, "--opa", opa.address]) == 0
    asked = ["policy", "explain", "--point", "spawn", "--user", "alice", "--opa", opa.address]
    assert main(asked) == 0
    assert "opa    allow" in capsys.readouterr().out
    opa.kill()
    assert main(asked) == 11
    assert "policy.opa.unavailable" in capsys.readouterr().out


@pytest.mark.parametrize("address", ["https://opa.example:8181", "http://10.0.0.1:8181", "opa.sock", ""])
def test_an_opa_elsewhere_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only this machine's OPA is asked."""
    asked = ["policy", "explain", "--point", "spawn", "--user", "alice", "--opa", address]
    assert main(asked) == 2
    assert "--opa: " in capsys.readouterr().err


def test_data_is_what_opa_reads(profiles: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings of a profiles.yaml come out as the document that the shipped Rego reads."""
    assert main(["policy", "data", profiles]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["jupyter_sandbox_settings"]["gpus_at_most"] == 1


GPU = Question(point="gpu", user="alice", groups=("research",), profile="big", resource="any", requested=2)
MANY = Question(point="gpu", user="bob", requested=9)


async def _record(directory: Path, *decisions: Decision, ago: float = 0.0) -> None:
    """An audit of these decisions: allowed ones with an admission, denied ones as denials."""
    clock = SettableClock(SystemClock().now() - timedelta(seconds=ago))
    async with AuditLog(str(directory), clock, reserve=1 << 16) as log:
        for decision in decisions:
            if decision.allow:
                detail = {"decisions": [recorded(decision)]}
                await log.write(Entry(actor="hub", action="admission", outcome="allowed", detail=detail))
            else:
                await DenialLedger(log, clock).denied("policy", "bob", "", **denial_detail(decision))


def _replayed(directory: Path, file: str, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """What replay prints of that audit, asked with the policy of a file."""
    assert main(["policy", "replay", "--directory", str(directory), "--file", file, "--json", *more]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_replay_says_what_a_new_policy_would_change(
    tmp_path: Path, profiles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An allowed start that the new policy denies is shown; what stays denied is not."""
    old = PolicySettings()
    asyncio.run(_record(tmp_path / "audit", decide(GPU, old), decide(MANY, old)))
    found = _replayed(tmp_path / "audit", profiles, capsys)
    assert (found["decisions"], found["unreadable"]) == (2, 0)
    (change,) = found["changed"]
    assert change["question"]["user"] == "alice"
    assert (change["was"], change["would_be"]) == ("allow", ["policy.gpu.too_many"])


def test_replay_says_what_a_new_policy_would_allow(
    tmp_path: Path, profiles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denial that the new policy lifts is shown too, and what is older than --since is left out."""
    closed = PolicySettings(gpus_at_most=0)
    one = Question(point="gpu", user="bob", requested=1)
    asyncio.run(_record(tmp_path / "audit", decide(one, closed), ago=7200))
    (change,) = _replayed(tmp_path / "audit", profiles, capsys)["changed"]
    assert (change["was"], change["would_be"]) == (["policy.gpu.too_many"], "allow")
    assert _replayed(tmp_path / "audit", profiles, capsys, "--since", "1h")["decisions"] == 0


def test_replay_counts_what_was_cut(
    tmp_path: Path, profiles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denial of somebody in very many groups does not fit into its record; it is counted, not guessed."""
    crowd = Question(point="gpu", user="bob", groups=tuple(f"group-{n}" for n in range(90)), requested=9)
    asyncio.run(_record(tmp_path / "audit", decide(crowd, PolicySettings())))
    found = _replayed(tmp_path / "audit", profiles, capsys)
    assert (found["decisions"], found["unreadable"]) == (1, 1)


def test_replay_without_an_audit_says_where_it_looked(
    tmp_path: Path, profiles: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory without an audit is a mistake of the command line."""
    assert main(["policy", "replay", "--directory", str(tmp_path), "--file", profiles]) == 2
    assert "audit.ndjson cannot be read" in capsys.readouterr().err
