"""How does git inside find the hosts that its secrets are for, with nothing pasted and no value inside?

Law: git is told by variables, so no file of the user's is touched; what an admin set so stays before ours.
For granted hosts git asks our helper and nobody else, so a helper that stores sees no value; other hosts stay
with the user's own settings.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..rules.grants import Grant
from ..rules.proxied import proxied_prefix

__all__ = ["GitPlan", "git_settings"]

# git asks this once it was answered 401, which our door does first. The token is in the environment of every
# program inside; here it is only handed over, to our own loopback address. No user image needs our package.
_DOOR_HELPER = (
    '!f() { test "$1" = get || exit 0; echo username=sandbox; echo "password=$JUPYTERHUB_API_TOKEN"; }; f'
)


@dataclass(frozen=True, kw_only=True)
class GitPlan:
    """`door`: origin of the API door inside. `helper`: our command in the user image, for values."""

    door: str
    base_url: str
    helper: str


def git_settings(granted: Sequence[Grant], plan: GitPlan, before: Mapping[str, str]) -> dict[str, str]:
    """GIT_CONFIG_* for grants of kind git; `before` is the environment so far."""
    by_host: dict[str, Grant] = {}
    for grant in granted:
        if grant.kind == "git":
            # The first grant of a host is the one that git uses.
            by_host.setdefault(grant.host, grant)
    firsts = list(by_host.values())
    settings = [*_proxied(firsts, plan), *_by_value(firsts, plan)]
    if not settings:
        return {}
    count = before.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isascii() and count.isdigit() else 0
    found = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings, first):
        found[f"GIT_CONFIG_KEY_{number}"] = key
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found


def _proxied(firsts: Sequence[Grant], plan: GitPlan) -> Iterator[tuple[str, str]]:
    proxied = [grant for grant in firsts if grant.delivery == "proxy"]
    for grant in proxied:
        prefix = proxied_prefix(plan.base_url, grant.name)
        yield f"url.{plan.door}{prefix}.insteadOf", f"https://{grant.host}/"
    if proxied:
        # Without it git (which knows it from 2.46 on) forgets a redirect that comes after our 401.
        yield f"http.{plan.door}.proactiveAuth", "basic"
        yield from _asking(plan.door, _DOOR_HELPER)


def _by_value(firsts: Sequence[Grant], plan: GitPlan) -> Iterator[tuple[str, str]]:
    helper = f"!{shlex.quote(plan.helper)} git-credential"
    for grant in firsts:
        if grant.delivery == "value":
            yield from _asking(f"https://{grant.host}", helper)


def _asking(address: str, helper: str) -> Iterator[tuple[str, str]]:
    # The empty one keeps the user's own helpers from storing what ours says.
    yield f"credential.{address}.helper", ""
    yield f"credential.{address}.helper", helper
