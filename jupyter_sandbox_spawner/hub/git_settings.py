"""How does git inside find the hosts that its secrets are for, with nothing pasted?

Law: git is told by variables, so no file of the user's is touched; what an admin set so stays before ours.
Other helpers are cleared for these hosts alone, so one that writes logins down sees none of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from ..rules.grants import Grant

__all__ = ["git_settings"]

# git asks this once it was answered 401, which our door does first. The token is in the environment of every
# program inside; here it is only handed over, to our own loopback address.
_AT_THE_DOOR = (
    '!f() { test "$1" = get || exit 0; echo username=sandbox; echo "password=$JUPYTERHUB_API_TOKEN"; }; f'
)


def git_settings(
    granted: Sequence[Grant],
    base_url: str,
    api_port: int,
    before: Mapping[str, str],
    command: str = "jupyter-sandbox",
) -> dict[str, str]:
    """GIT_CONFIG_* for grants of kind git. `before`: the environment so far; `command`: ours, inside."""
    grants = [grant for grant in granted if grant.kind == "git"]
    door = f"http://127.0.0.1:{api_port}"
    settings = [*_by_proxy(grants, base_url, door), *_by_value(grants, command)]
    if not settings:
        return {}
    count = before.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings, first):
        found[f"GIT_CONFIG_KEY_{number}"] = key
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found


def _by_value(grants: Sequence[Grant], command: str) -> Iterator[tuple[str, str]]:
    """Our helper, by its whole path: a shell's PATH may be another one."""
    helper = f"!{shlex.quote(command)} git-credential"
    for host in dict.fromkeys(grant.host for grant in grants if grant.delivery == "value"):
        for text in ("", helper):
            yield f"credential.https://{host}.helper", text


def _by_proxy(grants: Sequence[Grant], base_url: str, door: str) -> Iterator[tuple[str, str]]:
    hosts: set[str] = set()
    for grant in grants:
        # The first grant of a host is the one that git uses.
        if grant.delivery == "proxy" and grant.host not in hosts:
            hosts.add(grant.host)
            proxy = f"{door}{base_url}services/sandbox/api/secrets/{grant.name}/proxy/"
            yield f"url.{proxy}.insteadOf", f"https://{grant.host}/"
    if hosts:
        # Without it git (which knows it from 2.46 on) forgets a redirect that comes after our 401.
        yield f"http.{door}.proactiveAuth", "basic"
        for text in ("", _AT_THE_DOOR):
            yield f"credential.{door}.helper", text
