"""Does an ordinary user learn what is in the way of sandboxes, and the command that takes it away?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.ordinary import require_subids
from jupyter_sandbox_spawner.rules.subids import Facts, Subids, first_obstacle, obstacles, subids_of, usable

FINE = Facts(
    user="ada",
    uid=1000,
    subuid="root:5:3\nada:100000:65536\n",
    subgid="ada:200000:65536\n",
    newuidmap=True,
    newgidmap=True,
    max_user_namespaces="96365",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ada:100000:65536", Subids(first=100000, count=65536)),
        ("1000:100000:65536", Subids(first=100000, count=65536)),
        ("ada:1:10\nada:100:500\nbob:7:900", Subids(first=100, count=500)),
        ("# ada:1:1\n\nadam:5:5\nada:x:5\nada:7", None),
        ("", None),
    ],
)
def test_the_largest_range_of_the_user_counts(text: str, found: Subids | None) -> None:
    """By name or number; other users, comments and broken lines count nothing."""
    assert subids_of(text, "ada", 1000) == found


def test_as_many_uids_as_gids() -> None:
    """A sandbox's uid has a gid to go with it, so the shorter range decides."""
    assert usable(FINE) == Subids(first=100000, count=65536)
    assert usable(replace(FINE, subgid="ada:7:10")) == Subids(first=100000, count=10)
    assert usable(replace(FINE, subgid="")) is None
    assert first_obstacle(FINE) is None


@pytest.mark.parametrize(
    ("facts", "code", "seen", "command"),
    [
        ({"subuid": ""}, "no_subuid", "/etc/subuid has no line for ada", "usermod --add-subuids"),
        ({"subgid": "bob:1:9"}, "no_subuid", "/etc/subgid has no line for ada", "usermod --add-subuids"),
        ({"subuid": "ada:5:2"}, "range_too_small", "2 ids; at least 3", "usermod --add-subuids"),
        ({"newuidmap": False}, "newuidmap_missing", "newuidmap is not installed", "apt-get install uidmap"),
        ({"newgidmap": False}, "newuidmap_missing", "newgidmap is not installed", "apt-get install uidmap"),
        ({"tools": False}, "tools_missing", "unshare or nsenter", "apt-get install util-linux"),
        (
            {"max_user_namespaces": "0"},
            "namespaces_off",
            "user.max_user_namespaces=0",
            "sysctl -w user.max_user_namespaces=15000",
        ),
        (
            {"unprivileged_userns_clone": "0"},
            "namespaces_off",
            "kernel.unprivileged_userns_clone=0",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            {"apparmor_restrict_unprivileged_userns": "1"},
            "apparmor",
            "AppArmor forbids user namespaces",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_each_obstacle_has_its_way_out(facts: dict[str, object], code: str, seen: str, command: str) -> None:
    """What is missing is named with its value, and with one command; the refusal of a start says the same."""
    looked = replace(FINE, **facts)  # type: ignore[arg-type]
    (found,) = obstacles(looked)
    assert found.code == code
    assert seen in found.seen
    assert command in found.remedy
    with pytest.raises(ConfigurationError) as refused:
        require_subids(looked)
    assert refused.value.code == f"ordinary.{code}"
    assert found.seen in refused.value.message
    assert found.remedy in refused.value.remedy


def test_a_switch_that_is_open_is_no_obstacle() -> None:
    """Switches that exist and allow user namespaces say nothing."""
    looked = replace(
        FINE, unprivileged_userns_clone="1", apparmor_restrict_unprivileged_userns="0", subuid="1000:5:3"
    )
    assert list(obstacles(looked)) == []
    assert require_subids(looked) == Subids(first=5, count=3)
