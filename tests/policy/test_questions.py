"""Do the typed rules and a real OPA with the shipped policy answer every question alike, and as expected?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_config.policy.own_opa import OwnOpa
from jupyter_sandbox_spawner.clients.opa import OpaClient
from jupyter_sandbox_spawner.rules.policy import Decision, Question, decide, decide_document
from jupyter_sandbox_spawner.rules.policy_plan import Plan, Row, parse_plan
from jupyter_sandbox_spawner.rules.policy_settings import OpaSettings, PolicySettings
from tests.lanes import CHECKOUT

from .conftest import data_of

FILES = ("vectors.yaml", "vectors-strict.yaml")
LARGE = "x" * (1 << 20)


def plan(name: str) -> Plan:
    """A file of questions that is shipped."""
    return parse_plan((CHECKOUT / "hub_config/policy" / name).read_text(), name)


ROWS = [(name, row) for name in FILES for row in plan(name).rows]
# Too long to be written down: a megabyte in each field that is a text.
LONG = [
    {"point": "spawn", "user": LARGE},
    {"point": "spawn", "user": "alice", "groups": [LARGE]},
    {"point": "spawn", "user": "alice", "profile": LARGE},
    {"point": "dataset", "user": "alice", "resource": LARGE, "tags": ["public"]},
    {"point": "dataset", "user": "alice", "resource": "a", "tags": [LARGE]},
    {"point": LARGE, "user": "alice"},
    {"point": "spawn", "user": "alice", LARGE: 1},
    {"point": "spawn", "user": "alice", "groups": ["g"] * 1001},
    {"point": "dataset", "user": "alice", "resource": "a", "tags": ["public"] * 17},
]


def settings_in(name: str) -> PolicySettings:
    """The settings that a file's questions are meant for."""
    return plan(name).settings or PolicySettings()


def test_there_are_enough_questions() -> None:
    """The table has more than the sixty rows that were promised, and both kinds of answer."""
    assert len(ROWS) >= 130
    assert {bool(row.expect) for _, row in ROWS} == {True, False}


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}:{row.line}" for name, row in ROWS])
def test_the_rules_answer_as_expected(name: str, row: Row) -> None:
    """Each question of the table has its answer, with just these reasons."""
    decision = decide_document(row.question, settings_in(name))
    assert (decision.allow, decision.reasons) == (not row.expect, row.expect)


def test_guarded_tags_cannot_be_opened() -> None:
    """Settings that name a guarded tag as open, which no file can, open nothing."""
    question = Question(point="dataset", user="alice", resource="cases@1", tags=("pii",))
    assert not decide(question, PolicySettings(open_tags=("public", "pii"))).allow
    assert decide(replace(question, tags=("public",)), PolicySettings(open_tags=("public", "pii"))).allow


@pytest.mark.parametrize("document", LONG)
def test_what_is_too_long_is_denied(document: dict[str, Any]) -> None:
    """A megabyte in any field is no question of ours."""
    decision = decide_document(json.dumps(document), PolicySettings())
    assert decision.reasons == ("policy.input.invalid",)


@pytest.mark.parametrize(
    "raw", ["", "{", "nothing", '{"point": "spawn"', "[" * 100_000, '{"a": 1e999}', "\0"]
)
def test_what_is_no_json_is_denied(raw: str) -> None:
    """A text that cannot even be read is denied, without an error."""
    assert decide_document(raw, PolicySettings()).reasons == ("policy.input.invalid",)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.tuples(), st.lists(st.text())
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["gpu", "dataset", "promotion", "", None, 7]),
    st.fixed_dictionaries(
        {
            "user": ANYTHING,
            "groups": ANYTHING,
            "resource": ANYTHING,
            "requested": ANYTHING,
            "tags": ANYTHING,
            "approved": ANYTHING,
        }
    ),
)
def test_no_type_makes_more_than_is_allowed(point: Any, values: dict[str, Any]) -> None:
    """Whatever stands in the fields: more GPUs are never allowed, nor guarded data without approval."""
    decision = decide(Question(point=point, **values), PolicySettings())
    if decision.allow and point == "gpu":
        assert type(values["requested"]) is int
        assert 0 <= values["requested"] <= 4
    elif decision.allow:
        # No generated list of tags is one of open tags only.
        assert values["approved"] is True


@pytest.fixture(scope="module", params=FILES)
def shipped(request: pytest.FixtureRequest) -> Iterator[tuple[str, OwnOpa]]:
    """A real OPA for the questions of one file."""
    with tempfile.TemporaryDirectory(prefix="opa") as directory:
        server = OwnOpa(Path(directory))
        server.write(data_of(settings_in(request.param)))
        server.start()
        try:
            yield request.param, server
        finally:
            server.stop()


async def asked(server: OwnOpa, questions: list[Any]) -> list[Decision]:
    """OPA's answers."""
    async with OpaClient(OpaSettings(address=server.address, timeout=5)) as client:
        return [await client.decide_document(question) for question in questions]


@pytest.mark.lane("opa")
async def test_opa_answers_alike(shipped: tuple[str, OwnOpa]) -> None:
    """The shipped Rego, on a real server, gives each question the same answer and reasons as the rules."""
    name, server = shipped
    rows = plan(name).rows
    said = await asked(server, [json.loads(row.question) for row in rows])
    differing = [
        (row.line, decision.reasons, row.expect)
        for row, decision in zip(rows, said, strict=True)
        if set(decision.reasons) != set(row.expect or ()) or decision.allow == bool(row.expect)
    ]
    assert not differing


@pytest.mark.lane("opa")
async def test_opa_denies_what_is_too_long(shipped: tuple[str, OwnOpa]) -> None:
    """A megabyte in any field is denied by OPA too."""
    said = await asked(shipped[1], LONG)
    assert [decision.reasons for decision in said] == [("policy.input.invalid",)] * len(LONG)
