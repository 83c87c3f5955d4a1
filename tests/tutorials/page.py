"""What does a tutorial ask a reader to do, and what does she see then? Its fenced blocks, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks_of", "looks_like"]

_FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$|^<!-- (.+?) -->$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """`language` of the fence and the `word` after it; of a comment, `comment` and what it says.

    `shown` is the output that the page gives for it, None where it gives none.
    """

    line: int
    language: str
    word: str
    text: str
    shown: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """Every block but those that show an output, each with the output that follows it."""
    found: list[Block] = []
    source = page.read_text()
    for match in _FENCE.finditer(source):
        language, word, text, comment = match.groups()
        line = source.count("\n", 0, match.start()) + 1
        if comment is not None:
            found.append(Block(line, "comment", comment, ""))
        elif language == "text":
            last = found.pop()
            found.append(Block(last.line, last.language, last.word, last.text, text))
        else:
            found.append(Block(line, language, word.strip(), text))
    return found


def looks_like(shown: str, seen: str) -> bool:
    """Is it the output of the page? `...` is any part of a line, or any lines; blanks count once."""
    pattern = ""
    for line in shown.strip().splitlines():
        if line.strip() == "...":
            pattern += r"([^\n]*\n)*?"
            continue
        parts = [re.sub(r"(\\ )+", " +", re.escape(part.strip())) for part in line.split("...")]
        pattern += r"[^\n]*".join(parts) + r" *\n"
    lines = "\n".join(line.strip() for line in seen.strip().splitlines())
    return re.fullmatch(pattern, lines + "\n") is not None
