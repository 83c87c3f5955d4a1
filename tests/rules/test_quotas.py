"""Are caps read as they are written, counted exactly, and refused with numbers and a way out?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.rules.quotas import (
    Asked,
    Caps,
    GpuHours,
    GroupQuota,
    Held,
    Quotas,
    Scope,
    Share,
    UserQuota,
    over_cap,
    shares_of,
)
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

PROFILES = "profiles: [{slug: a, display_name: A, default: true, sandbox: {cpu: 1, memory: 1G}}]\n"


def share(caps: Caps, scope: Scope = "user") -> Share:
    """One share with these caps."""
    return Share(scope=scope, name="x", caps=caps)


def problems(section: str) -> str:
    """What is wrong with a section of quotas."""
    with pytest.raises(ProfileError) as caught:
        parse_rulebook(PROFILES + section)
    return str(caught.value)


def test_the_section_is_read_whole() -> None:
    """Every cap of users and groups, in the order of the file."""
    text = (
        "quotas:\n"
        "  user:\n"
        "    - {group: research, servers: 5, gpus: 2, gpu_hours: {at_most: 40, within: 7d}}\n"
        "    - {servers: 2, cpu: 4.5, memory: 16G, gpus: 0}\n"
        "  group: [{group: research, gpus: 4}]\n"
    )
    hours = GpuHours(at_most=40.0, within=7 * 86400)
    assert parse_rulebook(PROFILES + text).quotas == Quotas(
        users=(
            UserQuota(group="research", caps=Caps(servers=5, gpus=2, gpu_hours=hours)),
            UserQuota(caps=Caps(servers=2, cpu=4.5, memory=16 << 30, gpus=0)),
        ),
        groups=(GroupQuota(group="research", caps=Caps(gpus=4)),),
    )


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("quotas: [1]", "quotas: [1] is not a mapping"),
        ("quotas: {user: {gpus: 1}}", "quotas.user: is not a list"),
        ("quotas: {user: [{gpu: 1}]}", "quotas.user[0].gpu: this key does not exist. Did you mean 'gpus'?"),
        ("quotas: {user: [{gpus: -1}]}", "quotas.user[0].gpus: -1 is not a number. Write a whole number"),
        ("quotas: {user: [{gpus: true}]}", "quotas.user[0].gpus: True is not a number"),
        ("quotas: {user: [{servers: 1.5}]}", "quotas.user[0].servers: 1.5 is not a number"),
        ("quotas: {user: [{cpu: '4'}]}", "quotas.user[0].cpu: '4' is not a number of cores"),
        ("quotas: {user: [{memory: lots}]}", "quotas.user[0].memory: 'lots' is not a size"),
        ("quotas: {user: [{}]}", "quotas.user[0]: caps nothing. Write at least one of"),
        ("quotas: {user: [{gpus: 1}, {gpus: 2}]}", "quotas.user[1]: is never used"),
        ("quotas: {user: [{group: a, gpus: 1}, {group: a, cpu: 2}]}", "quotas.user[1]: is never used: 'a'"),
        ("quotas: {user: [{group: 'a*', gpus: 1}]}", "quotas.user[0].group: 'a*' is not the name of a group"),
        ("quotas: {group: [{gpus: 1}]}", "quotas.group[0].group: is missing"),
        (
            "quotas: {group: [{group: a, gpus: 1}, {group: a, cpu: 1}]}",
            "quotas.group[1].group: 'a' has an entry",
        ),
        (
            "quotas: {user: [{gpu_hours: 4}]}",
            "quotas.user[0].gpu_hours: 4 does not have exactly at_most and within",
        ),
        (
            "quotas: {user: [{gpu_hours: {at_most: 0, within: 7d}}]}",
            "gpu_hours.at_most: 0 is not a number of hours",
        ),
        (
            "quotas: {user: [{gpu_hours: {at_most: 1, within: 2y}}]}",
            "gpu_hours.within: '2y' is not a duration",
        ),
        (
            "quotas: {user: [{gpu_hours: {at_most: 1, within: 400d}}]}",
            "gpu_hours.within: '400d' is longer than",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_field(section: str, told: str) -> None:
    """File, line, field, value and what to write; the book as a whole is refused."""
    found = problems(section)
    assert told in found
    assert found.startswith("profiles.yaml:2: ")


def test_every_problem_is_told_at_once() -> None:
    """Two wrong entries are two lines."""
    assert len(problems("quotas: {user: [{gpus: x}], group: [{gpus: 1}]}").splitlines()) == 2


def test_the_first_entry_that_fits_counts() -> None:
    """Of a user in both groups, in one, and in none; without an entry there are no caps."""
    one, two, rest = (Caps(gpus=number) for number in (1, 2, 3))
    quotas = Quotas(
        users=(
            UserQuota(group="a", caps=one),
            UserQuota(group="b", caps=two),
            UserQuota(caps=rest),
        )
    )
    for groups, caps in (({"a", "b"}, one), ({"b"}, two), (set(), rest)):
        assert quotas.caps_of_user(frozenset(groups)) == caps
    assert Quotas().caps_of_user(frozenset({"a"})) == Caps()


def test_a_server_counts_for_its_user_groups_and_profile() -> None:
    """Only shares that have a cap, and only groups of the user."""
    quotas = Quotas(
        users=(UserQuota(caps=Caps(cpu=4)),),
        groups=(GroupQuota(group="a", caps=Caps(gpus=1)), GroupQuota(group="b", caps=Caps(gpus=1))),
    )
    found = shares_of(quotas, "alice", ("a",), "lab", None)
    assert [(item.scope, item.name) for item in found] == [("user", "alice"), ("group", "a")]
    assert [item.scope for item in shares_of(Quotas(), "alice", (), "lab", Caps(gpus=1))] == ["profile"]


@pytest.mark.parametrize(
    ("caps", "held", "asked", "code"),
    [
        (Caps(servers=2), Held(servers=1), Asked(cpu=1, memory=1), ""),
        (Caps(servers=2), Held(servers=2), Asked(cpu=1, memory=1), "quota.servers.user"),
        (Caps(cpu=0.3), Held(cpu=0.1 + 0.1), Asked(cpu=0.1, memory=1), ""),
        (Caps(cpu=0.3), Held(cpu=0.3), Asked(cpu=0.1, memory=1), "quota.cpu.user"),
        (Caps(memory=10), Held(memory=9), Asked(cpu=1, memory=1), ""),
        (Caps(memory=10), Held(memory=9), Asked(cpu=1, memory=2), "quota.memory.user"),
        (Caps(gpus=0), Held(), Asked(cpu=1, memory=1), ""),
        (Caps(gpus=0), Held(gpus=3), Asked(cpu=1, memory=1), ""),
        (Caps(gpus=0), Held(), Asked(cpu=1, memory=1, gpus=1), "quota.gpu.user"),
    ],
)
def test_a_cap_is_reached_and_not_passed(caps: Caps, held: Held, asked: Asked, code: str) -> None:
    """Exactly the cap fits; who asks for no GPU is not refused for one."""
    refusal = over_cap(share(caps), held, asked)
    assert (refusal.code if refusal else "") == code


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (
            "user",
            "You have 2.0 GB of 3.0 GB of memory in use ('b', 'default'); this server asks for 2.0 GB more.",
        ),
        ("group", "The group 'x' has 2.0 GB of 3.0 GB of memory in use; this server asks for 2.0 GB more."),
        ("profile", "The servers of profile 'x' have 2.0 GB of 3.0 GB of memory in use; this server asks"),
    ],
)
def test_a_refusal_counts_in_words(scope: Scope, message: str) -> None:
    """Whose, how much of how much, and how much more."""
    held = Held(memory=2 << 30, names=("b", "") if scope == "user" else ())
    refusal = over_cap(share(Caps(memory=3 << 30), scope), held, Asked(cpu=1, memory=2 << 30))
    assert refusal is not None
    assert refusal.message.startswith(message)
    assert refusal.remedy
