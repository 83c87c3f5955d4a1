"""Does data only ever tighten? Tags, approvals and everything that guarded data takes away from a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.models import (
    BrowserPolicy,
    EgressPolicy,
    EgressRule,
    Mount,
    Resources,
    SandboxSpec,
)
from jupyter_sandbox_spawner.rules.admission import ProfileTerms
from jupyter_sandbox_spawner.rules.catalogue import (
    TAGS,
    ZONES,
    Dataset,
    Tag,
    find,
    known_tags,
    misplaced,
    reaches,
    zone_of,
)
from jupyter_sandbox_spawner.rules.datasets import (
    LONGEST,
    Approval,
    Known,
    decide,
    inherited,
    looseness,
    tags_now,
    tighten,
    tighten_terms,
)
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.rules.policy import Decision
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
LATER = NOW + timedelta(days=30)
INSIDE = {"pkg.sandbox.internal:80": "127.0.0.1:4000"}
HOME = Mount(kind="home", source="/homes/alice", target="/home/jovyan", read_only=False)
RULES = (
    EgressRule(pattern="pkg.sandbox.internal", ports=(80,), text="pkg.sandbox.internal:80"),
    EgressRule(pattern="pkg.sandbox.internal", ports=(80, 443), text="pkg.sandbox.internal:80,443"),
    EgressRule(pattern="pkg.sandbox.internal", ports=(80,), allow_private=("10.0.0.0/8",)),
    EgressRule(pattern="*.sandbox.internal", ports=(80,)),
    EgressRule(pattern="example.org", ports=(443,)),
    EgressRule(pattern="10.0.0.0/8", ports=(80,)),
)
Control = Callable[[str, bool], None]


def _dataset(name: str, *tags: Tag, **more: Any) -> Dataset:
    return Dataset(id=name, version="1", uri=f"file:///srv/{name}", owner="olga", tags=tags, **more)


def _spec(**changes: Any) -> SandboxSpec:
    spec = SandboxSpec(
        id="sb-" + "a" * 20,
        user="alice",
        server="",
        profile="study",
        profile_digest="0",
        environment_name="tiny",
        host_uid=3_000_001,
        resources=Resources(cpu=1.0, memory=1 << 30),
        mounts=(HOME,),
    )
    return replace(spec, **changes)


def _approval(name: str, tag: Tag = "secret", **more: Any) -> Approval:
    return Approval(**{"dataset": name, "tag": tag, "until": LATER, "user": "alice", **more})


def _code(dataset: Dataset, groups: tuple[str, ...] = (), **known: Any) -> str:
    found = decide(NOW, "alice", groups, [dataset.id], Known(catalogue=(dataset,), **known))
    return found.decisions[0].code


datasets = st.builds(
    lambda number, tags: _dataset(f"d{number}", *tags),
    st.integers(0, 4),
    st.lists(st.sampled_from(TAGS), unique=True, max_size=3),
)
specs = st.builds(
    lambda ttl, rules, downloads, hosts: _spec(
        ttl=ttl,
        egress=EgressPolicy(rules=rules),
        browser=BrowserPolicy(downloads=downloads, hosts=hosts),
    ),
    st.none() | st.integers(60, 10**7),
    st.lists(st.sampled_from(RULES), max_size=4).map(tuple),
    st.booleans(),
    st.sampled_from([(), ("https://cdn.example.org",)]),
)


def _width(spec: SandboxSpec) -> tuple[Any, ...]:
    """Everything that a dataset could widen, so that `narrower` can compare part by part."""
    places = {(rule.pattern, port) for rule in spec.egress.rules for port in rule.ports}
    private = {network for rule in spec.egress.rules for network in rule.allow_private}
    return places, private, spec.ttl, spec.browser.downloads, set(spec.browser.hosts)


def _is_narrower(one: SandboxSpec, other: SandboxSpec) -> bool:
    """Is `one` at most as wide as `other` in each way?"""
    (places, private, ttl, downloads, hosts), wide = _width(one), _width(other)
    shorter = wide[2] is None or (ttl is not None and ttl <= wide[2])
    return places <= wide[0] and private <= wide[1] and shorter and downloads <= wide[3] and hosts <= wide[4]


@given(
    servers=st.lists(
        st.tuples(specs, st.lists(datasets, unique_by=lambda item: item.id, max_size=4)), max_size=4
    ),
    further=datasets,
)
def test_no_order_of_starts_widens_anything(
    servers: list[tuple[SandboxSpec, list[Dataset]]], further: Dataset
) -> None:
    """Whatever profiles and data a person starts in which order: guarded data is read-only, without exit,
    with an end; its home is its zone's; and a further dataset never widens any of it."""
    homes: dict[str, Tag] = {}  # the most guarded that a home may hold by now
    for spec, wanted in servers:
        known = Known(catalogue=wanted, approvals=[_approval(item.id) for item in wanted])
        verdict = decide(NOW, "alice", (), [item.id for item in wanted], known)
        made = tighten(NOW, spec, verdict.granted, INSIDE)
        tags = [item.tags for item in verdict.granted]
        assert looseness(made, tags, INSIDE) == ""
        assert all(mount.read_only for mount in made.mounts if mount.kind == "dataset")
        assert _is_narrower(made, spec)
        homes[made.zone] = inherited([(homes.get(made.zone, "public"),), *tags])
        more = [*[item for item in wanted if item.id != further.id], further]
        both = Known(catalogue=more, approvals=[_approval(item.id) for item in more])
        widest = decide(NOW, "alice", (), [item.id for item in more if item in wanted], both)
        second = decide(NOW, "alice", (), [item.id for item in more], both)
        one, two = (tighten(NOW, spec, found.granted, INSIDE) for found in (widest, second))
        assert _is_narrower(two, one)
        assert ZONES.index(two.zone) >= ZONES.index(one.zone)  # type: ignore[arg-type]
    for zone, tag in homes.items():
        assert reaches(zone, (tag,))


@given(spec=specs, tags=st.lists(st.sampled_from(TAGS), unique=True, max_size=3).map(tuple))
def test_what_is_loose_is_found(spec: SandboxSpec, tags: tuple[Tag, ...]) -> None:
    """A spec with guarded data that was not narrowed is loose, unless it was that narrow already."""
    if not zone_of(tags):
        return
    zoned = replace(spec, zone=zone_of(tags))
    narrow = tighten(NOW, spec, decide_one(_dataset("d", *tags)), INSIDE)
    same = _width(narrow) == _width(zoned)
    assert (looseness(zoned, [tags], INSIDE) == "") == same
    assert looseness(spec, [tags], INSIDE) != ""


def decide_one(dataset: Dataset) -> Any:
    """What is granted of one dataset to somebody with every approval."""
    known = Known(catalogue=(dataset,), approvals=[_approval(dataset.id)])
    return decide(NOW, "alice", (), [dataset.id], known).granted


def test_a_writable_dataset_is_loose() -> None:
    """Data that is not even guarded is never writable."""
    mount = Mount(kind="dataset", source="/srv/d", target="/data/d", read_only=False)
    assert looseness(_spec(mounts=(HOME, mount)), [("public",)], INSIDE) == "A dataset is writable."


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"allowed_groups": ("lab",)}, "dataset.not_allowed"),
        ({"allowed_groups": ()}, "dataset.not_allowed"),
        ({"expires": date(2026, 11, 28)}, "dataset.expired"),
        ({"tags": ("phi",)}, "dataset.not_approved"),
        ({"tags": ()}, "dataset.not_approved"),
        ({"expires": date(2026, 11, 29)}, ""),
    ],
)
def test_reasons(change: dict[str, Any], code: str, control: Control) -> None:
    """Group, last day, guarded tags without approval, and no tag at all each leave it out with their code."""
    control("the same without it is mounted", _code(_dataset("d", "public")) == "")
    assert _code(replace(_dataset("d", "public"), **change)) == code


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "bob"},
        {"dataset": "other"},
        {"until": NOW},
        {"tag": "pii"},
        {"user": "", "group": "lab"},
        {"user": "", "group": ""},
    ],
)
def test_approvals_that_do_not_count(changes: dict[str, Any], control: Control) -> None:
    """Another's, another dataset's, an ended one, one for less guarded data, one of a foreign group."""
    dataset = _dataset("d", "phi")
    control("her own counts", _code(dataset, approvals=[_approval("d", "phi")]) == "")
    assert _code(dataset, approvals=[_approval("d", **changes)]) == "dataset.not_approved"


def test_a_groups_approval_counts_for_members() -> None:
    """An approval of a group counts for who is in it."""
    approvals = [_approval("d", user="", group="lab")]
    assert _code(_dataset("d", "phi"), ("lab",), approvals=approvals) == ""


def test_nobody_approves_themselves_by_a_group() -> None:
    """An approval of a group does not count for the member who gave it; it counts for the others."""
    approvals = [_approval("d", user="", group="lab", by=("alice", "olga"))]
    assert _code(_dataset("d", "phi"), ("lab",), approvals=approvals) == "dataset.not_approved"
    others = [replace(approvals[0], by=("olga", "otto"))]
    assert _code(_dataset("d", "phi"), ("lab",), approvals=others) == ""


def test_policy_can_only_take_away() -> None:
    """A denial, and a dataset that policy was not asked about, are left out; its word is no approval."""
    dataset, phi = _dataset("d", "public"), _dataset("d", "phi")
    allowed = {"d@1": Decision(allow=True)}
    assert _code(dataset, rulings=allowed) == ""
    assert _code(dataset, rulings={"d@1": Decision(allow=False, reasons=("policy.x",))}) == "dataset.policy"
    assert _code(dataset, rulings={}) == "dataset.policy"
    assert _code(phi, rulings=allowed) == "dataset.not_approved"


def test_unknown_and_doubled() -> None:
    """A name that the catalogue lacks, and a second version of what is mounted, are left out."""
    old, new = _dataset("d", "public"), replace(_dataset("d", "public"), version="2")
    known = Known(catalogue=(old, new))
    found = decide(NOW, "alice", (), ["d@1", "d", "e"], known)
    assert [item.code for item in found.decisions] == ["", "dataset.twice", "dataset.unknown"]
    assert find((old, new), "d") == new


def test_recorded_tags_hold_for_the_same_files() -> None:
    """A tag that was read once holds under another id, and for directories above and below its own."""
    public = _dataset("d", "public")
    for key in ("d", "file:///srv/d", "file:///srv", "file:///srv/d/part"):
        assert tags_now(public, {key: "phi"}) == ("public", "phi"), key
    assert tags_now(public, {"file:///srv/dd": "phi", "e": "phi"}) == ("public",)


def test_unknown_words_and_no_words_are_secret() -> None:
    """What another catalogue writes is read as guarded as it may be."""
    assert known_tags(["PHI"]) == ("secret",)
    assert known_tags(["public", "confidential"]) == ("public", "secret")
    assert known_tags([]) == ("secret",)
    assert zone_of(()) == "secret"


def test_derived_output_inherits_the_highest() -> None:
    """What is made of several has the most guarded of their tags."""
    assert inherited([("public",), ("pii", "internal"), ("internal",)]) == "pii"
    assert inherited([("phi",), ()]) == "secret"
    assert inherited([]) == "public"


def test_a_zone_has_one_end_and_no_way_out_by_secrets() -> None:
    """In a zone nothing is extended, and no secret is added to requests that go outside."""
    secrets = (Grant(name="a"), Grant(name="b", delivery="proxy", host="example.org"))
    terms = ProfileTerms(slug="s", digest="0", extend_by=60, extend_at_most=600, secrets=secrets)
    narrow = tighten_terms(terms, _spec(zone="phi"))
    assert (narrow.extend_by, narrow.extend_at_most, narrow.secrets) == (None, None, secrets[:1])
    assert tighten_terms(terms, _spec()) == terms


def test_what_ends_with_a_right_is_not_extended() -> None:
    """A dataset with a last day, or one that relied on an approval, ends the sandbox and its extension."""
    terms = ProfileTerms(slug="s", digest="0", extend_by=60, extend_at_most=600, secrets=(Grant(name="a"),))
    internal = _dataset("d", "internal")
    soon = [_approval("d", until=NOW + timedelta(hours=1))]
    relied = decide(NOW, "alice", (), ["d"], Known(catalogue=(internal,), approvals=soon)).granted
    opened = Known(catalogue=(internal,), approvals=soon, open_tags=("public", "internal"))
    for granted, ttl in (
        (relied, 3600),
        (decide_one(_dataset("d", "public", expires=date(2026, 11, 29))), 12 * 3600),
    ):
        made = tighten(NOW, _spec(), granted, INSIDE)
        assert made.ttl == ttl
        assert tighten_terms(terms, made) == replace(terms, extend_by=None, extend_at_most=None)
    made = tighten(NOW, _spec(), decide(NOW, "alice", (), ["d"], opened).granted, INSIDE)
    assert made.ttl is None
    assert tighten_terms(terms, made) == terms


def test_it_ends_with_the_right_to_the_data() -> None:
    """A sandbox does not outlive the approval or the last day of what it mounts, guarded or not."""
    soon = NOW + timedelta(hours=1)
    phi = _dataset("d", "phi")
    known = Known(catalogue=(phi,), approvals=[_approval("d", until=soon)])
    made = tighten(NOW, _spec(), decide(NOW, "alice", (), ["d"], known).granted, INSIDE)
    assert made.ttl == 3600
    public = _dataset("d", "public", expires=date(2026, 11, 29))
    assert tighten(NOW, _spec(), decide_one(public), INSIDE).ttl == 12 * 3600
    assert tighten(NOW, _spec(), decide_one(phi), INSIDE).ttl == LONGEST


def test_places_of_the_site_are_no_datasets() -> None:
    """A dataset neither lies in a directory of the site nor holds one."""
    own = ["/var/lib/jupyter-sandbox", "/run/jupyter-sandbox"]
    for path in ("/var/lib/jupyter-sandbox/homes", "/var/lib", "/run/jupyter-sandbox"):
        assert misplaced(path, own)
    assert misplaced("/var/lib/jupyter-sandbox-data", own) == ""


GOOD = """
profiles:
  - {display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}
datasets:
  - id: cases
    version: "1"
    uri: file:///srv/cases
    owner: olga
"""


def test_a_dataset_of_the_file() -> None:
    """The four words are enough; the rest has its meaning when it is absent: no tag counts as secret."""
    (found,) = parse_rulebook(GOOD).datasets
    assert found == Dataset(id="cases", version="1", uri="file:///srv/cases", owner="olga")
    assert zone_of(found.tags) == "secret"
    more = GOOD + "    tags: [phi, internal]\n    expires: 2027-01-31\n    allowed_groups: [lab]\n"
    (found,) = parse_rulebook(more).datasets
    assert (found.tags, found.expires) == (("internal", "phi"), date(2027, 1, 31))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("    tags: [PHI]", "known tags: public, internal, pii, phi, secret"),
        ("    tags: [confidential]", "public, internal, pii, phi, secret"),
        ("    tags: phi", "not a list"),
        ("    manifest: abc", "64 hex"),
        ("    expires: tomorrow", "not a day"),
        ("    expires: 2026-02-30", "day"),
        ("    allowed_groups: lab", "not a list"),
        ("    owners: olga", "owner"),
        ("    uri: file:///srv/../etc", "twice"),
        ("  - {id: x, version: 1, uri: file:///srv/x, owner: o}", "version"),
        ('  - {id: x, version: "1", uri: file:///srv/../etc, owner: o}', "plain path"),
        ('  - {id: x, version: "1", uri: "file:///srv/%2e%2e/x", owner: o}', "plain path"),
        ('  - {id: x, version: "1", uri: /srv/x, owner: o}', "plain path"),
        ('  - {id: x, version: "1", uri: "file:///", owner: o}', "file"),
        ('  - {id: x, version: "1", uri: file:///proc/1, owner: o}', "host itself"),
        ('  - {id: ../x, version: "1", uri: file:///srv/x, owner: o}', "slug"),
        ('  - {id: x, version: "1", uri: file:///srv/x}', "owner"),
        ('  - {id: cases, version: "1", uri: file:///srv/x, owner: o}', "twice"),
        ("  - cases", "mapping"),
    ],
)
def test_bad_words_are_told_with_their_line(line: str, says: str) -> None:
    """A wrong value refuses the whole file, with line, field and what to write."""
    with pytest.raises(ProfileError, match=r"yaml:\d+: ") as refused:
        parse_rulebook(GOOD + line + "\n")
    assert says.lower() in str(refused.value).lower()
