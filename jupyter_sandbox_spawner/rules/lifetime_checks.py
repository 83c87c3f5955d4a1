"""Do the rules about time make sense together, and with the profiles? Whoever reads them late reads too late.

Law: a week is reckoned minute by minute, as bits; what these say of a week holds in every week.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from ..units import format_duration
from .lifetimes import LifetimeRule, Subject, concerns
from .profile_nodes import Node
from .profiles import Profile
from .reading import Reading
from .weekly_hours import WHOLE_WEEK, minutes_of

__all__ = ["check_rules"]

_SAYS = ("idle_timeout", "gpu_idle_timeout", "max_age", "never_idle", "closed")
_IDLE = ("idle_timeout", "gpu_idle_timeout")


def check_rules(
    reader: Reading, nodes: Sequence[Node], rules: Sequence[LifetimeRule], profiles: Sequence[Profile] | None
) -> None:
    """Every problem between values; `profiles` None: those are not known, since they are wrong themselves."""
    first: dict[str, int] = {}
    for number, (node, rule) in enumerate(zip(nodes, rules, strict=True)):
        if rule.name in first:
            place = f" (first in line {first[rule.name]})" if node.line else ""
            name = _child(node, "name")
            reader.add(name, f"{node.field}.name", f"{rule.name!r} is used twice{place}. Rename one.")
        first.setdefault(rule.name, _child(node, "name").line)
        _check_alone(reader, node, rule)
        _check_profiles(reader, node, rule, profiles)
        _check_reached(reader, node, rule, rules[:number])
        _check_open(reader, node, rules[: number + 1], profiles)


def _check_alone(reader: Reading, node: Node, rule: LifetimeRule) -> None:
    if not set(node.keys or {}) & set(_SAYS):
        remedy = f"Write at least one of {', '.join(_SAYS)}; closed: false keeps the profile's limits."
        reader.add(node, node.field, f"this rule says nothing. {remedy}")
    for name in _SAYS[:-1]:
        value = getattr(rule, name)
        if rule.closed and value:
            sentence = "nothing runs while it is closed. Remove it, or write it in a rule of its own."
            reader.add(_child(node, name), f"{node.field}.{name}", sentence)
    for name in _IDLE:
        value = getattr(rule, name)
        if rule.never_idle and value is not None:
            sentence = f"does not go with never_idle. Keep one of never_idle and {name}."
            reader.add(_child(node, name), f"{node.field}.{name}", sentence)
        if value is not None and rule.max_age is not None and value > rule.max_age:
            above = f"{format_duration(value)} is above max_age ({format_duration(rule.max_age)})"
            remedy = "and would never end a server. Write less, or raise max_age."
            reader.add(_child(node, name), f"{node.field}.{name}", f"{above} {remedy}")


def _check_profiles(
    reader: Reading, node: Node, rule: LifetimeRule, profiles: Sequence[Profile] | None
) -> None:
    if profiles is None or rule.profiles is None:
        return
    known = {profile.slug: profile for profile in profiles}
    for item, slug in zip(_child(node, "profiles").items or (), rule.profiles, strict=True):
        profile = known.get(slug)
        if profile is None:
            reader.add(item, item.field, f"there is no profile {slug!r}. Write one of: {', '.join(known)}.")
            continue
        for name in _IDLE:
            value = getattr(rule, name)
            if value is not None and profile.ttl is not None and value > profile.ttl:
                ttl = f"the ttl of {slug} ({format_duration(profile.ttl)})"
                remedy = "and would never end it. Write less, or leave that profile out."
                sentence = f"{format_duration(value)} is above {ttl} {remedy}"
                reader.add(_child(node, name), f"{node.field}.{name}", sentence)


def _check_reached(reader: Reading, node: Node, rule: LifetimeRule, above: Sequence[LifetimeRule]) -> None:
    left = minutes_of(rule.hours)
    for other in above:
        if _is_wider(other, rule):
            left &= ~minutes_of(other.hours)
        if not left:
            remedy = "Move it up, or remove one; the first rule that matches counts."
            sentence = f"this rule is never used: {other.name!r} above matches wherever it would. {remedy}"
            reader.add(node, node.field, sentence)
            return


def _is_wider(one: LifetimeRule, other: LifetimeRule) -> bool:
    """Does `one` concern every server that `other` concerns, at the same time?"""
    pairs = ((one.profiles, other.profiles), (one.groups, other.groups))
    named = all(wide is None or (less is not None and set(less) <= set(wide)) for wide, less in pairs)
    return named and one.gpu in (None, other.gpu)


def _check_open(
    reader: Reading, node: Node, rules: Sequence[LifetimeRule], profiles: Sequence[Profile] | None
) -> None:
    """May whom the last of these rules closes ever start? Rules below it count where it leaves time only."""
    if not rules[-1].closed:
        return
    for subject in _subjects(rules[-1], profiles):
        left, is_open = WHOLE_WEEK, False
        for rule in rules:
            if concerns(rule, subject):
                taken = left & minutes_of(rule.hours)
                left &= ~taken
                is_open = is_open or bool(taken and not rule.closed)
        if not left and not is_open:
            whose = f" of profile {subject.profile!r}" if subject.profile else ""
            whose += f" for group {next(iter(subject.groups))!r}" if subject.groups else ""
            remedy = "Give closed rules hours that leave some open; to take a profile away, use its"
            sentence = f"with this rule no server{whose} could ever start. {remedy} allowed_groups."
            reader.add(_child(node, "closed"), f"{node.field}.closed", sentence)
            return


def _subjects(rule: LifetimeRule, profiles: Sequence[Profile] | None) -> Iterator[Subject]:
    """Everybody whom a rule may concern, so far as rules can tell them apart."""
    found = [profile for profile in profiles or () if rule.profiles is None or profile.slug in rule.profiles]
    if not found:
        for slug, gpu in product(rule.profiles or ("",), _gpus(rule, None)):
            for group in rule.groups or (None,):
                yield Subject(profile=slug, groups=(group,) if group else (), gpus=gpu)
    for profile in found:
        own = profile.allowed_groups
        for gpu, group, allowed in product(
            _gpus(rule, profile), rule.groups or (None,), (None,) if own is None else own
        ):
            groups = tuple(dict.fromkeys(name for name in (group, allowed) if name))
            yield Subject(profile=profile.slug, groups=groups, gpus=gpu)


def _gpus(rule: LifetimeRule, profile: Profile | None) -> Iterator[int]:
    """Without and with a GPU, so far as both the rule and the profile allow."""
    options = profile.options if profile else ()
    chosen = any("gpu" in choice.overrides for option in options for choice in option.choices)
    for gpu in (False, True):
        given = profile is None or chosen or gpu == (profile.gpu is not None)
        if given and rule.gpu in (None, gpu):
            yield int(gpu)


def _child(node: Node, name: str) -> Node:
    return (node.keys or {}).get(name, node)
