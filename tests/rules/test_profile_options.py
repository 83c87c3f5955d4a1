"""Do options of a profile change what their admin wrote for them, and nothing else?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ProfileError, ProfileRefusedError
from jupyter_sandbox_spawner.gpus import GpuWish
from jupyter_sandbox_spawner.hub.form_fields import OWN_TEXT, option_field, options_from_form, text_field
from jupyter_sandbox_spawner.rules.choosing import decide
from jupyter_sandbox_spawner.rules.profile_choices import resolve
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles
from jupyter_sandbox_spawner.rules.profiles import Profile, profile_digest, reason_against
from jupyter_sandbox_spawner.rules.quotas import Caps
from jupyter_sandbox_spawner.rules.user_options import asked, saved_options

GOOD = """\
- display_name: Work
  slug: work
  default: true
  allowed_groups: [research, clinical]
  at_most: {servers: 20, cpu: 64, memory: 256G, gpus: 4}
  sandbox:
    cpu: 1
    memory: 1G
    egress: ["mirror.example:443"]
    variables: {PLACE: "s3://lake/{group}/{username}/", KIND: plain}
    datasets: ["cases-{group}@2"]
  profile_options:
    size:
      display_name: Size
      choices:
        small: {display_name: Small, default: true}
        large: {display_name: Large, sandbox: {cpu: 8, memory: 32G, variables: {KIND: large}}}
        gpu: {display_name: GPU, allowed_groups: [research], sandbox: {gpu: {count: 2, kind: mig-1g.10gb}}}
        shut: {display_name: Shut, allowed_groups: [], sandbox: {memory: 64G}}
    branch:
      display_name: Branch
      choices:
        main: {display_name: main, sandbox: {variables: {BRANCH: main}}}
      unlisted_choice: {pattern: "[a-z{}]+", variable: BRANCH, message: "Lower-case letters.", longest: 20}
- {display_name: Other, slug: other, sandbox: {cpu: 2, memory: 2G, gpu: 1}}
- display_name: Old
  slug: old
  deprecated: {message: Use the others., use: older}
  sandbox: &s {cpu: 1, memory: 1G}
- {display_name: Older, slug: older, deprecated: {message: Gone., use: other}, sandbox: *s}
- {display_name: Closed, slug: closed, deprecated: {message: Ask Eva.}, sandbox: {cpu: 1, memory: 1G}}
"""


def _with(line: str, replacement: str) -> str:
    assert line in GOOD
    return GOOD.replace(line, replacement, 1)


@pytest.fixture
def work() -> Profile:
    """The profile with options."""
    return parse_profiles(GOOD)[0]


def _resolved(profile: Profile, groups: tuple[str, ...] = ("clinical",), **options: str) -> Profile:
    return resolve(profile, options, "ada", groups)


def test_silence_gives_the_defaults(work: Profile) -> None:
    """Without options the default choices count, the first one where none is marked."""
    found = _resolved(work)
    assert found.resources == work.resources
    assert (found.variables["KIND"], found.variables["BRANCH"]) == ("plain", "main")
    assert found.options == ()


def test_a_choice_changes_what_it_names_alone(work: Profile) -> None:
    """A choice replaces its keys and adds its variables; all else, and the digest, stay."""
    found, silent = _resolved(work, size="large"), _resolved(work)
    assert (found.resources.cpu, found.resources.memory, found.variables["KIND"]) == (8, 32 << 30, "large")
    same = [item.name for item in fields(Profile) if item.name not in ("resources", "variables")]
    assert [getattr(found, name) for name in same] == [getattr(silent, name) for name in same]
    assert replace(found.resources, cpu=1.0, memory=1 << 30) == work.resources
    assert profile_digest(found) == profile_digest(work) == profile_digest(silent)


def test_a_choice_may_be_for_a_group(work: Profile) -> None:
    """A choice of another group is refused with 403 and what may be taken; a member gets it."""
    assert _resolved(work, ("research",), size="gpu").gpu == GpuWish(count=2, kind="mig-1g.10gb")
    with pytest.raises(ProfileRefusedError, match="It is for group research") as refusal:
        _resolved(work, size="gpu")
    assert (refusal.value.code, refusal.value.status) == ("options.not_allowed", 403)
    assert "You may take: small, large." in str(refusal.value)
    with pytest.raises(ProfileRefusedError, match="closed"):
        _resolved(work, ("research",), size="shut")


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ({"size": "lrage"}, "options.choice", "Did you mean 'large'?"),
        ({"size": "99"}, "options.choice", "You may take: small, large."),
        ({"memory": "64G"}, "options.unknown", "It has: size, branch."),
        ({"image": "evil"}, "options.unknown", "no option 'image'"),
        ({"branch": "Main"}, "options.text", "Lower-case letters, in at most 20 characters."),
        ({"branch": "a" * 21}, "options.text", "in at most 20"),
        ({"branch": "main\n"}, "options.text", "Lower-case"),
        ({"branch": "x\x00"}, "options.text", "Lower-case"),
        ({"branch": "a b"}, "options.text", "Lower-case"),
    ],
)
def test_what_is_not_offered_is_refused(work: Profile, options: dict[str, str], code: str, told: str) -> None:
    """A wrong option, choice or text is refused with status 400, its field and what may be taken."""
    with pytest.raises(ProfileRefusedError) as refusal:
        _resolved(work, **options)
    assert (refusal.value.code, refusal.value.status) == (code, 400)
    assert refusal.value.field == f"options.{next(iter(options))}"
    assert told in str(refusal.value)


def test_a_text_becomes_one_variable_as_it_is(work: Profile) -> None:
    """What a user writes is one variable's value; templates in it stay letters."""
    found = _resolved(work, branch="a{username}")
    assert found.variables["BRANCH"] == "a{username}"
    assert replace(found, variables=_resolved(work).variables) == _resolved(work)


def test_names_are_filled_in(work: Profile) -> None:
    """`{username}` is the user's name, `{group}` the first group of the profile that they are in."""
    found = resolve(work, {}, "ada", {"clinical", "research", "zoo"})
    assert found.variables["PLACE"] == "s3://lake/research/ada/"
    assert found.datasets == ("cases-research@2",)


@pytest.mark.parametrize("user", ["a/b", "x\ny", "..", "Ada", "a\x00"])
def test_a_name_that_could_break_out_is_refused(work: Profile, user: str) -> None:
    """A name without a canonical form is filled in nowhere; one with blanks becomes a plain part."""
    with pytest.raises(ProfileRefusedError) as refusal:
        resolve(work, {}, user, ("clinical",))
    assert refusal.value.code == "profile.template"
    plain = resolve(work, {}, "ada lovelace", ("clinical",)).variables["PLACE"]
    assert plain.startswith("s3://lake/clinical/ada-lovelace--")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            _with("cpu: 8,", "cpu: eight,"),
            "P:17: profiles[0].profile_options.size.choices.large.sandbox.cpu: 'eight'",
        ),
        (
            _with("cpu: 8,", "uid: 0,"),
            "P:17: profiles[0].profile_options.size.choices.large.sandbox.uid: this key",
        ),
        (_with("cpu: 8,", "slug: x,"), "large.sandbox.slug: this key does not exist."),
        (_with("cpu: 8,", "allowed_groups: [x],"), "large.sandbox.allowed_groups: this key does not exist."),
        (
            _with("cpu: 8,", "extend: {by: 1h, at_most: 2h},"),
            "large.sandbox.extend: there is no ttl to extend.",
        ),
        (
            _with("large: {display_name: Large", "Large: {display_name: Large"),
            "choices.Large: 'Large' is not a slug",
        ),
        (_with("display_name: Large, ", ""), "choices.large.display_name: is missing."),
        (_with("display_name: Large, ", "display_name: Large, default: true, "), "is true for two choices"),
        (_with('"[a-z{}]+"', '"[a-z"'), "unlisted_choice.pattern: '[a-z' is not a pattern: unterminated"),
        (
            _with("variable: BRANCH", "variable: PATH"),
            "unlisted_choice.variable: 'PATH' cannot be the variable",
        ),
        (
            _with("variable: BRANCH", "variable: KIND"),
            "branch: variables.KIND is set by the option 'size' as well",
        ),
        (_with("variable: BRANCH, ", ""), "unlisted_choice.variable: is missing."),
        (_with("longest: 20", "longest: 0"), "unlisted_choice.longest: 0 is not a length from 1 to 1000."),
        (_with("    size:\n", "    size: 1\n    sighs:\n"), "profile_options.size: 1 is not a mapping."),
        (
            _with("allowed_groups: [research, clinical]", "servers_per_user: 2"),
            "{group} is the group by which",
        ),
        (
            _with("[research, clinical]", "[Research]"),
            "'Research' cannot stand for {group}. Rename the group",
        ),
        (
            _with("servers: 20", "serves: 20"),
            "P:5: profiles[0].at_most.serves: 20 belongs to no cap. Known: servers",
        ),
        (_with("gpus: 4", "gpus: true"), "profiles[0].at_most.gpus: True is not a whole number"),
        (_with("gpu: 1}", "gpu: yes}"), "sandbox.gpu: True is not a whole number from 0 to 64."),
        (_with("gpu: 1}", "gpu: {kind: any}}"), "sandbox.gpu: {'kind': 'any'} does not have count"),
        (_with("kind: mig-1g.10gb", "kind: H100"), "gpu.sandbox.gpu.kind: 'H100' is not a kind of GPU."),
        (_with('["cases-{group}@2"]', '["../x"]'), "sandbox.datasets.0: '../x' is not the name of a dataset"),
        (_with('["cases-{group}@2"]', '["a", "a@2"]'), "sandbox.datasets.1: 'a@2' is named twice"),
        (_with("use: other", "use: old"), "deprecated.use: it leads back to itself: older -> old -> older."),
        (_with("use: other", "use: nine"), "deprecated.use: there is no profile 'nine'. Write one of: work"),
        (
            _with("  default: true\n", "  default: true\n  deprecated: {message: No.}\n"),
            "deprecated: the default is for",
        ),
        (_with("message: Ask Eva.", "use: other"), "profiles[4].deprecated.message: is missing."),
    ],
)
def test_wrong_options_name_line_and_field(text: str, expected: str) -> None:
    """What is wrong with options, caps, redirects, GPUs and datasets is told with line, field and remedy."""
    with pytest.raises(ProfileError) as refusal:
        parse_profiles(text, "P")
    assert expected in str(refusal.value)


def test_caps_and_gpus_are_read() -> None:
    """`at_most` and both spellings of `gpu` arrive; `gpu: 0` is none."""
    work, other, *_ = parse_profiles(GOOD)
    assert work.at_most == Caps(servers=20, cpu=64, memory=256 << 30, gpus=4)
    assert other.gpu == GpuWish(count=1)
    assert parse_profiles(_with("gpu: 1}", "gpu: 0}"))[1].gpu is None


@pytest.mark.parametrize("explicit", [True, False])
def test_a_deprecated_profile_leads_on(explicit: bool) -> None:
    """Whoever asks for it, now or by a saved choice, gets the last one of the chain, and is told why."""
    options = {"profile": "old", "options": {"size": "large"}} if explicit else {"profile": "old"}
    found = decide(parse_profiles(GOOD), options, explicit, "ada", ("research",))
    assert (found.profile.slug, dict(found.options)) == ("other", {})
    assert found.notice.startswith("'Old' is not offered any more: Use the others. You get 'Other'.")


def test_a_closed_profile_says_why(control: Callable[[str, bool], None]) -> None:
    """A deprecated profile without `use` is refused with its message; a saved choice of it gives way."""
    profiles = parse_profiles(GOOD)
    control("the profile beside it may be had", not reason_against(profiles[1], ()))
    with pytest.raises(ProfileRefusedError, match="not offered any more: Ask Eva") as refusal:
        decide(profiles, {"profile": "closed"}, True, "ada", ("research",))
    assert "closed" not in refusal.value.remedy
    found = decide(profiles, {"profile": "closed"}, False, "ada", ("research",))
    assert (found.profile.slug, "Ask Eva" in found.notice) == ("work", True)


def test_a_redirect_opens_nothing() -> None:
    """A redirect to a profile of other groups is refused as that profile is."""
    text = _with(
        "display_name: Other, slug: other", "display_name: Other, slug: other, allowed_groups: [lab]"
    )
    with pytest.raises(ProfileRefusedError, match="It is for group lab"):
        decide(parse_profiles(text), {"profile": "old"}, True, "ada", ("research",))


def test_saved_options_are_kept_and_give_way_one_by_one() -> None:
    """Of saved options those that may still be had are kept; the others fall to the default with a notice."""
    saved = saved_options("work", {"size": "gpu", "branch": "dev", "gone": "x"})
    kept = decide(parse_profiles(GOOD), saved, False, "ada", ("research",))
    assert dict(kept.options) == {"size": "gpu", "branch": "dev"}
    assert "There is no option 'gone' any more." in kept.notice
    found = decide(parse_profiles(GOOD), saved, False, "ada", ("clinical",))
    assert dict(found.options) == {"branch": "dev"}
    assert (found.profile.gpu, found.profile.variables["BRANCH"]) == (None, "dev")
    assert "You may not take 'GPU' of 'Size'" in found.notice


@pytest.mark.proves("H04")
@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ({"image": "evil"}, "options.unknown"),
        ({"env": "LD_PRELOAD=x"}, "options.unknown"),
        ({"volumes": "/:/host"}, "options.unknown"),
        ({"uid": "0"}, "options.unknown"),
        ({"privileged": "true"}, "options.unknown"),
        ({"devices": "/dev/kmsg"}, "options.unknown"),
        ({"x" * 64: "a"}, "options.unknown"),
        ({"size": {"cpu": 64}}, "options.invalid"),
        ({"size": ["large"]}, "options.invalid"),
        ({"size": 1}, "options.invalid"),
        ({"size": True}, "options.invalid"),
        ({"size": None}, "options.invalid"),
        ({"size": "x" * 10_000_000}, "options.invalid"),
        ({f"o{n}": "x" for n in range(21)}, "options.invalid"),
        (["size"], "options.invalid"),
        ("size=large", "options.invalid"),
        ({1: "x"}, "options.unknown"),
    ],
)
def test_h04_options_inside_are_a_closed_set(
    inner: Any, code: str, control: Callable[[str, bool], None]
) -> None:
    """Nothing but short texts for options that exist passes; the message stays short."""
    profiles = parse_profiles(GOOD)
    good = decide(profiles, {"profile": "work", "options": {"size": "large"}}, True, "ada", ("clinical",))
    control("an option that exists is taken", good.profile.resources.cpu == 8)
    with pytest.raises(ProfileRefusedError) as refusal:
        decide(profiles, {"profile": "work", "options": inner}, True, "ada", ("clinical",))
    assert (refusal.value.code, refusal.value.status) == (code, 400)
    assert len(str(refusal.value)) < 400


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["large", "gpu", "size"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(options=st.dictionaries(st.sampled_from(["profile", "options", "size", "branch"]), _JSON, max_size=3))
def test_any_options_give_a_profile_of_the_file_or_a_refusal(options: dict[str, Any]) -> None:
    """Whatever JSON comes, limits are ones that the file has, and caps and groups stay the profile's."""
    profiles = parse_profiles(GOOD)
    try:
        found = decide(profiles, options, True, "ada", ("research",)).profile
    except ProfileRefusedError:
        return
    written = next(profile for profile in profiles if profile.slug == found.slug)
    assert found.resources.memory in (1 << 30, 2 << 30, 32 << 30)
    same = ("slug", "allowed_groups", "at_most", "servers_per_user", "egress", "secrets")
    assert [getattr(found, name) for name in same] == [getattr(written, name) for name in same]


def test_a_form_asks_for_the_chosen_card_alone() -> None:
    """Fields of the chosen profile become options; those of other cards and empty ones do not."""
    posted = {
        "_xsrf": ["t"],
        "profile": ["work"],
        option_field("work", "size"): ["large"],
        option_field("work", "branch"): [OWN_TEXT],
        text_field("work", "branch"): ["dev"],
        option_field("other", "size"): ["huge"],
        text_field("work", "empty"): [""],
    }
    assert options_from_form(posted) == {"profile": "work", "options": {"size": "large", "branch": "dev"}}
    posted[option_field("work", "branch")] = ["main"]
    assert options_from_form(posted)["options"]["branch"] == "main"


@pytest.mark.proves("H04")
@pytest.mark.parametrize(
    "field", ["image", "options", "option.work", "option.work.size.x", "environment", "profile_options"]
)
def test_h04_foreign_form_fields_are_refused(field: str) -> None:
    """A form field that is none of the form's own is left in, and refused with 400."""
    posted = {"profile": ["work"], option_field("work", "size"): ["large"], field: ["x"]}
    with pytest.raises(ProfileRefusedError) as refusal:
        asked(options_from_form(posted))
    assert refusal.value.status == 400


@pytest.mark.proves("H04")
def test_h04_a_field_sent_twice_is_refused() -> None:
    """Two values for one option are refused, not the first or last taken."""
    posted = {"profile": ["work"], option_field("work", "size"): ["small", "large"]}
    with pytest.raises(ProfileRefusedError):
        asked(options_from_form(posted))
