"""Which servers' use is the hub told of, how rarely, and how evenly?"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.activity_relay import Told, due, first_seen

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)
EVERY = 1800.0
LONG_AGO = Told(-1e9)


def test_use_is_told_once() -> None:
    """A server used since the hub was told is due; one that nobody used since is not, however long ago."""
    used = {"a": NOW, "b": NOW - timedelta(hours=1)}
    told = {"a": Told(-1e9, NOW - timedelta(hours=1)), "b": Told(-1e9, NOW - timedelta(hours=1))}
    assert due(used, told, NOW, 0.0, EVERY) == ["a"]


def test_an_unused_server_is_not_told() -> None:
    """Without any measured use there is nothing to tell."""
    assert due({}, {"a": LONG_AGO}, NOW, 0.0, EVERY) == []


@pytest.mark.proves("H03")
def test_the_future_is_not_told() -> None:
    """An instant after now (a clock that was set back) waits until it is past."""
    used = {"a": NOW + timedelta(seconds=1)}
    assert due(used, {"a": LONG_AGO}, NOW, 0.0, EVERY) == []
    assert due(used, {"a": LONG_AGO}, NOW + timedelta(seconds=1), 1.0, EVERY) == ["a"]


def test_the_longest_waiting_comes_first() -> None:
    """Where the hub's pace is too slow for all, nobody is forgotten."""
    used = dict.fromkeys("abc", NOW)
    told = {"a": Told(-1e5), "b": Told(-3e5), "c": Told(-2e5)}
    assert due(used, told, NOW, 0.0, EVERY) == ["b", "c", "a"]


@given(st.text(max_size=20), st.floats(0, 1e7), st.lists(st.floats(0.1, 4000), min_size=1, max_size=60))
def test_twice_only_after_the_interval(sandbox: str, begin: float, steps: list[float]) -> None:
    """However often control looks at a server in constant use, two calls are at least the interval apart,
    at most a quarter more, and the first comes within one and a quarter."""
    elapsed, told, calls = begin, {sandbox: first_seen(sandbox, begin, EVERY)}, [begin]
    for step in steps:
        before, elapsed = elapsed, elapsed + step
        now = NOW + timedelta(seconds=elapsed)
        if due({sandbox: now}, told, now, elapsed, EVERY):
            told = {sandbox: Told(elapsed, now)}
            assert len(calls) == 1 or elapsed - calls[-1] >= EVERY
            calls.append(elapsed)
        else:
            assert elapsed - calls[-1] < 1.25 * EVERY
        assert elapsed >= before


def test_ten_thousand_seen_at_once_are_spread() -> None:
    """After a restart of control with 10 000 used servers no second has more than 20 of them due."""
    names = [f"sb-{number}" for number in range(10_000)]
    told = {name: first_seen(name, 0.0, EVERY) for name in names}
    used = dict.fromkeys(names, NOW)
    seconds: Counter[int] = Counter()
    before: set[str] = set()
    for second in range(0, 2300, 10):
        found = set(due(used, told, NOW, float(second), EVERY))
        seconds[second] = len(found - before)
        before = found
    assert len(before) == len(names)
    assert max(seconds.values()) <= 200
