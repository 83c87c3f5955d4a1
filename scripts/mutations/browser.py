"""Which guards of the browser's side must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_SANDBOX = "jupyter_sandbox_spawner/gateway/sandbox.py"
_EXCHANGE = "jupyter_sandbox_spawner/gateway/exchange.py"
_TESTS = "tests/programs/test_gateway_browser.py"
_HEADS = "jupyter_sandbox_spawner/rules/heads.py"
_RULES = "tests/rules/test_heads.py"
_EXITS = "tests/browser/test_exits.py"

_DOWNLOADS = (
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

# Each leaves its directive out, or lets it name every host, and a real browser then goes there.
_POLICY = tuple(
    Guard(name=f"policy: {name}", file=_HEADS, pattern=pattern, replacement=off, tests=tests, live=True)
    for name, pattern, off, tests in (
        ("what has no directive", r"default-src \{own\}", "default-src *", f"{_EXITS} -k prefetch"),
        ("scripts", r"script-src \{own\}", "script-src *", f"{_EXITS} -k module"),
        ("styles", r"style-src \{own\}", "style-src *", f"{_EXITS} -k import"),
        ("pictures", r"img-src \{own\}", "img-src *", f"{_EXITS} -k background"),
        ("fonts", r"font-src \{own\}", "font-src *", f"{_EXITS} -k font"),
        ("sounds", r"media-src \{own\}", "media-src *", f"{_EXITS} -k sound"),
        ("connections", r"connect-src \{own\}", "connect-src *", f"{_EXITS} -k beacon"),
        ("frames", r"frame-src \{own\}", "frame-src *", f"{_EXITS} -k moves"),
        ("objects", r"object-src 'self'", "object-src *", f"{_EXITS} -k object"),
        ("bases", r"base-uri 'self'; ", "", f"{_EXITS} -k base"),
        ("forms", r"form-action 'self'\{form\}; ", "", f"{_EXITS} -k form"),
        ("who frames it", r"; frame-ancestors 'self'", "", f"{_EXITS} -k frames_a_servers_page"),
        ("calls", r"\(b\"connection-allowlist\", _NO_CALLS\),", "", f"{_EXITS} -k call"),
        ("service workers", r"service-worker-allowed ", "", f"{_EXITS} -k below_its_server"),
    )
)

_HEADERS = (
    Guard(
        name="policy: it is sent",
        file=_HEADS,
        pattern=r"\(b\"content-security-policy\", policy\.content_security_policy\),",
        replacement="",
        tests="tests/programs/test_gateway_front.py -k answer_head_is_cleaned",
    ),
    Guard(
        name="policy: reports of a server's own are cut",
        file=_HEADS,
        pattern=r"_without_reports\(value\)\)\)",
        replacement="value))",
        tests=f"{_RULES} -k reports",
    ),
    Guard(
        name="policy: a server's own allowlist is dropped",
        file=_HEADS,
        pattern=r", b\"connection-allowlist\"\)\)",
        replacement="))",
        tests=f"{_RULES} -k open_calls",
    ),
    Guard(
        name="cookies: none for a domain",
        file=_HEADS,
        pattern=r"if name\.strip\(\)\.lower\(\) == b\"domain\":",
        replacement="if False:",
        tests=f"{_RULES} -k cookies_stay",
    ),
    Guard(
        name="cookies: none for another path",
        file=_HEADS,
        pattern=r"if len\(paths\) > 1 or not _inside\(paths\[0\], policy\):",
        replacement="if len(paths) > 1:",
        tests=f"{_EXITS} -k cookies",
        live=True,
    ),
    Guard(
        name="cookies: one path",
        file=_HEADS,
        pattern=r"if len\(paths\) > 1 or not",
        replacement="if not",
        tests=f"{_RULES} -k cookies_stay",
    ),
    Guard(
        name="cookies: without a path, the server's",
        file=_HEADS,
        pattern=r"return value \+ b\"; Path=\" \+ policy\.prefix\.encode\(\)",
        replacement="return value",
        tests=f"{_EXITS} -k cookies",
        live=True,
    ),
    Guard(
        name="cookies: the root on an own host alone",
        file=_HEADS,
        pattern=r"\(policy\.own_host and path == b\"/\"\)",
        replacement='path == b"/"',
        tests=f"{_RULES} -k cookies_stay",
    ),
)

GUARDS = (*_DOWNLOADS, *_HEADERS, *_POLICY)
