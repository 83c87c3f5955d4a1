"""Which guards of the hub's pages must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_HUB = "jupyter_sandbox_spawner/hub"

GUARDS = (
    Guard(
        name="hub pages: the form escapes",
        file=f"{_HUB}/form.py",
        pattern=r"autoescape=True",
        replacement="autoescape=False",
        tests="tests/hub/test_parts.py -k form_escapes",
    ),
    Guard(
        name="hub pages: a browser gets what it reads alike",
        file="jupyter_sandbox_spawner/rules/browser_patterns.py",
        pattern=r"if escaped and character\.isalnum\(\):",
        replacement="if False:",
        tests="tests/rules/test_browser_patterns.py -k left_to_the_hub",
    ),
    Guard(
        name="hub pages: what may not be had is not offered again",
        file=f"{_HUB}/ways_on.py",
        pattern=r"if choice is None or choice\.notice:",
        replacement="if choice is None:",
        tests="tests/hub/test_start_pages.py -k is_gone",
    ),
    Guard(
        name="hub pages: lines are not for those it is shared with",
        file=f"{_HUB}/templates/pages/sandbox_ending.html",
        pattern=r"if sandbox_scope is not mapping or [^%]*%",
        replacement="if true %",
        tests="tests/hub/test_pages.py -k not_shared",
    ),
)
