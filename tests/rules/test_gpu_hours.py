"""Is the time from which GPU-hours are free again exact, whatever ran and runs?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.gpu_hours import Span, below_cap_at, hours_refusal, used_hours
from jupyter_sandbox_spawner.rules.quotas import Caps, GpuHours, Share

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)


def at(seconds: float) -> datetime:
    """So many seconds from noon."""
    return NOON + timedelta(seconds=seconds)


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """What ran, runs, and runs on without end, in whole seconds around noon."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        since = draw(st.integers(-30, 0))
        until = draw(st.none() | st.integers(since, 25))
        found.append(
            Span(since=at(since), until=None if until is None else at(until), gpus=draw(st.integers(1, 3)))
        )
    return found


def used(instant: datetime, ran: Sequence[Span], within: int) -> timedelta:
    """GPU time in the window before an instant, counted one span after the other."""
    total = timedelta()
    for span in ran:
        end = instant if span.until is None else min(span.until, instant)
        begin = max(span.since, instant - timedelta(seconds=within))
        total += span.gpus * max(end - begin, timedelta())
    return total


@settings(max_examples=400, deadline=None)
@given(ran=spans(), within=st.integers(1, 20), cap=st.integers(1, 40))
def test_the_instant_is_the_first_below_the_cap(ran: list[Span], within: int, cap: int) -> None:
    """A microsecond before it, and at every half second before, the cap is reached; at it, not."""
    found = below_cap_at(NOON, ran, GpuHours(at_most=cap / 3600, within=within))
    most = timedelta(seconds=cap)
    last = at(60) if found is None else found - MICROSECOND
    halves = (at(number / 2) for number in range(120))
    assert all(used(instant, ran, within) >= most for instant in halves if instant <= last)
    if found is None:
        assert used(at(10_000), ran, within) >= most
    else:
        assert used(found, ran, within) < most
        assert found == NOON or used(found - MICROSECOND, ran, within) >= most


@pytest.mark.parametrize(
    ("ran", "hours"),
    [
        ([], 0.0),
        ([Span(since=at(-7200), until=at(-3600))], 1.0),
        ([Span(since=at(-7200), until=None, gpus=2)], 4.0),
        ([Span(since=at(-7 * 86400 - 3600), until=at(-7 * 86400 + 1800))], 0.5),
    ],
)
def test_used_hours_are_those_in_the_window(ran: list[Span], hours: float) -> None:
    """Devices count each, and only what lies in the last seven days."""
    assert used_hours(NOON, ran, 7 * 86400) == hours


@pytest.mark.parametrize(("hours", "refused"), [(1.99, False), (2.0, True), (3.0, True)])
def test_a_start_is_refused_from_the_cap_on(hours: float, refused: bool) -> None:
    """Below the cap a server starts and may run past it; at the cap none does."""
    share = Share(scope="user", name="a", caps=Caps(gpu_hours=GpuHours(at_most=2, within=86400)))
    ran = [Span(since=at(-hours * 3600), until=NOON)]
    assert (hours_refusal(share, NOON, ran) is not None) == refused


def test_what_runs_without_end_keeps_the_window_full() -> None:
    """No time is promised then, and the remedy is to stop something."""
    share = Share(scope="group", name="lab", caps=Caps(gpu_hours=GpuHours(at_most=1, within=86400)))
    refusal = hours_refusal(share, NOON, [Span(since=at(-7200), until=None)])
    assert refusal is not None
    assert (refusal.code, refusal.retry_at) == ("quota.gpu_hours.group", None)
    assert "stop a server with a GPU" in refusal.remedy
