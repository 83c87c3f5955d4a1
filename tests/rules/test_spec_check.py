"""Does control find every field of a spec that the profile does not say?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.models import (
    BrowserPolicy,
    EgressPolicy,
    EgressRule,
    Mount,
    Resources,
    UserPlace,
)
from jupyter_sandbox_spawner.rules.admission import AdmissionRequest, terms_of
from jupyter_sandbox_spawner.rules.profile_choices import resolve
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles
from jupyter_sandbox_spawner.rules.profiles import Defaults, to_spec
from jupyter_sandbox_spawner.rules.spec_check import against

PROFILES = parse_profiles("""\
- display_name: Work
  slug: work
  default: true
  allowed_groups: [research]
  sandbox:
    {cpu: 1, memory: 1G, ttl: 1h, idle_timeout: 10m, egress: ["a.example:443"], variables: {A: "{group}"}}
  profile_options:
    size:
      display_name: Size
      choices:
        small: {display_name: Small}
        large: {display_name: Large, sandbox: {memory: 8G}}
        huge: {display_name: Huge, allowed_groups: [lab], sandbox: {memory: 64G}}
- {display_name: Old, slug: old, deprecated: {message: No., use: work}, sandbox: {cpu: 1, memory: 1G}}
""")
WORK, OLD = PROFILES
DEFAULTS = Defaults(environment="user", runtime="runc")
PLACE = UserPlace(user="ada", host_uid=3_000_007, home="/homes/ada")
OPTIONS = {"size": "large"}


def asked(**changes: Any) -> AdmissionRequest:
    """What an honest hub asks for, with changes to its spec."""
    found = resolve(WORK, OPTIONS, "ada", ("research",))
    spec = replace(to_spec(found, "sb-x", PLACE, "", DEFAULTS), **changes)
    return AdmissionRequest(spec=spec, groups=("research",), terms=terms_of(found, None), options=OPTIONS)


@pytest.mark.parametrize(
    "changes",
    [
        {"resources": Resources(cpu=1, memory=64 << 30)},
        {"ttl": None},
        {"idle_timeout": 1 << 20},
        {"egress": EgressPolicy(rules=(EgressRule(pattern="b.example", ports=(443,)),))},
        {"browser": BrowserPolicy(hosts=("https://cdn.example",))},
        {"isolation": "soft"},
        {"runtime": "runsc"},
        {"environment_name": "other"},
        {"environment": {"A": "research", "B": "more"}},
        {"gpu_devices": ("GPU-1",)},
        {"zone": "phi"},
        {"mounts": (Mount(kind="dataset", source="/d", target="/data/d", read_only=False),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_widened_spec_is_refused(changes: dict[str, Any], control: Callable[[str, bool], None]) -> None:
    """Each field of a spec that differs from the resolved profile is named in the refusal."""
    control("the honest spec passes", against(WORK, asked(), DEFAULTS) is None)
    found = against(WORK, asked(**changes), DEFAULTS)
    assert found is not None
    assert (found.code, next(iter(changes)) in found.message) == ("admission.spec_mismatch", True)


def test_the_choices_are_part_of_it() -> None:
    """A spec of one choice with the options of another is refused, and so is a choice of another group."""
    for size, code in (("small", "admission.spec_mismatch"), ("huge", "options.not_allowed")):
        found = against(WORK, replace(asked(), options={"size": size}), DEFAULTS)
        assert found is not None
        assert found.code == code


def test_a_deprecated_profile_starts_nothing() -> None:
    """What leads elsewhere or is closed is refused even where a hub asks for it."""
    found = against(OLD, asked(), DEFAULTS)
    assert found is not None
    assert (found.code, "'work'" in found.message) == ("profile.deprecated", True)
