"""Is more time given within the profile's caps only?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.extension import (
    LONGEST_GIVEN,
    ExtensionTerms,
    checked_key,
    extend,
    extend_by_admin,
)

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


SECOND_OF_TWO = ExtensionTerms(by=3600, at_most=4 * 3600, times=2, used=1)


def test_what_is_left_is_told() -> None:
    """How many there are from now on, and the instant that none may pass, go with every answer."""
    answer = extend(START + 0.9 * HOUR, START + HOUR, START + HOUR, SECOND_OF_TWO)
    assert (answer.granted, answer.left, answer.cap) == (True, 1, START + 5 * HOUR)
    assert extend(START, START + HOUR, START + HOUR, TERMS).left is None


@pytest.mark.parametrize(
    ("now", "deadline", "terms", "words"),
    [
        (START, START + HOUR, replace(SECOND_OF_TWO, used=2), "2 of 2 extensions used"),
        (START, START + 5 * HOUR, SECOND_OF_TWO, "4 h more in all, until 17:00 UTC at most"),
        (START, START + 5 * HOUR, SECOND_OF_TWO, "1 of 2 extensions used"),
        (START - 13 * HOUR, START + 5 * HOUR, TERMS, "until Wed 25 Nov 17:00 UTC at most"),
        (START, START + 2 * HOUR, SECOND_OF_TWO, "until 17:00 UTC at most; 1 of 2 extensions used"),
    ],
)
def test_a_refusal_says_the_cap_and_what_is_left(
    now: datetime, deadline: datetime, terms: ExtensionTerms, words: str
) -> None:
    """The sentence names the cap that was hit and how much of it is used."""
    answer = extend(now, deadline, START + HOUR, terms)
    assert not answer.granted
    assert words in answer.message


@UNHURRIED
@given(
    st.lists(st.tuples(st.integers(1, 7200), st.none() | st.integers(1, 10_000)), max_size=50),
    st.integers(60, 7200),
    st.integers(60, 20_000),
    st.integers(1, 6),
)
def test_no_row_of_extensions_passes_cap_or_number(
    wishes: list[tuple[int, int | None]], by: int, at_most: int, times: int
) -> None:
    """Whoever asks however often and for however much: both caps hold, and no end moves back."""
    first = deadline = START + HOUR
    now, given_so_far = START, 0
    for wait, wish in wishes:
        now += timedelta(seconds=wait)
        terms = ExtensionTerms(by=by, at_most=at_most, times=times, used=given_so_far)
        answer = extend(now, deadline, first, terms, wish)
        given_so_far += answer.granted
        assert answer.deadline is not None
        assert deadline <= answer.deadline <= first + timedelta(seconds=at_most)
        assert answer.deadline <= max(now + timedelta(seconds=by), deadline)
        assert given_so_far <= times
        deadline = answer.deadline


def test_an_admin_passes_the_profiles_caps() -> None:
    """From now, as far as a month; never towards now."""
    far = extend_by_admin(START, START + HOUR, 24 * 3600, data_ends=False)
    assert (far.granted, far.deadline) == (True, START + 24 * HOUR)
    most = extend_by_admin(START, START + HOUR, 10**30, data_ends=False)
    assert most.deadline == START + timedelta(seconds=LONGEST_GIVEN)
    less = extend_by_admin(START, START + HOUR, 60, data_ends=False)
    assert (less.code, less.deadline) == ("extend.not_yet", START + HOUR)


@pytest.mark.parametrize(
    ("deadline", "data_ends", "code"),
    [
        (None, False, "extend.no_deadline"),
        (START + HOUR, True, "extend.data_ends"),
        (START, False, "extend.too_late"),
    ],
)
def test_what_an_admin_cannot_extend(deadline: datetime | None, data_ends: bool, code: str) -> None:
    """The end of a right to data is nobody's to move, and what has ended has ended."""
    assert extend_by_admin(START, deadline, 3600, data_ends).code == code


@pytest.mark.parametrize("key", ["", "a" * 65, "a b", "admin/x", "ä", "a\n"])
def test_a_key_is_plain_text(key: str) -> None:
    """What could be mistaken for another key, or for an admin's, is refused before anything is done."""
    assert checked_key("Retry-1.a_b") == "Retry-1.a_b"
    with pytest.raises(ConfigurationError, match="key: "):
        checked_key(key)
