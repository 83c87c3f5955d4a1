"""When does a probe sandbox prove that sandboxes are closed?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.rules.canary import MUST_FAIL, MUST_WORK, judge

CLOSED = {**dict.fromkeys(MUST_FAIL, "EPERM"), **dict.fromkeys(MUST_WORK, "ok")}


def test_all_refused_and_all_working_is_a_proof() -> None:
    """Where everything that must fail failed and everything that must work worked, it is proved."""
    verdict = judge(CLOSED)
    assert (verdict.proved, verdict.why) == (True, "")


@pytest.mark.parametrize("name", MUST_FAIL)
def test_one_escape_is_enough(name: str) -> None:
    """A single thing that works though it must not takes the proof away and is named."""
    verdict = judge({**CLOSED, name: "ok"})
    assert not verdict.proved
    assert verdict.why == f"A probe sandbox was not closed: {MUST_FAIL[name]}."


@pytest.mark.parametrize("name", MUST_WORK)
def test_a_sandbox_that_does_not_work_proves_nothing(name: str) -> None:
    """A sandbox in which nothing works would also refuse everything; it is named with its error."""
    verdict = judge({**CLOSED, name: "EAGAIN"})
    assert not verdict.proved
    assert verdict.why == f"A probe sandbox did not work: {MUST_WORK[name]} (EAGAIN)."


@pytest.mark.parametrize("name", [*MUST_FAIL, *MUST_WORK])
def test_what_was_not_tried_is_not_proved(name: str) -> None:
    """An attempt that is missing from the answer counts as no proof."""
    verdict = judge({key: value for key, value in CLOSED.items() if key != name})
    assert not verdict.proved
    assert f"{name!r} was not tried" in verdict.why


def test_an_attempt_that_broke_shows_nothing() -> None:
    """An attempt that could not be made is no refusal: there is no proof, and it says which."""
    verdict = judge({**CLOSED, "capability": "untried: KeyError: 'CapEff'"})
    assert not verdict.proved
    assert "'capability' was not tried" in verdict.why
