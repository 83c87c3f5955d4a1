"""Is the section `policy` of the admin's file read exactly, and refused where anything is wrong?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.rules.policy_settings import (
    OpaSettings,
    PolicySettings,
    settings_digest,
    settings_document,
)
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

PROFILES = "profiles:\n- {display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}\n"


def read(section: str) -> PolicySettings:
    """The policy of a file with this section."""
    return parse_rulebook(f"{PROFILES}policy:\n{section}\n").policy


def test_a_whole_section_is_read() -> None:
    """Every key becomes its value; hosts have the port of https where none is written."""
    settings = read(
        "  gpus_at_most: 0\n  open_tags: [public, internal]\n  denied_groups: [suspended]\n"
        "  secrets: [team/db, users/*]\n  hosts: [mirror.example, '*.example.org:8443']\n"
        "  extension_at_most: 2h\n"
        "  promoters: [release]\n  opa: {address: 'unix:///run/opa.sock', decision: a/b, timeout: 1}\n"
    )
    assert settings == PolicySettings(
        gpus_at_most=0,
        open_tags=("public", "internal"),
        denied_groups=("suspended",),
        secrets=("team/db", "users/*"),
        hosts=("mirror.example:443", "*.example.org:8443"),
        extension_at_most=7200,
        promoters=("release",),
        opa=OpaSettings(address="unix:///run/opa.sock", decision="a/b", timeout=1.0),
    )


def test_what_is_absent_keeps_its_default() -> None:
    """An empty section is the default policy; an empty list is not the same as none."""
    assert read("  {}") == PolicySettings()
    assert read("  {secrets: [], hosts: [], open_tags: []}") == PolicySettings(
        secrets=(), hosts=(), open_tags=()
    )


@pytest.mark.parametrize(
    ("section", "line", "field"),
    [
        ("  []", 3, "policy"),
        ("  {gpu_at_most: 1}", 4, "policy.gpu_at_most"),
        ("  {gpus_at_most: -1}", 4, "policy.gpus_at_most"),
        ("  {gpus_at_most: 65}", 4, "policy.gpus_at_most"),
        ("  {gpus_at_most: true}", 4, "policy.gpus_at_most"),
        ("  {gpus_at_most: '4'}", 4, "policy.gpus_at_most"),
        ("  {gpus_at_most: 4.0}", 4, "policy.gpus_at_most"),
        ("  gpus_at_most: 1\n  open_tags: public", 5, "policy.open_tags"),
        ("  {open_tags: [pii]}", 4, "policy.open_tags"),
        ("  {open_tags: [Public]}", 4, "policy.open_tags"),
        ("  {open_tags: [[public]]}", 4, "policy.open_tags"),
        ("  {denied_groups: ['*']}", 4, "policy.denied_groups"),
        ("  {secrets: ['*']}", 4, "policy.secrets"),
        ("  {secrets: [a/*/b]}", 4, "policy.secrets"),
        ("  {secrets: [7]}", 4, "policy.secrets"),
        ("  {hosts: ['*']}", 4, "policy.hosts"),
        ("  {hosts: ['https://a.example']}", 4, "policy.hosts"),
        ("  {extension_at_most: 0}", 4, "policy.extension_at_most"),
        ("  {extension_at_most: 32d}", 4, "policy.extension_at_most"),
        ("  {opa: 'http://127.0.0.1:8181'}", 4, "policy.opa"),
        ("  {opa: {}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'http://opa.example:8181'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'https://127.0.0.1:8181'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'http://127.0.0.1'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'http://127.0.0.1:8181/v1'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'http://u:p@127.0.0.1:8181'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'unix://run/opa.sock'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'http://127.0.0.1:99999'}}", 4, "policy.opa.address"),
        ("  {opa: {address: 'unix:///s', decision: '../x'}}", 4, "policy.opa.decision"),
        ("  {opa: {address: 'unix:///s', timeout: 0}}", 4, "policy.opa.timeout"),
        ("  {opa: {address: 'unix:///s', timeout: true}}", 4, "policy.opa.timeout"),
    ],
)
def test_a_wrong_section_is_refused(section: str, line: int, field: str) -> None:
    """What is wrong is named with line, field and value, and nothing of the file is taken."""
    with pytest.raises(ProfileError) as refused:
        read(section)
    assert f":{line}: " in refused.value.message
    assert field in refused.value.message


def test_every_problem_is_told_at_once() -> None:
    """An admin mends a section in one go."""
    with pytest.raises(ProfileError) as refused:
        read("  gpus_at_most: many\n  secrets: all\n  opa: {address: 1, timeout: never}")
    for field in ("gpus_at_most", "secrets", "opa.address", "opa.timeout"):
        assert f"policy.{field}: " in refused.value.message


def test_the_digest_is_of_all_that_the_rules_read() -> None:
    """Another value of any setting is another policy; the order of a list and the address of OPA are not."""
    base = PolicySettings(denied_groups=("a", "b"))
    others = [
        PolicySettings(denied_groups=("a", "b"), gpus_at_most=3),
        PolicySettings(denied_groups=("a", "b"), open_tags=()),
        PolicySettings(denied_groups=("a",)),
        PolicySettings(denied_groups=("a", "b"), secrets=()),
        PolicySettings(denied_groups=("a", "b"), hosts=()),
        PolicySettings(denied_groups=("a", "b"), extension_at_most=1),
        PolicySettings(denied_groups=("a", "b"), promoters=("c",)),
    ]
    digests = {settings_digest(other) for other in others}
    assert len(digests | {settings_digest(base)}) == len(others) + 1
    same = PolicySettings(denied_groups=("b", "a"), opa=OpaSettings(address="unix:///s"))
    assert settings_digest(same) == settings_digest(base)
    assert settings_document(same) == settings_document(base)
