"""Is an unused server kept as long as its user asks, and never longer than it may live?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.keeping import keep

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
CAP = 8 * 3600


@pytest.mark.parametrize(
    ("by", "ends", "hours"),
    [
        (7200, (), 2),
        (7200, (None, NOW + 5 * HOUR), 2),
        (7200, (NOW + 3 * HOUR, NOW + HOUR, None), 1),
        (10**30, (), 8),
    ],
)
def test_it_is_kept_from_now(by: int, ends: tuple[datetime | None, ...], hours: int) -> None:
    """As long as is asked, up to the site's cap, and not past the first end that is not idleness."""
    answer = keep(NOW, None, by, CAP, ends)
    assert (answer.granted, answer.changed, answer.until) == (True, True, NOW + hours * HOUR)


@pytest.mark.parametrize(
    ("at_most", "ends", "code"), [(0, (), "keep.not_offered"), (CAP, (NOW,), "keep.too_late")]
)
def test_a_refusal_changes_nothing(at_most: int, ends: tuple[datetime, ...], code: str) -> None:
    """A site that keeps nothing, and an end that has come: code and sentence, and what held stays."""
    answer = keep(NOW, NOW + HOUR, 7200, at_most, ends)
    assert (answer.granted, answer.code, answer.until) == (False, code, NOW + HOUR)
    assert answer.message


def test_it_can_be_taken_back() -> None:
    """0 ends it, also where nothing may be kept any more; a second time changes nothing."""
    off = keep(NOW, NOW + HOUR, 0, 0, (NOW,))
    assert (off.granted, off.changed, off.until) == (True, True, None)
    assert not keep(NOW, None, 0, CAP, ()).changed


def test_asked_again_it_is_the_same_instant() -> None:
    """A repeated request within the minute changes nothing; a shorter wish does."""
    kept = NOW + 2 * HOUR
    again = keep(NOW + timedelta(seconds=20), kept, 7200, CAP, ())
    assert (again.granted, again.changed, again.until) == (True, False, kept)
    assert keep(NOW, kept, 3600, CAP, ()).until == NOW + HOUR


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(0, 10**6)), max_size=30),
    st.integers(0, 50_000),
    st.integers(60, 100_000),
)
def test_no_row_of_wishes_passes_cap_or_end(wishes: list[tuple[int, int]], at_most: int, end: int) -> None:
    """Whatever is asked whenever, it is kept neither past the end nor longer than the site allows."""
    kept, now = None, NOW
    for wait, by in wishes:
        now += timedelta(seconds=wait)
        kept = keep(now, kept, by, at_most, (NOW + timedelta(seconds=end), None)).until
        assert kept is None or kept <= NOW + timedelta(seconds=end)
        assert kept is None or kept <= now + timedelta(seconds=at_most)
