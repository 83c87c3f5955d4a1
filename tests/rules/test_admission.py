"""Is a sandbox admitted to those who may have it, once, and within their caps?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.models import Mount, Resources, SandboxSpec
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.admission import (
    AdmissionRequest,
    KnownSandbox,
    ProfileTerms,
    decide,
    terms_of,
)
from jupyter_sandbox_spawner.rules.profiles import ExtensionOffer, Profile, profile_digest

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
TERMS = ProfileTerms(slug="cpu-small", digest="d1", servers_per_user=2)
SPEC = SandboxSpec(
    id=sandbox_id("alice", "", "1"),
    user="alice",
    server="",
    profile="cpu-small",
    profile_digest="d1",
    environment_name="user",
    host_uid=3_000_000,
    resources=Resources(cpu=1, memory=1 << 30),
    mounts=(Mount(kind="home", source="/h", target="/home/jovyan", read_only=False),),
    ttl=3600,
)
ASKED = AdmissionRequest(spec=SPEC, groups=("students",), terms=TERMS)


def known(name: str, server: str, is_open: bool = True) -> KnownSandbox:
    """One of alice's sandboxes."""
    return KnownSandbox(id=name, user="alice", server=server, is_open=is_open, deadline=NOW)


def test_an_admission_says_its_deadline() -> None:
    """The deadline is now and the TTL, and the notice says so."""
    answer = decide(NOW, ASKED, ())
    assert (answer.admitted, answer.deadline) == (True, NOW + timedelta(hours=1))
    assert "1 h" in answer.notices[0]


@pytest.mark.parametrize(
    ("groups", "allowed", "admitted"),
    [
        (("students",), None, True),
        (("students",), ("students", "staff"), True),
        (("students",), ("staff",), False),
        ((), ("staff",), False),
        (("students",), (), False),
    ],
)
def test_the_group_is_checked_again(
    groups: tuple[str, ...], allowed: tuple[str, ...] | None, admitted: bool
) -> None:
    """Absent groups mean everyone, an empty list nobody, and membership is needed otherwise."""
    asked = replace(ASKED, groups=groups, terms=replace(TERMS, allowed_groups=allowed))
    answer = decide(NOW, asked, ())
    assert answer.admitted is admitted
    assert answer.code == ("" if admitted else "profile.not_allowed")


def test_controls_own_reading_of_the_profile_wins() -> None:
    """A hub plugin that says "everyone" is overruled by control's own profiles file."""
    own = replace(TERMS, allowed_groups=("staff",))
    assert decide(NOW, ASKED, (), TERMS).admitted
    assert decide(NOW, ASKED, (), own).code == "profile.not_allowed"


def test_a_profile_that_control_reads_differently_is_refused() -> None:
    """Another digest in control's file is a refusal that names the remedy."""
    answer = decide(NOW, ASKED, (), replace(TERMS, digest="d2"))
    assert answer.code == "admission.profile_changed"
    assert "start the server again" in answer.remedy


def test_a_profile_that_control_does_not_know_is_refused_whatever_digest_is_sent() -> None:
    """Terms without a digest, as for an unknown profile, agree with nothing, not with an empty one either."""
    spec = replace(SPEC, profile="other", profile_digest="")
    unknown = ProfileTerms(slug="other", digest="")
    answer = decide(NOW, AdmissionRequest(spec=spec, terms=unknown), [], unknown)
    assert (answer.admitted, answer.code) == (False, "admission.profile_changed")


def test_the_cap_on_servers_counts_other_servers_only() -> None:
    """With two allowed, a second is admitted and a third is not; the refusal lists what runs."""
    one, two = known("sb-a", "work"), known("sb-b", "gpu")
    assert decide(NOW, ASKED, (one,)).admitted
    answer = decide(NOW, ASKED, (one, two))
    assert answer.code == "quota.servers.user"
    assert "'gpu', 'work'" in answer.message
    assert decide(NOW, ASKED, (one, replace(two, is_open=False))).admitted


def test_a_new_start_of_the_same_server_supersedes_the_old() -> None:
    """What a crashed hub left open does not lock the user out; the old sandbox is named."""
    answer = decide(NOW, ASKED, (known("sb-old", ""),))
    assert (answer.admitted, answer.supersedes) == (True, ("sb-old",))


def test_the_same_request_gets_the_same_answer() -> None:
    """A retry is admitted with the first deadline and recorded no second time."""
    answer = decide(NOW + timedelta(minutes=5), ASKED, (replace(known(SPEC.id, ""), deadline=NOW),))
    assert (answer.admitted, answer.repeated, answer.deadline) == (True, True, NOW)


@pytest.mark.parametrize(
    "old",
    [known(SPEC.id, "", is_open=False), known(SPEC.id, "other"), replace(known(SPEC.id, ""), user="bob")],
)
def test_an_id_is_never_used_again(old: KnownSandbox) -> None:
    """An id that ended or belongs to another server is refused."""
    assert decide(NOW, ASKED, (old,)).code == "admission.id_used"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "../../etc"}, "admission.invalid_id"),
        ({"user": "a/b"}, "admission.invalid_name"),
        ({"server": "../x"}, "admission.invalid_name"),
        ({"server": "a\x00"}, "admission.invalid_name"),
        ({"server": "a\x9b31m"}, "admission.invalid_name"),
        ({"server": "a\ud800"}, "admission.invalid_name"),
        ({"user": "a\n"}, "admission.invalid_name"),
        ({"profile": "gpu"}, "admission.profile_mismatch"),
    ],
)
def test_a_spec_that_is_not_itself_is_refused(change: dict[str, str], code: str) -> None:
    """Ids, names and profile must be what they say."""
    assert decide(NOW, replace(ASKED, spec=replace(SPEC, **change)), ()).code == code


@pytest.mark.parametrize(("own", "site", "cap"), [(1, 5, 1), (None, 5, 5), (None, None, None)])
def test_a_profile_may_be_silent_about_servers(own: int | None, site: int | None, cap: int | None) -> None:
    """The profile's number of servers counts, else the site's; without both there is no cap."""
    profile = Profile(
        slug="a",
        display_name="A",
        resources=Resources(cpu=1, memory=1 << 30),
        servers_per_user=own,
        extend=ExtensionOffer(by=60, at_most=120),
    )
    terms = terms_of(profile, site)
    assert (terms.servers_per_user, terms.extend_by, terms.extend_at_most) == (cap, 60, 120)
    assert terms.digest == profile_digest(profile)
