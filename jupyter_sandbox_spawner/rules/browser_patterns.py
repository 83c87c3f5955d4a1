"""How does a browser say the same as the hub of a text, while it is typed? The admin's pattern in JavaScript.

Law: a browser never refuses what the hub would take. A pattern that the two could read differently is not
given to the browser, and then the hub alone judges.
"""

from __future__ import annotations

import re

__all__ = ["for_browser"]

_TOKEN = re.compile(
    r"(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|\\(?P<escaped>.)|(?P<group>\((?:\?(?::|=|!))?)(?!\?)"
    r"|(?P<repeat>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??)(?![*+?{])|(?P<plain>[^\\\[\](){}*+?])|(?P<close>\))",
    re.DOTALL,
)
_ITEM = re.compile(r"\\(?P<escaped>.)|(?P<plain>[^\\])", re.DOTALL)
# What Python's classes hold of printable text, where a space is the only white space.
_SETS = {"d": r"\p{Nd}", "w": r"\p{L}\p{N}_", "s": " "}
_ENDS = {"A": "^", "Z": "$"}
_SIGNS = frozenset("^$\\.*+?()[]{}|/")
_IN_CLASS = frozenset("^-]\\[")


def for_browser(pattern: str) -> str:
    """The pattern as JavaScript (flag `u`) has it for printable text; "" where it cannot be told."""
    found, place = [], 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        text = _translated(token) if token is not None else None
        if token is None or text is None:
            return ""
        found.append(text)
        place = token.end()
    return "".join(found)


def _translated(token: re.Match[str]) -> str | None:
    if token["class"]:
        return _class(token["class"])
    escaped = token["escaped"]
    if escaped is None:
        return "\\/" if token[0] == "/" else token[0]
    if escaped in _SETS:
        return f"[{_SETS[escaped]}]"
    if escaped in _ENDS:
        return _ENDS[escaped]
    return _literal(escaped, _SIGNS)


def _class(text: str) -> str | None:
    """`[...]` with each character escaped where the browser wants it; None: it cannot be told."""
    inner = text[1:-1]
    inverse = inner.startswith("^")
    items: list[str] = []
    for found in _ITEM.finditer(inner.removeprefix("^")):
        escaped, plain = found["escaped"], found["plain"]
        if escaped in _SETS:
            items.append(_SETS[escaped])
            continue
        one = _literal(escaped or plain, _IN_CLASS, bool(escaped))
        if one is None:
            return None
        items.append("-" if plain == "-" else one)
    for place, item in enumerate(items):
        beside = {*items[max(place - 1, 0) : place], *items[place + 1 : place + 2]}
        at_an_end = place in (0, len(items) - 1)
        # A range from or to a whole set is none in Python, and an error in a browser.
        if item == "-" and (at_an_end or beside & set(_SETS.values())):
            items[place] = "\\-"
    return f"[{'^' if inverse else ''}{''.join(items)}]"


def _literal(character: str, signs: frozenset[str], escaped: bool = True) -> str | None:
    if escaped and character.isalnum():
        return None  # \b, \D, \1, \x..: not the same in both
    return f"\\{character}" if character in signs else character
