"""Does every way of ending have a sentence that its user understands?"""

from __future__ import annotations

import re

import pytest

from jupyter_sandbox_spawner.rules.endings import SENTENCES, sentence
from tests.lanes import CHECKOUT

TABLE = (CHECKOUT / "docs/reference/errors.md").read_text().split("## Why a server ended, or goes on")[1]
CODES = [
    code
    for code in re.findall(r"^\| `([a-z_.]+)` \|", TABLE.split("\n## ")[0], re.MULTILINE)
    if not code.startswith("keep.")
]


@pytest.mark.parametrize("code", CODES)
def test_every_documented_end_has_a_sentence(code: str) -> None:
    """Each code of the reference has one sentence, for where no better one was written."""
    words = SENTENCES[code]
    assert words[0].isupper()
    assert words.endswith(".")
    assert sentence(code, "") == sentence(code, " ") == words


def test_a_reason_that_was_written_is_shown() -> None:
    """What an admin or a rule wrote is better than the general sentence; nothing is left without one."""
    assert sentence("stop.by_admin", "The room is needed.") == "The room is needed."
    assert sentence("ended.of_another_version", "") == "It ended; why was not recorded."
