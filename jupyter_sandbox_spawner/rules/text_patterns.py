"""Could a pattern take for ever on some text? The hub matches what any user writes, on its one thread.

Law: what is repeated without end holds no repetition and no alternatives, so the ways to match stay few.
"""

from __future__ import annotations

import re

__all__ = ["runs_away"]

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\()|(?P<close>\))|(?P<or>\|)"
    r"|(?P<endless>[*+]|\{[0-9]*,\})|(?P<some>\{[0-9]*,[0-9]+\})|.",
    re.DOTALL,
)


def runs_away(pattern: str) -> bool:
    """Does a pattern that compiles repeat a group without end that itself repeats or has alternatives?"""
    groups = [False]  # of each open group: does it hold a repetition or alternatives?
    closed = False  # did a group that does end just before this token?
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup
        if kind == "endless" and closed:
            return True
        closed = False
        if kind == "open":
            groups.append(False)
        elif kind == "close":
            closed = groups.pop()
            groups[-1] = groups[-1] or closed
        elif kind in ("or", "endless", "some"):
            groups[-1] = True
    return False
