"""How does a run look? An SVG picture: every round a dot, the median a bar, the goal a dashed line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from .figures import Line
from .table import number

__all__ = ["as_svg"]

_WIDTH, _LEFT, _RIGHT, _BAND = 900, 330, 90, 44
_INK, _GREY, _GOOD, _BAD = "#222", "#999", "#2a7", "#c33"


def as_svg(lines: Sequence[Line], facts: Mapping[str, str]) -> str:
    """One band a line; each has its own scale, from 0, on which the peer stands at 1 (a difference: at 0)."""
    height = 60 + _BAND * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(10, 20, " · ".join(f"{name}: {text}" for name, text in facts.items()), _GREY, size=11),
    ]
    for index, line in enumerate(lines):
        parts += _band(line, 60 + _BAND * index)
    key = "dot: one round; bar: median; grey line: the peer; dashed: the goal"
    return "\n".join([*parts, _text(10, height - 8, key, _GREY, size=11), "</svg>", ""])


def _band(line: Line, top: int) -> list[str]:
    goal = line.measure.goal
    peer = 1.0 if line.measure.compare == "ratio" else 0.0
    marks = [*line.comparisons, peer, *([goal.value] if goal else [])]
    left, right = min(0.0, *marks), max(marks) or 1.0

    def at(value: float) -> float:
        return _LEFT + (value - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    colour = {True: _GOOD, False: _BAD, None: _INK}[line.met]
    sign = "x" if line.measure.compare == "ratio" else f" {line.measure.unit}"
    parts = [
        _text(10, top + 4, line.measure.name, _INK),
        _stroke(_LEFT, _WIDTH - _RIGHT, top, "#ddd"),
        _upright(at(peer), top, _GREY),
    ]
    if goal:
        parts.append(_upright(at(goal.value), top, _INK, ' stroke-dasharray="3 3"'))
    parts += [
        f'<circle cx="{at(value):.1f}" cy="{top}" r="3" fill="{colour}" fill-opacity="0.4"/>'
        for value in line.comparisons
    ]
    parts.append(_upright(at(line.spread.middle), top, colour, ' stroke-width="4"'))
    parts.append(_text(_WIDTH - _RIGHT + 10, top + 4, f"{number(line.spread.middle)}{sign}", colour))
    return parts


def _text(x: float, y: float, text: str, colour: str, size: int = 13) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}">{escape(text)}</text>'


def _stroke(left: float, right: float, y: int, colour: str) -> str:
    return f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="{colour}"/>'


def _upright(x: float, y: int, colour: str, more: str = "") -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 12}" y2="{y + 12}" stroke="{colour}"{more}/>'
