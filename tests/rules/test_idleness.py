"""Does a sandbox end when its time is up or nobody uses it, and never for a wrong reason?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.idleness import CLAIM_FRESH, SAVE_AHEAD, Limits, Signals, Warned, decide

START = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
UNHURRIED = settings(deadline=None, max_examples=60)


def at(seconds: float) -> datetime:
    """An instant after the start."""
    return START + timedelta(seconds=seconds)


instants = st.one_of(st.none(), st.floats(-7200, 100_000).map(at))
signals = st.builds(
    Signals,
    door_used_at=instants,
    cpu_used_at=instants,
    said_used_at=instants,
    busy=st.booleans(),
    said_at=instants,
    floor=instants,
)
limits = st.builds(
    Limits,
    started_at=st.just(START),
    deadline=st.one_of(st.none(), st.floats(1, 50_000).map(at)),
    max_age_at=st.one_of(st.none(), st.floats(1, 50_000).map(at)),
    idle_timeout=st.one_of(st.none(), st.integers(1, 40_000)),
)
moments = st.floats(0, 60_000).map(at)


def test_an_unused_server_is_stopped_for_idleness() -> None:
    """After its idle timeout without use a server is stopped, and the reason names the limit."""
    verdict = decide(at(61), Limits(started_at=START, idle_timeout=60), Signals())
    assert (verdict.action, verdict.code) == ("stop", "stop.idle")
    assert "1 min" in verdict.why


def test_use_through_a_door_keeps_it() -> None:
    """A request of a person counts as use."""
    verdict = decide(at(100), Limits(started_at=START, idle_timeout=60), Signals(door_used_at=at(50)))
    assert verdict.action == "warn"
    assert verdict.at == at(110)


def test_cpu_keeps_it() -> None:
    """CPU above the threshold counts as use even if the server says nothing."""
    verdict = decide(at(100), Limits(started_at=START, idle_timeout=60), Signals(cpu_used_at=at(99)))
    assert (verdict.action, verdict.idle_since) == ("keep", at(99))


def test_a_quiet_open_tab_is_not_use() -> None:
    """A server that says it is not busy and saw no use is stopped, however often it says so."""
    said = Signals(busy=False, said_at=at(60), said_used_at=at(0))
    assert decide(at(61), Limits(started_at=START, idle_timeout=60), said).code == "stop.idle"


def test_a_busy_word_that_is_old_is_not_believed() -> None:
    """A server that stopped talking counts by what is measured."""
    said = Signals(busy=True, said_at=at(10))
    limits = Limits(started_at=START, idle_timeout=60)
    assert decide(at(11 + CLAIM_FRESH), limits, said).code == "stop.idle"
    assert decide(at(9 + CLAIM_FRESH), limits, said).code == "keep.busy"


@UNHURRIED
@given(moments, limits, signals)
def test_a_running_cell_is_never_stopped_for_idleness(now: datetime, limit: Limits, said: Signals) -> None:
    """While a fresh word says that a kernel is busy, no decision stops for idleness."""
    verdict = decide(now, limit, replace(said, busy=True, said_at=now))
    assert verdict.code not in ("stop.idle", "warning.idle")


@UNHURRIED
@given(moments, limits, signals)
def test_the_ttl_stops_whatever_the_signals(now: datetime, limit: Limits, said: Signals) -> None:
    """Past the TTL or the max age every server is stopped, busy or not."""
    over = [end for end in (limit.deadline, limit.max_age_at) if end is not None and end <= now]
    if over:
        assert decide(now, limit, said).action == "stop"


@UNHURRIED
@given(moments, limits, signals)
def test_no_limit_no_stop(now: datetime, limit: Limits, said: Signals) -> None:
    """Without TTL, max age and idle timeout nothing ever stops."""
    free = replace(limit, deadline=None, max_age_at=None, idle_timeout=None)
    assert decide(now, free, said).action == "keep"


@UNHURRIED
@given(moments, limits, signals, st.floats(0, 60_000).map(at))
def test_more_use_never_ends_it_sooner(now: datetime, limit: Limits, said: Signals, used: datetime) -> None:
    """Another use never turns keeping into stopping."""
    later = replace(said, door_used_at=max(used, said.door_used_at or used))
    if decide(now, limit, said).action != "stop" and (said.door_used_at or now) <= now and used <= now:
        assert decide(now, limit, later).action != "stop"


@UNHURRIED
@given(moments, limits, signals, st.floats(1, 1e6))
def test_use_in_the_future_proves_nothing(now: datetime, limit: Limits, said: Signals, ahead: float) -> None:
    """An instant after now is as good as none (H03)."""
    future = now + timedelta(seconds=ahead)
    bare = replace(said, said_used_at=None, door_used_at=None)
    lied = replace(bare, said_used_at=future, door_used_at=future)
    assert decide(now, limit, lied) == decide(now, limit, bare)


@UNHURRIED
@given(moments, limits, signals)
def test_it_is_always_looked_at_again(now: datetime, limit: Limits, said: Signals) -> None:
    """The next look is later than now and never after the end that is known."""
    verdict = decide(now, limit, said)
    assert verdict.next_check > now
    if verdict.action == "keep" and verdict.at is not None:
        assert verdict.next_check <= max(verdict.at, now + timedelta(seconds=1))


@UNHURRIED
@given(limits, signals)
def test_every_end_is_preceded_by_a_warning(limit: Limits, said: Signals) -> None:
    """Followed from look to look, a server is warned before it is stopped, and no warning is repeated."""
    quiet = replace(said, busy=False, door_used_at=None, cpu_used_at=None, said_used_at=None, floor=None)
    now, warned = at(0.5), limit.warned
    seen: list[Warned] = []
    for _ in range(400):
        verdict = decide(now, replace(limit, warned=warned), quiet)
        if verdict.action == "stop":
            ahead = (verdict.at - START).total_seconds() if verdict.at else 0
            assert seen or ahead < 2
            assert len(seen) == len(set(seen))
            return
        if verdict.warned is not None:
            seen.append(verdict.warned)
            warned = (*[old for old in warned if old.kind != verdict.warned.kind], verdict.warned)
        now = verdict.next_check


def test_warnings_come_at_thirty_ten_and_two_minutes() -> None:
    """An eight-hour server is warned three times, and asked to save at the very end."""
    limit = Limits(started_at=START, deadline=at(8 * 3600))
    given_at = []
    now, warned = at(1), ()
    while (verdict := decide(now, replace(limit, warned=warned), Signals())).action != "stop":
        if verdict.warned is not None:
            given_at.append((at(8 * 3600) - now).total_seconds())
            warned = (verdict.warned,)
        now = verdict.next_check
    assert given_at == [1800, 600, 120, SAVE_AHEAD]


def test_a_clock_that_jumped_counts_idleness_anew() -> None:
    """Idleness is never counted from before the floor."""
    limits = Limits(started_at=START, idle_timeout=600)
    assert decide(at(4000), limits, Signals()).code == "stop.idle"
    assert decide(at(4000), limits, Signals(floor=at(3900))).action != "stop"
