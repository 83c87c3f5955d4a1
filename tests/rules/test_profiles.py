"""Are profiles read, refused and chosen as documented?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ProfileError, ProfileRefusedError
from jupyter_sandbox_spawner.models import UserPlace
from jupyter_sandbox_spawner.rules.choosing import choose, requested_profile
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles, profiles_from_python
from jupyter_sandbox_spawner.rules.profiles import (
    Defaults,
    ExtensionOffer,
    Profile,
    for_runtimes,
    profile_digest,
    reason_against,
    to_spec,
)

GOOD = """\
- display_name: Small
  slug: small
  default: true
  sandbox:
    cpu: 0.5
    memory: 512M
- display_name: Large
  slug: large
  allowed_groups: [research, clinical]
  sandbox:
    cpu: 4
    memory: 8G
    pids: 1024
    disk: 20G
    tmpfs: 1G
    ttl: 8h
    idle_timeout: 45m
    egress: ["mirror.example:443", {host: db.example, ports: [8443], allow_private: ["10.1.0.0/16"]}]
    isolation: hard
    runtime: runsc
    environment: gpu
    variables: {PIP_INDEX_URL: "http://mirror.example/simple"}
    extend: {by: 1h, at_most: 4h}
  servers_per_user: 2
- display_name: Closed
  slug: closed
  allowed_groups: []
  sandbox: {cpu: 1, memory: 1G}
"""
PLACE = UserPlace(user="ada", host_uid=3_000_007, home="/homes/ada")


def _with(line: str, replacement: str) -> str:
    assert line in GOOD
    return GOOD.replace(line, replacement, 1)


def test_every_field_is_read() -> None:
    """Each field of the schema arrives in its unit."""
    small, large, closed = parse_profiles(GOOD)
    assert (small.resources.cpu, small.resources.memory, small.resources.pids) == (0.5, 512 << 20, 512)
    assert small.allowed_groups is None
    assert closed.allowed_groups == ()
    assert large.allowed_groups == ("research", "clinical")
    assert (large.ttl, large.idle_timeout) == (8 * 3600, 45 * 60)
    assert large.extend == ExtensionOffer(by=3600, at_most=4 * 3600)
    assert (large.servers_per_user, small.servers_per_user, small.extend) == (2, None, None)
    assert (large.resources.disk, large.resources.tmpfs) == (20 << 30, 1 << 30)
    assert (large.isolation, large.runtime, large.environment) == ("hard", "runsc", "gpu")
    assert [rule.pattern for rule in large.egress.rules] == ["mirror.example", "db.example"]
    assert large.variables == {"PIP_INDEX_URL": "http://mirror.example/simple"}


def test_absent_egress_allows_nothing() -> None:
    """A profile without egress has no rules."""
    assert parse_profiles(GOOD)[0].egress.rules == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            _with("memory: 512M", "memmory: 512M"),
            "P:6: profiles[0].sandbox.memmory: this key does not exist.",
        ),
        (_with("memory: 512M", "memmory: 512M"), "Did you mean 'memory'?"),
        (_with("memory: 512M", "memory: 512 MB"), "P:6: profiles[0].sandbox.memory: '512 MB' is not a size."),
        (_with("ttl: 8h", "ttl: 8 hours"), "P:16: profiles[1].sandbox.ttl: '8 hours' is not a duration."),
        (_with("cpu: 0.5", "cpu: 500m"), "P:5: profiles[0].sandbox.cpu: '500m' is not a number of cores."),
        (_with("cpu: 0.5", "cpu: yes"), "P:5: profiles[0].sandbox.cpu: True is not a number of cores."),
        (
            _with("pids: 1024", 'pids: "1024"'),
            "P:13: profiles[1].sandbox.pids: '1024' is not a number of pro",
        ),
        (
            _with("slug: large", "slug: small"),
            "P:8: profiles[1].slug: 'small' is used twice (first in line 2).",
        ),
        (_with("slug: large", "slug: ../large"), "P:8: profiles[1].slug: '../large' is not a slug."),
        (
            _with('"mirror.example:443"', '"*"'),
            "P:18: profiles[1].sandbox.egress[0]: '*' would allow every host.",
        ),
        (_with('"mirror.example:443"', '"*.com"'), "P:18: profiles[1].sandbox.egress[0]: '*.com'"),
        (
            _with('"mirror.example:443"', '"http://a.b/"'),
            "P:18: profiles[1].sandbox.egress[0]: 'http://a.b/'",
        ),
        (
            _with("[research, clinical]", '["*"]'),
            "P:9: profiles[1].allowed_groups: '*' is not the name of a group",
        ),
        (
            _with("[research, clinical]", "research"),
            "P:9: profiles[1].allowed_groups: 'research' is not a list",
        ),
        (_with("[research, clinical]", ""), "P:9: profiles[1].allowed_groups: None is not a list"),
        (_with("slug: large", "slug: large\n  default: true"), "P:9: profiles[1].default: is true for two"),
        (_with("  default: true\n", ""), "P:1: default: no profile is the default."),
        (_with("  slug: small\n", ""), "P:1: profiles[0].slug: is missing."),
        (_with("    cpu: 4\n", ""), "P:10: profiles[1].sandbox.cpu: is missing."),
        (_with("isolation: hard", "isolation: harder"), "P:19: profiles[1].sandbox.isolation: 'harder'"),
        (_with("environment: gpu", "environment: other"), "P:21: profiles[1].sandbox.environment: 'other'"),
        (_with("PIP_INDEX_URL", "LD_PRELOAD"), "P:22: profiles[1].sandbox.variables.LD_PRELOAD:"),
        (
            _with("PIP_INDEX_URL", "NVIDIA_VISIBLE_DEVICES"),
            "P:22: profiles[1].sandbox.variables.NVIDIA_VISIBLE_DEVICES:",
        ),
        (_with("PIP_INDEX_URL", "https_proxy"), "P:22: profiles[1].sandbox.variables.https_proxy:"),
        (
            _with("  default: true\n", "  default: true\n  slug: b\n"),
            "P:4: profiles[0].slug: is written twice",
        ),
        (_with("cpu: 0.5", "\tcpu: 0.5"), "P:5: file: the YAML cannot be read:"),
        (_with("cpu: 0.5", "cpu: !!python/name:os.system"), "P:5: file: the YAML cannot be read:"),
        ("", "P:1: file: has no profiles."),
        ("[]", "P:1: file: has no profiles."),
        ("small: {cpu: 1}", "P:1: file: has no profiles."),
        ("- {slug: 2020-13-45}", "P:1: file: the YAML cannot be read: month must be in 1..12"),
        ("- [" + "[" * 1000, "P:1: file: the YAML cannot be read: it is nested too deeply."),
        (
            _with("    ttl: 8h\n", ""),
            "P:22: profiles[1].sandbox.extend: there is no ttl to extend. Write a ttl, or remove extend.",
        ),
        (_with("{by: 1h, at_most: 4h}", "1h"), "sandbox.extend: '1h' does not have by and at_most, and"),
        (
            _with("{by: 1h, at_most: 4h}", "{by: 1h}"),
            "does not have by and at_most, and nothing else but times. Write",
        ),
        (_with("at_most: 4h}", "at_most: 4h, often: 2}"), "nothing else but times. Write"),
        (
            _with("at_most: 4h}", "at_most: 4h, times: 0}"),
            "P:23: profiles[1].sandbox.extend.times: 0 is not a number of extensions. Write a whole number",
        ),
        (_with("at_most: 4h}", "at_most: 4h, times: yes}"), "extend.times: True is not a number of"),
        (_with("at_most: 4h}", "at_most: 4h, times: 1.5}"), "extend.times: 1.5 is not a number of"),
        (_with("by: 1h", "by: soon"), "P:23: profiles[1].sandbox.extend.by: 'soon' is not a duration."),
        (_with("at_most: 4h", "at_most: 1m"), "profiles[1].sandbox.extend.at_most: '1m' is less than by."),
        (
            _with("per_user: 2", "per_user: 0"),
            "P:24: profiles[1].servers_per_user: 0 is not a number",
        ),
        (
            _with("per_user: 2", "per_user: yes"),
            "P:24: profiles[1].servers_per_user: True is not a",
        ),
        ("- small", "P:1: profiles[0]: 'small' is not a mapping."),
        ("- &a [*a]", "the file is too large or too deep."),
    ],
)
def test_a_wrong_file_names_line_and_field(text: str, expected: str) -> None:
    """A wrong file is refused with file, line, field and what to write."""
    with pytest.raises(ProfileError) as refusal:
        parse_profiles(text, "P", ("default", "gpu"))
    assert expected in str(refusal.value)
    assert str(refusal.value).startswith("P:")


def test_every_problem_is_told_at_once() -> None:
    """Two mistakes give two lines, in the order of the file."""
    text = _with("memory: 512M", "memory: much").replace("ttl: 8h", "ttl: long")
    with pytest.raises(ProfileError) as refusal:
        parse_profiles(text, "P")
    assert [line.split(" ")[0] for line in str(refusal.value).splitlines()] == ["P:6:", "P:16:"]


def test_anchors_and_merges_work() -> None:
    """YAML merge keys can share a block; what stands there itself wins."""
    text = GOOD + "- {display_name: B, slug: b, sandbox: &s {cpu: 1, memory: 1G}}\n"
    text += "- {display_name: C, slug: c, sandbox: {<<: *s, cpu: 2}}\n"
    *_, b, c = parse_profiles(text)
    assert (b.resources.cpu, c.resources.cpu, c.resources.memory) == (1, 2, 1 << 30)


def test_a_python_list_has_the_same_schema() -> None:
    """The same profiles from Python; an error names the place without a line."""
    sandbox = {"cpu": 1, "memory": "1G"}
    good = [{"display_name": "A", "slug": "a", "default": True, "sandbox": sandbox}]
    assert profiles_from_python(good)[0].slug == "a"
    with pytest.raises(ProfileError, match=r"^profiles: profiles\[0\].sandbox.memory: 'x' is not a size"):
        profiles_from_python([{**good[0], "sandbox": {**sandbox, "memory": "x"}}])


def test_the_shipped_file_is_good(checkout: Path) -> None:
    """hub_config/profiles.yaml has three profiles: for everyone, for research, for clinical."""
    found = parse_profiles((checkout / "hub_config/profiles.yaml").read_text())
    assert [(profile.slug, profile.allowed_groups) for profile in found] == [
        ("cpu-small", None),
        ("cpu-large", ("research",)),
        ("clinical", ("clinical",)),
    ]
    assert len({profile.egress for profile in found}) == 3


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the reader fail in another way than with a ProfileError."""
    with contextlib.suppress(ProfileError):
        parse_profiles(text)


@pytest.fixture
def profiles() -> tuple[Profile, ...]:
    """small for everyone, large for research and clinical, closed for nobody."""
    return parse_profiles(GOOD)


def test_without_a_wish_the_default_is_given(profiles: tuple[Profile, ...]) -> None:
    """No choice at all gives the default without a notice."""
    choice = choose(profiles, None, None, ())
    assert (choice.profile.slug, choice.notice) == ("small", "")


def test_a_member_may_choose(profiles: tuple[Profile, ...]) -> None:
    """One of the groups is enough."""
    assert choose(profiles, "large", None, {"clinical", "x"}).profile.slug == "large"


def test_an_explicit_choice_is_refused_with_the_group(profiles: tuple[Profile, ...]) -> None:
    """An explicit choice of another group's profile is refused and names group and alternatives."""
    with pytest.raises(ProfileRefusedError) as refusal:
        choose(profiles, "large", None, {"students"})
    assert (refusal.value.code, refusal.value.status) == ("profile.not_allowed", 403)
    assert "It is for group research or clinical" in str(refusal.value)
    assert "You may take: small." in str(refusal.value)


def test_an_unknown_profile_is_refused_with_a_hint(profiles: tuple[Profile, ...]) -> None:
    """A misspelt slug is refused with the nearest one."""
    with pytest.raises(ProfileRefusedError, match="Did you mean 'large'") as refusal:
        choose(profiles, "lrage", None, ())
    assert (refusal.value.code, refusal.value.status) == ("profile.unknown", 400)


def test_an_empty_group_list_is_for_nobody(profiles: tuple[Profile, ...]) -> None:
    """Empty allowed_groups close a profile for everyone."""
    assert "closed" in reason_against(profiles[2], {"research", "clinical"})
    assert reason_against(profiles[0], ()) == ""


@pytest.mark.proves("T10")
@pytest.mark.parametrize(
    ("saved", "why"), [("large", "It is for group"), ("gone", "It does not exist any more")]
)
def test_a_saved_choice_gives_way(profiles: tuple[Profile, ...], saved: str, why: str) -> None:
    """A saved choice that cannot be had any more gives the default and a notice that says why."""
    choice = choose(profiles, None, saved, ())
    assert choice.profile.slug == "small"
    assert why in choice.notice


def test_a_saved_choice_is_kept_while_it_may_be_had(profiles: tuple[Profile, ...]) -> None:
    """A saved choice that still may be had is taken without a notice."""
    choice = choose(profiles, None, "large", {"research"})
    assert (choice.profile.slug, choice.notice) == ("large", "")


def test_a_user_without_any_profile_is_refused(profiles: tuple[Profile, ...]) -> None:
    """Where every profile is for others, the start is refused."""
    with pytest.raises(ProfileRefusedError) as refusal:
        choose(profiles[1:], None, None, ())
    assert refusal.value.code == "profile.none"


@pytest.mark.proves("H04")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"image": "x"}, "options.unknown"),
        ({"profile": "small", "uid": 0}, "options.unknown"),
        ({"profile": ["small"]}, "options.invalid"),
        ({"profile": 1}, "options.invalid"),
        ([], "options.invalid"),
        ("small", "options.invalid"),
    ],
)
def test_options_are_a_closed_set(options: object, code: str) -> None:
    """Options other than one profile are refused with status 400."""
    with pytest.raises(ProfileRefusedError) as refusal:
        requested_profile(options)
    assert (refusal.value.code, refusal.value.status) == (code, 400)


@pytest.mark.parametrize("options", [None, {}, {"profile": None}, {"profile": ""}])
def test_no_options_ask_for_nothing(options: object) -> None:
    """Absent or empty options ask for no profile."""
    assert requested_profile(options) is None


def test_the_digest_changes_with_the_policy(profiles: tuple[Profile, ...]) -> None:
    """Equal profiles have equal digests; one byte of memory changes it."""
    again = parse_profiles(GOOD)
    other = parse_profiles(_with("memory: 512M", "memory: 513M"))
    assert profile_digest(profiles[0]) == profile_digest(again[0])
    assert profile_digest(profiles[0]) != profile_digest(other[0])


def test_the_spec_says_what_the_profile_says(profiles: tuple[Profile, ...]) -> None:
    """A spec has the user's own uid and home, and the profile's limits; the site fills what is silent."""
    defaults = Defaults(environment="default", runtime="runc")
    spec = to_spec(profiles[0], "sb-x", PLACE, "second", defaults)
    assert (spec.user, spec.server, spec.host_uid) == ("ada", "second", 3_000_007)
    assert [(mount.source, mount.target, mount.read_only) for mount in spec.mounts] == [
        ("/homes/ada", "/home/jovyan", False)
    ]
    assert (spec.environment_name, spec.runtime) == ("default", "runc")
    large = to_spec(profiles[1], "sb-y", PLACE, "", defaults)
    assert (large.environment_name, large.runtime, large.isolation) == ("gpu", "runsc", "hard")


def test_another_runtime_is_offered_to_nobody(control: Callable[[str, bool], None]) -> None:
    """A profile with a runtime that is not the site's is refused with the remedy; its digest stays."""
    plain, large = parse_profiles(GOOD, "P")[:2]
    same = for_runtimes((plain, large), ("runc", "runsc"))
    control("on a site with that runtime nothing is refused", not same[1].unavailable)
    found = for_runtimes((plain, large), ("runc",))
    assert found[0] == plain
    assert 'further_runtimes=[..., "runsc"]' in reason_against(found[1], large.allowed_groups or ())
    assert profile_digest(found[1]) == profile_digest(large)
    with pytest.raises(ProfileRefusedError, match="runtime runsc"):
        choose(found, large.slug, None, large.allowed_groups or ())
