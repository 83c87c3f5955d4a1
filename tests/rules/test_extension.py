"""Is more time given within the profile's caps only?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.extension import ExtensionTerms, extend

START = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
UNHURRIED = settings(deadline=None, max_examples=60)
HOUR = timedelta(hours=1)
TERMS = ExtensionTerms(by=3600, at_most=4 * 3600)


def test_an_extension_counts_from_now() -> None:
    """Five minutes before the end, one hour by gives fifty-five minutes more."""
    answer = extend(START + HOUR - timedelta(minutes=5), START + HOUR, START + HOUR, TERMS)
    assert answer.deadline == START + 2 * HOUR - timedelta(minutes=5)


@pytest.mark.parametrize(("wish", "minutes"), [(1800, 30), (7200, 60), (None, 60), (10**30, 60)])
def test_a_wish_is_capped_by_the_profile(wish: int | None, minutes: int) -> None:
    """Half an hour is given where it is asked for; more than the profile's hour is not."""
    answer = extend(START + HOUR - timedelta(minutes=5), START + HOUR, START + HOUR, TERMS, wish)
    assert answer.deadline == START + HOUR + timedelta(minutes=minutes - 5)


@pytest.mark.parametrize("wish", [0, -(10**30), 60])
def test_a_wish_for_less_than_is_left_changes_nothing(wish: int) -> None:
    """An end is never moved towards now."""
    answer = extend(START, START + HOUR, START + HOUR, TERMS, wish)
    assert (answer.granted, answer.code, answer.deadline) == (False, "extend.not_yet", START + HOUR)


@pytest.mark.parametrize(
    ("now", "deadline", "terms", "code"),
    [
        (START, None, TERMS, "extend.no_deadline"),
        (START, START + HOUR, ExtensionTerms(by=None, at_most=None), "extend.not_offered"),
        (START + HOUR, START + HOUR, TERMS, "extend.too_late"),
        (START, START + 2 * HOUR, TERMS, "extend.not_yet"),
        (START + 4.9 * HOUR, START + 5 * HOUR, TERMS, "extend.at_cap"),
    ],
)
def test_a_refusal_has_its_code(
    now: datetime, deadline: datetime | None, terms: ExtensionTerms, code: str
) -> None:
    """Each reason not to extend has a code and a sentence."""
    answer = extend(now, deadline, None if deadline is None else START + HOUR, terms)
    assert (answer.granted, answer.code, answer.deadline) == (False, code, deadline)
    assert answer.message


@UNHURRIED
@given(st.lists(st.integers(1, 7200), max_size=50), st.integers(60, 7200), st.integers(60, 20_000))
def test_no_row_of_extensions_passes_the_cap(waits: list[int], by: int, at_most: int) -> None:
    """However often and whenever it is asked, the deadline stays within the cap and never moves back."""
    first = START + HOUR
    deadline, now = first, START
    for wait in waits:
        now += timedelta(seconds=wait)
        answer = extend(now, deadline, first, ExtensionTerms(by=by, at_most=at_most))
        assert answer.deadline is not None
        assert deadline <= answer.deadline <= first + timedelta(seconds=at_most)
        deadline = answer.deadline
