"""Does a test take every picture that the docs show? Pictures are not kept; scripts/pictures takes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.lanes import CHECKOUT, UI_TESTS

SHOWN = re.compile(r"pictures/([\w-]+)\.png")
TAKEN = re.compile(r"""picture\(\w+, f?['"]([^'"]+)['"]\)""")


def shown() -> set[str]:
    """The names of pictures in the docs."""
    pages = (CHECKOUT / "docs").rglob("*.md")
    return {name for page in pages for name in SHOWN.findall(page.read_text())}


def taken() -> Iterator[re.Pattern[str]]:
    """The names of pictures that tests take; a part that a loop fills in may be anything."""
    sources = [*(CHECKOUT / "tests").rglob("*.py"), *UI_TESTS.glob("tests/*.ts")]
    for source in sources:
        for name in TAKEN.findall(source.read_text()):
            yield re.compile(re.sub(r"\\{.*?\\}", r"[\\w-]+", re.escape(name)))


def test_every_picture_of_the_docs_is_taken_by_a_test() -> None:
    """A name in the docs that no test writes is a picture that nobody will ever see."""
    names, patterns = shown(), list(taken())
    assert len(names) >= 5
    assert {name for name in names if not any(pattern.fullmatch(name) for pattern in patterns)} == set()
