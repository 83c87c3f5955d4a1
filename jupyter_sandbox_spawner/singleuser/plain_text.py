"""How is a text shown that somebody else wrote? As one line of letters and signs, of bounded length.

Law: no sign stays that moves a cursor, colours a terminal, or turns the order of what follows.
"""

from __future__ import annotations

import unicodedata

__all__ = ["plain"]

_MOST = 1000  # characters
_STAND_IN = "\ufffd"
# Control, format (such as "from here right to left"), half a surrogate pair, unassigned, line separators.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# Without these, words in Persian and Hindi, and many emoji, are other ones.
_JOINERS = "\u200c\u200d"


def plain(text: object, most: int = _MOST) -> str:
    """The text on one line; each sign that is not seen by itself becomes a stand-in."""
    whole = text if isinstance(text, str) else str(text)
    line = " ".join(whole[: 4 * most].split())
    shown = line if len(line) <= most else f"{line[: most - 1]}…"
    return "".join(
        _STAND_IN if unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS else sign
        for sign in shown
    )
