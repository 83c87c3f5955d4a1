"""How does git inside find the hosts that its secrets are for, with nothing pasted and no value inside?

Law: git is told by variables, so no file of the user's is touched; what an admin set so stays before ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..rules.grants import Grant
from ..rules.proxied import proxied_prefix

__all__ = ["git_settings"]

# git asks this once it was answered 401, which our door does first. The token is in the environment of every
# program inside; here it is only handed over, to our own loopback address.
_HELPER = (
    '!f() { test "$1" = get || exit 0; echo username=sandbox; echo "password=$JUPYTERHUB_API_TOKEN"; }; f'
)


def git_settings(
    granted: Sequence[Grant], base_url: str, api_port: int, before: Mapping[str, str]
) -> dict[str, str]:
    """GIT_CONFIG_* for grants of kind git that are used by proxy; `before` is the environment so far."""
    settings = list(_settings(granted, base_url, f"http://127.0.0.1:{api_port}"))
    if not settings:
        return {}
    count = before.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings, first):
        found[f"GIT_CONFIG_KEY_{number}"] = key
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found


def _settings(granted: Sequence[Grant], base_url: str, door: str) -> Iterator[tuple[str, str]]:
    hosts: set[str] = set()
    for grant in granted:
        # The first grant of a host is the one that git uses.
        if grant.kind == "git" and grant.delivery == "proxy" and grant.host not in hosts:
            hosts.add(grant.host)
            yield f"url.{door}{proxied_prefix(base_url, grant.name)}.insteadOf", f"https://{grant.host}/"
    if hosts:
        # Without it git (which knows it from 2.46 on) forgets a redirect that comes after our 401.
        yield f"http.{door}.proactiveAuth", "basic"
        # The empty one keeps the user's own helpers from storing this token.
        yield f"credential.{door}.helper", ""
        yield f"credential.{door}.helper", _HELPER
