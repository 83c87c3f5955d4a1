"""How is a run shown? One table, in Markdown for people and in JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import Goal, Line, Measure

__all__ = ["as_json", "as_markdown"]

_HEAD = "| what | ours | peer | reference | compared (half of the rounds between) | goal | met | rounds |"


def as_markdown(lines: Sequence[Line], facts: Mapping[str, str]) -> str:
    """A sentence on machine and date, then the table."""
    told = " · ".join(f"{name}: {text}" for name, text in facts.items())
    rule = "|" + "---|" * (_HEAD.count("|") - 1)
    return "\n".join([told, "", _HEAD, rule, *map(_row, lines)])


def as_json(lines: Sequence[Line], facts: Mapping[str, str]) -> dict[str, Any]:
    """The same as a document; `comparisons` has every round."""
    return {"facts": dict(facts), "lines": [_document(line) for line in lines]}


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(line: Line) -> str:
    measure = line.measure
    names = list(line.medians)
    cells = [f"{name} {number(line.medians[name])} {measure.unit}" for name in names]
    spread = line.spread
    shown = (
        f"**{_compared(measure, spread.middle)}** ({number(spread.low)} to {number(spread.high)})",
        _goal(measure.goal, measure),
        {True: "yes", False: "**no**", None: ""}[line.met],
        str(line.rounds),
    )
    return f"| {' | '.join((measure.name, *cells[:2], ', '.join(cells[2:]), *shown))} |"


def _compared(measure: Measure, value: float) -> str:
    if measure.compare == "ours":
        return f"{number(value)} {measure.unit}"
    return f"{number(value)}x" if measure.compare == "ratio" else f"{value:+.3g} {measure.unit}"


def _goal(goal: Goal | None, measure: Measure) -> str:
    return f"{goal.relation} {_compared(measure, goal.value)}" if goal else "reported"


def _document(line: Line) -> dict[str, Any]:
    goal = line.measure.goal
    return {
        "row": line.row,
        "name": line.measure.name,
        "unit": line.measure.unit,
        "compare": line.measure.compare,
        "medians": dict(line.medians),
        "comparison": {"low": line.spread.low, "middle": line.spread.middle, "high": line.spread.high},
        "comparisons": list(line.comparisons),
        "goal": {"relation": goal.relation, "value": goal.value} if goal else None,
        "met": line.met,
        "rounds": line.rounds,
    }
