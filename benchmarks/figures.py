"""What do the numbers of many rounds say? Medians, the spread of per-round comparisons, goals met or not.

Law: two contestants are compared within a round, never across: what else the machine did then hit both.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Goal", "Line", "Measure", "Spread", "line_of", "orders", "spread_of"]


@dataclass(frozen=True)
class Goal:
    """What the comparison should come to."""

    relation: Literal["at most", "at least"]
    value: float

    def met(self, value: float) -> bool:
        """Is this value on the right side?"""
        return value <= self.value if self.relation == "at most" else value >= self.value


@dataclass(frozen=True)
class Measure:
    """One line of the table: `compare` is ours / peer, ours - peer, or ours alone, of each round."""

    name: str
    unit: str
    goal: Goal | None = None
    compare: Literal["ratio", "difference", "ours"] = "ratio"


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and the quartiles around it: half of them lie between low and high."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Line:
    """What was measured: the median of each contestant (ours first, then the peer), and the comparison.

    `met` is None where there is no goal.
    """

    row: str
    measure: Measure
    medians: Mapping[str, float]
    comparisons: tuple[float, ...]
    spread: Spread
    met: bool | None

    @property
    def rounds(self) -> int:
        """How often each contestant was measured."""
        return len(self.comparisons)


def spread_of(numbers: Sequence[float]) -> Spread:
    """Median and quartiles; of one number all three are that number."""
    middle = statistics.median(numbers)
    if len(numbers) < 2:
        return Spread(middle, middle, middle)
    low, _, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(low, middle, high)


def line_of(row: str, measure: Measure, samples: Mapping[str, Sequence[float]]) -> Line:
    """The line for `samples`: contestant to its value in each round; ours first, then its peer."""
    ours, peer = list(samples.values())[:2]
    pairs = list(zip(ours, peer, strict=True))
    if measure.compare == "ratio":
        comparisons = tuple(mine / theirs for mine, theirs in pairs)
    elif measure.compare == "ours":
        # What somebody was promised in absolute time; the peer says how much of it is the machine's.
        comparisons = tuple(mine for mine, _ in pairs)
    else:
        comparisons = tuple(mine - theirs for mine, theirs in pairs)
    spread = spread_of(comparisons)
    return Line(
        row=row,
        measure=measure,
        medians={name: statistics.median(values) for name, values in samples.items()},
        comparisons=comparisons,
        spread=spread,
        met=measure.goal.met(spread.middle) if measure.goal else None,
    )


def orders(contestants: Sequence[str], rounds: int, seed: int) -> list[tuple[str, ...]]:
    """In which order each round measures: a shuffled one, then the same backwards (A/B/B/A), and again."""
    dice = random.Random(seed)
    found: list[tuple[str, ...]] = []
    while len(found) < rounds:
        order = list(contestants)
        dice.shuffle(order)
        found += [tuple(order), tuple(reversed(order))]
    return found[:rounds]
