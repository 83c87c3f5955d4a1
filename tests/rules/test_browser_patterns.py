"""Does a browser get a pattern only where it reads it as the hub does? tests/browser asks a real one."""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.rules.browser_patterns import for_browser


@pytest.mark.parametrize(
    ("pattern", "given"),
    [
        (r"[a-z]+(-[0-9]+)?", r"[a-z]+(-[0-9]+)?"),
        (r"[\w.-]{1,20}", r"[\p{L}\p{N}_.\-]{1,20}"),
        (r"\d{4}-\d\d", r"[\p{Nd}]{4}-[\p{Nd}][\p{Nd}]"),
        (r"a|b/c", r"a|b\/c"),
        (r"[]a]+", r"[\]a]+"),
        (r"[a\-z]", r"[a\-z]"),
        (r"\A(?:main|v\d)\Z", r"^(?:main|v[\p{Nd}])$"),
    ],
)
def test_what_both_read_alike_is_given(pattern: str, given: str) -> None:
    """Classes are written out as Python means them, and what a browser reads otherwise is escaped."""
    assert for_browser(pattern) == given


@pytest.mark.parametrize(
    "pattern",
    [r"(?i)main", r"a\b", r"(?P<x>a)", r"a++", r"(?>a)", r"x{,3}", r"(?<=a)b", r"(a)\1", r"\D", "a{"],
)
def test_what_could_be_read_otherwise_is_left_to_the_hub(pattern: str) -> None:
    """Flags, boundaries, back references and Python's own signs are not given."""
    assert for_browser(pattern) == ""
