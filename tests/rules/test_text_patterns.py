"""Is a pattern for what users write refused where some text would hold up hub and control?"""

from __future__ import annotations

import re
import time

import pytest

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles

from .test_profile_options import GOOD

RUNAWAYS = [
    "(a+)+",
    "(a|a)*b",
    "((ab?)*c)+",
    r"([^\]]+\)?)*",
    "(?:x*){2,}",
    "(a{1,9}b)+",
    "([A-Za-z]+ ?){1,10}",
    "([A-Za-z]+ ?){10}",
    "(/[a-z]+){0,5}",
    "(aa?)*b",
    "(a|a){30}",
    "(a+)+?b",
    "[a-z]*" * 6,
    "[a-z]*[a-z]*[a-z]*",
    "a?" * 30,
    "(a|a)" * 30,
    "[a-z]{0,32}" * 6,
    "[a-z]{0,40}" * 3,
    "(?x)(a+) *b",
    "(?ix:(a+) *b)",
    "(a+)(?#x)*b",
]
# Each with a text of 200 characters at most for which many ways are tried.
PLAIN = [
    ("[a-z]+(-[0-9]+)?", "a" * 199 + "!"),
    ("[a-z0-9-]{1,40}", "a" * 200),
    ("[A-Za-z]+( [A-Za-z]+)?", "a" * 199 + "!"),
    (r"\d{4}-\d{2}-\d{2}", "2026-11-29" * 20),
    ("https?://[a-z.]+/[a-z/]*", "https://a/" + "a/" * 94 + "!"),
    ("(v[0-9]+|main)", "v" + "1" * 198 + "!"),
    (r"\(+[(*+]+", "(" * 199 + "!"),
    ("(ab)*", "ab" * 99 + "!"),
    ("([0-9a-f]{2}:){5}[0-9a-f]{2}", "0" * 200),
    (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", "111.111.111.111!"),
    ("(?i)(?P<part>[a-z{}]{}{2}+)x?", "a" * 199 + "!"),
    (r"[a-z]*[a-z]*a?a?a?", "a" * 199 + "!"),
    ("[a-z]{1,20}" * 4, "a" * 79 + "!"),
]


@pytest.mark.parametrize("pattern", RUNAWAYS)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    """Many ways to match, or a spelling that hides them, are refused by name with what to write instead."""
    with pytest.raises(ProfileError, match=r"take for ever|flags or comments") as refusal:
        parse_profiles(GOOD.replace('"[a-z{}]+"', f"'{pattern}'"))
    assert "unlisted_choice.pattern" in str(refusal.value)
    assert re.search(r"Repeat no group|Write at most two|Write it without", str(refusal.value))


@pytest.mark.parametrize(("pattern", "text"), PLAIN)
def test_a_plain_pattern_is_taken(pattern: str, text: str) -> None:
    """Repetitions beside one another, choices, bounded groups and escaped signs are patterns, and quick."""
    assert parse_profiles(GOOD.replace('"[a-z{}]+"', f"'{pattern}'"))
    compiled = re.compile(pattern)
    took = []
    for _ in range(3):
        began = time.thread_time()
        compiled.fullmatch(text)
        took.append(time.thread_time() - began)
    assert min(took) < 0.05
