"""Which guards of the browser's side must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_SANDBOX = "jupyter_sandbox_spawner/gateway/sandbox.py"
_EXCHANGE = "jupyter_sandbox_spawner/gateway/exchange.py"
_TESTS = "tests/programs/test_gateway_browser.py"

GUARDS = (
    Guard(
        name="browser: the cap on the way",
        file=_EXCHANGE,
        pattern=r"if refusal := self\._sandbox\.cap_refusal\(self\._method\):",
        replacement="if False:",
        tests=f"{_TESTS} -k ends_at_the_cap",
    ),
    Guard(
        name="browser: downloads are off by their address",
        file=_SANDBOX,
        pattern=r"if not self\.entry\.browser\.downloads and[^\n]*",
        replacement="if False:",
        tests=f"{_TESTS} -k files_stay",
    ),
    Guard(
        name="browser: downloads are off by their header",
        file=_EXCHANGE,
        pattern=r"if not self\._sandbox\.entry\.browser\.downloads[^\n]*",
        replacement="if False:",
        tests=f"{_TESTS} -k files_stay",
    ),
)
