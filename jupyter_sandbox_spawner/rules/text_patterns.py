"""Could a pattern take for ever on some text? Hub and control match what any user writes, on one thread.

Law: what is repeated holds no repetition and no alternatives, and the ways to match in all stay few, so that
trying every one of them takes no time worth a word.
"""

from __future__ import annotations

import re
from math import prod

__all__ = ["runs_away"]

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<unread>\(\?(?:\#|[a-zA-Z-]*x))|(?P<open>\(\??)|(?P<close>\))"
    r"|(?P<or>\|)|(?P<repeat>(?:[*+?]|\{(?!\})(?P<least>[0-9]*)(?P<comma>,?)(?P<most>[0-9]*)\})[?+]?)|.",
    re.DOTALL,
)
_ENDLESS = 1 << 32
_TEXT = 200  # characters of a text, for the ways of an endless repetition
_LARGE = 32  # repetitions of a bounded one that counts like an endless one
_MOST_LARGE = 2
_MOST_WAYS = 10 * _TEXT**_MOST_LARGE
_GROUPS = (
    "Repeat no group that holds a *, +, ?, {n,m} or |, and put what separates the parts into the"
    " characters instead: [a-z/]{1,60} for (/[a-z]+){0,5}."
)
_FEWER = (
    "Write at most two of *, + and {n,m} with m above 32, such as [a-z]+(-[0-9]+)?, and few of the others."
)
_PLAIN = "Write it without (?x) and (?#: spaces and comments of a pattern hide what it repeats."


def runs_away(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a pattern that compiles but could try too many ways, and what to write instead."""
    groups = [False]  # of each open group: are there several ways through it?
    closed = False  # did a group with several ways end just before this token?
    large, ways, bars = 0, [1], [1]  # bars: of each open group, its alternatives so far
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup
        least, most = _bounds(token)
        if kind == "unread":
            return "is written with flags or comments that are not read here", _PLAIN
        if kind == "repeat" and closed and most > 1:
            return "could take for ever on some texts", _GROUPS
        closed = False
        if kind == "open":
            groups.append(False)
            bars.append(1)
        elif kind == "close":
            closed = groups.pop()
            groups[-1] = groups[-1] or closed
            ways.append(bars.pop())
        elif kind == "or":
            groups[-1] = True
            bars[-1] += 1
        elif kind == "repeat" and most > least:
            groups[-1] = True
            large += most - least > _LARGE
            ways.append(min(most - least, _TEXT) + 1)
    if large > _MOST_LARGE or prod(ways) * bars[0] > _MOST_WAYS:
        return "could take for ever on some texts", _FEWER
    return None


def _bounds(token: re.Match[str]) -> tuple[int, int]:
    """How often at least and at most the thing before this token may stand there; (1, 1) for other tokens."""
    sign = token["repeat"] or ""
    if not sign.startswith("{"):
        return {"*": (0, _ENDLESS), "+": (1, _ENDLESS), "?": (0, 1)}.get(sign[:1], (1, 1))
    least = int(token["least"] or 0)
    if not token["comma"]:
        return least, least
    return least, int(token["most"] or _ENDLESS)
