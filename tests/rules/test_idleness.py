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
    gpu_used_at=instants,
    keep_until=instants,
)
limits = st.builds(
    Limits,
    started_at=st.just(START),
    deadline=st.one_of(st.none(), st.floats(1, 50_000).map(at)),
    max_age_at=st.one_of(st.none(), st.floats(1, 50_000).map(at)),
    idle_timeout=st.one_of(st.none(), st.integers(8, 40_000)),
    gpu_idle_timeout=st.one_of(st.none(), st.integers(8, 40_000)),
    closes_at=st.one_of(st.none(), st.floats(1, 50_000).map(at)),
    closing=st.just("nights"),
    rule=st.just("short"),
    by_rule=st.frozensets(st.sampled_from(["idle", "gpu_idle", "max_age"])),
    since=instants,
    changes_at=instants,
    warnings=st.sets(st.integers(10, 4000), min_size=1, max_size=5).map(
        lambda found: tuple(sorted(found, reverse=True))
    ),
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
    assert verdict.code not in ("stop.idle", "warning.idle", "stop.gpu_idle", "warning.gpu_idle")


@UNHURRIED
@given(moments, limits, signals)
def test_the_ttl_stops_whatever_the_signals(now: datetime, limit: Limits, said: Signals) -> None:
    """Past the TTL or the max age every server is stopped, busy or not."""
    hard = replace(limit, by_rule=frozenset(), since=None)
    over = [end for end in (hard.deadline, hard.max_age_at) if end is not None and end <= now]
    limit = hard
    if over:
        assert decide(now, limit, said).action == "stop"


@UNHURRIED
@given(moments, limits, signals)
def test_no_limit_no_stop(now: datetime, limit: Limits, said: Signals) -> None:
    """Without TTL, max age and idle timeout nothing ever stops."""
    free = replace(
        limit, deadline=None, max_age_at=None, idle_timeout=None, gpu_idle_timeout=None, closes_at=None
    )
    assert decide(now, free, said).action == "keep"


@UNHURRIED
@given(moments, limits, signals, st.floats(0, 60_000).map(at))
def test_more_use_never_ends_it_sooner(now: datetime, limit: Limits, said: Signals, used: datetime) -> None:
    """Another use never turns keeping into stopping, of ends that nobody has to be warned of first."""
    # An end that these limits brought may pass unannounced, and is promised anew; a later one needs none.
    limit = replace(limit, by_rule=frozenset(), since=None)
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


def followed(limit: Limits, said: Signals, now: datetime) -> tuple[list[Warned], datetime | None]:
    """From look to look, as control does: what was told on the way, and the end that came."""
    warned, seen = limit.warned, []
    for _ in range(1000):
        verdict = decide(now, replace(limit, warned=warned), said)
        if verdict.action == "stop":
            return seen, verdict.at
        if verdict.warned is not None:
            seen.append(verdict.warned)
            warned = (*[old for old in warned if old.kind != verdict.warned.kind], verdict.warned)
        now = verdict.next_check
    return seen, None


@UNHURRIED
@given(limits, signals)
def test_every_end_is_preceded_by_a_warning_and_a_request_to_save(limit: Limits, said: Signals) -> None:
    """Followed from look to look, its user is warned, then it is asked to save; nothing is told twice."""
    quiet = replace(said, busy=False, door_used_at=None, cpu_used_at=None, said_used_at=None, floor=None)
    seen, end = followed(limit, quiet, at(0.5))
    assert len(seen) == len(set(seen))
    if end is not None and (end - START).total_seconds() > 8:
        told = [notice for notice in seen if abs((notice.at - end).total_seconds()) < 1]
        assert len(told) >= 2
        assert told[-1].ahead == min(notice.ahead for notice in told) <= SAVE_AHEAD


@UNHURRIED
@given(limits, signals, st.floats(1, 90_000).map(at))
def test_what_a_rule_ends_is_told_first_however_late_one_looks(
    limit: Limits, said: Signals, now: datetime
) -> None:
    """A rule that came into force while nobody looked ends nothing at once."""
    ruled = replace(limit, deadline=None, by_rule=frozenset({"idle", "gpu_idle", "max_age"}))
    verdict = decide(now, ruled, said)
    assert verdict.action != "stop"
    seen, end = followed(ruled, replace(said, busy=False), now)
    assert end is None or seen
    assert end is None or (end - now).total_seconds() >= 0


@UNHURRIED
@given(moments, limits, signals, st.floats(1, 50_000))
def test_keeping_and_gpu_work_never_end_it_sooner(
    now: datetime, limit: Limits, said: Signals, more: float
) -> None:
    """Neither a longer keep-alive nor later work of a GPU turns keeping into stopping."""
    if decide(now, limit, said).action == "stop":
        return
    later = timedelta(seconds=more)
    assert decide(now, limit, replace(said, keep_until=(said.keep_until or now) + later)).action != "stop"
    if said.gpu_used_at is not None and said.gpu_used_at + later <= now:
        assert decide(now, limit, replace(said, gpu_used_at=said.gpu_used_at + later)).action != "stop"


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
