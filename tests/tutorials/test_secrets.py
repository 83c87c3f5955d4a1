"""Does docs/tutorial/secrets.md work as it stands, from the first command to the last?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT

from .page import blocks_of, looks_like
from .reader import Reader

Control = Callable[[str, bool], None]
PAGE = CHECKOUT / "docs/tutorial/secrets.md"


@pytest.mark.lane("root", "runc", "npm", "userenv", "tracking", "vault", "postgresql")
@pytest.mark.timeout(400)
async def test_the_page_does_what_it_says(tmp_path: Path, control: Control) -> None:
    """Every command and cell of the page runs in order and shows what the page shows; no value is seen."""
    blocks = blocks_of(PAGE)
    seen = []
    async with Reader(tmp_path, "alice", "with-secrets") as reader:
        for block in blocks:
            seen.append(await reader.follow(block))
        statuses = reader.end_programs()
        said = "".join([*seen, reader.said("vault"), reader.said("demo")])
    assert statuses == [0, 0]
    control("all kinds of blocks are there", {block.language for block in blocks} >= {"sh", "yaml", "python"})
    control("outputs are compared", sum(block.shown is not None for block in blocks) > 12)
    control("what is no secret is seen", "AKIDTUTORIAL" in said)
    assert [value for value in ("correct horse 7", "alice-only-4711", "no real key") if value in said] == []


@pytest.mark.parametrize(
    ("shown", "seen", "same"),
    [
        ("a ... c", "a  b  c\n", True),
        ("a ... c", "a  b\nc\n", False),
        ("first\n...\nlast", "first\n1\n2\nlast\n", True),
        ("first\n...\nlast", "first\nlast\n", True),
        ("first\nlast", "first\n1\nlast\n", False),
        ("0", "10", False),
        ("x.y", "xzy", False),
    ],
)
def test_outputs_are_compared(shown: str, seen: str, same: bool) -> None:
    """Dots stand for a part of a line or for lines, blanks count once, and nothing else may differ."""
    assert looks_like(shown, seen) is same


def test_blocks_have_the_output_that_follows(tmp_path: Path) -> None:
    """A text block belongs to the block before it; a comment is an act."""
    page = tmp_path / "page.md"
    page.write_text("a\n```sh\nls\n```\nb\n```text\nx\n```\n<!-- act -->\n```python config\n1\n```\n")
    found = [(block.line, block.language, block.word, block.text, block.shown) for block in blocks_of(page)]
    assert found == [
        (2, "sh", "", "ls\n", "x\n"),
        (9, "comment", "act", "", None),
        (10, "python", "config", "1\n", None),
    ]
