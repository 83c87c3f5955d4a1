"""Are medians, spreads, comparisons and orders what a hand with a pencil gets?"""

from __future__ import annotations

import pytest

from benchmarks.figures import Goal, Measure, Spread, line_of, orders, spread_of


def test_the_spread_has_median_and_quartiles() -> None:
    """Of 1 to 9 the quartiles are 3 and 7 around 5, in whatever order they come."""
    assert spread_of([9, 1, 8, 2, 7, 3, 6, 4, 5]) == Spread(3, 5, 7)


def test_the_spread_of_one_number_is_that_number() -> None:
    """A single round has no spread."""
    assert spread_of([0.25]) == Spread(0.25, 0.25, 0.25)


def test_ratios_are_taken_within_a_round() -> None:
    """The middle of 1/2, 4/2 and 3/6 is 0.5, although the medians' ratio is 3/2."""
    line = line_of("row", Measure("speed", "MB/s"), {"ours": [1, 4, 3], "peer": [2, 2, 6]})
    assert line.comparisons == (0.5, 2.0, 0.5)
    assert line.spread.middle == 0.5
    assert line.medians == {"ours": 3, "peer": 2}
    assert line.rounds == 3
    assert line.met is None


def test_differences_are_ours_less_the_peers() -> None:
    """1.5 ms beside 0.5 ms is 1 ms more."""
    measure = Measure("a request", "ms", Goal("at most", 0.5), compare="difference")
    line = line_of("row", measure, {"ours": [1.5], "peer": [0.5]})
    assert line.comparisons == (1.0,)
    assert line.met is False


def test_a_promise_of_time_is_compared_with_the_goal_alone() -> None:
    """Where ours alone counts, the peer's number is shown and changes nothing."""
    measure = Measure("a read", "ms", Goal("at most", 50), compare="ours")
    line = line_of("row", measure, {"ours": [40.0, 60.0, 45.0], "peer": [1.0, 1.0, 1.0]})
    assert line.comparisons == (40.0, 60.0, 45.0)
    assert (line.spread.middle, line.met) == (45.0, True)


def test_a_reference_is_shown_and_not_compared() -> None:
    """The third contestant has a median and no part in the comparison."""
    line = line_of("row", Measure("speed", "MB/s"), {"ours": [4.0], "peer": [2.0], "none": [8.0]})
    assert line.comparisons == (2.0,)
    assert line.medians["none"] == 8


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal("at most", 0.6), 0.6, True),
        (Goal("at most", 0.6), 0.61, False),
        (Goal("at least", 1.2), 1.2, True),
        (Goal("at least", 1.2), 1.19, False),
    ],
)
def test_a_goal_has_a_right_side(goal: Goal, value: float, met: bool) -> None:
    """The goal itself counts as met."""
    assert goal.met(value) is met


def test_unequal_numbers_of_rounds_are_refused() -> None:
    """A contestant that was measured less often is not compared."""
    with pytest.raises(ValueError, match="zip"):
        line_of("row", Measure("speed", "MB/s"), {"ours": [1.0], "peer": [1.0, 2.0]})


def test_every_round_has_everybody_and_the_next_runs_backwards() -> None:
    """Rounds come in pairs A/B, B/A, so that drift hits both alike."""
    found = orders(["a", "b", "c"], 6, seed=3)
    assert all(sorted(order) == ["a", "b", "c"] for order in found)
    assert [found[n + 1] for n in (0, 2, 4)] == [tuple(reversed(found[n])) for n in (0, 2, 4)]


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same orders; an odd number of rounds is kept."""
    assert orders("abcd", 5, seed=1) == orders("abcd", 5, seed=1)
    assert orders("abcd", 5, seed=1) != orders("abcd", 5, seed=2)
    assert len(orders("ab", 5, seed=1)) == 5
