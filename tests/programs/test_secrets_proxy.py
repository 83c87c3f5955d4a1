"""Is a request sent to the granted host with the secret, and to nobody else, while the sandbox never sees it?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.programs.proxy_street import SECRET, TOKEN, ProxyStreet, basic, proxy_street


@pytest.fixture
async def street() -> AsyncIterator[ProxyStreet]:
    """Carol's door and the host."""
    async with proxy_street() as found:
        yield found


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("git/main", "Authorization", basic(SECRET, "robot")),
        ("api/header", "X-Api-Key", SECRET),
        ("api/bearer", "Authorization", f"Bearer {SECRET}"),
    ],
)
@pytest.mark.parametrize("shown", [f"token {TOKEN}", f"Bearer {TOKEN}", basic(TOKEN)])
async def test_the_host_gets_the_secret_and_not_the_token(
    street: ProxyStreet, name: str, header: str, value: str, shown: str
) -> None:
    """The credential comes in the one header of its grant; who asks is said to nobody outside."""
    status, body, headers = await street.ask("GET a/b?c=d%20e", name, headers={"Authorization": shown})
    assert (status, body) == (200, b"hello")
    assert headers["X-Sandbox-Upstream"] == "git.example.org"
    (seen,) = street.host.seen
    assert (seen.method, seen.raw_path, seen.headers["Host"]) == ("GET", "/a/b?c=d%20e", "git.example.org")
    assert seen.headers.getall(header) == [value]
    assert not any(TOKEN in text for text in seen.headers.values())
