"""What may an admin write about time? The section `lifetime` of the one file, with every problem in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from ..units import format_duration, parse_duration
from .idleness import WARNINGS
from .lifetime_checks import check_rules
from .lifetimes import LONGEST_KEEP, LifetimeRule, Lifetimes, Weekly
from .profile_fields import boolean, group_name, limit_of_time, shown, slug, wrong
from .profile_nodes import Node, Problem
from .profiles import Profile
from .reading import Reading
from .weekly_hours import DAYS

__all__ = ["HOURS_KEYS", "LIFETIME_KEYS", "MOST_WARNINGS", "RULE_KEYS", "TIME_OF_DAY", "read_lifetimes"]

LIFETIME_KEYS = ("timezone", "warnings", "keep_alive", "rules")
RULE_KEYS = (
    "name",
    "profiles",
    "groups",
    "gpu",
    "hours",
    "idle_timeout",
    "gpu_idle_timeout",
    "max_age",
    "never_idle",
    "closed",
)
HOURS_KEYS = ("days", "from", "to")
MOST_WARNINGS = 10
TIME_OF_DAY = "([01][0-9]|2[0-3]):[0-5][0-9]"
_NEAREST, _FARTHEST = 10, 86400
_LONGEST_KEEP = 7 * 86400
_MIDNIGHT = 24 * 60
T = TypeVar("T")


def read_lifetimes(
    node: Node, problems: list[Problem], profiles: Sequence[Profile] | None = None
) -> Lifetimes:
    """The section as a value; what is wrong is added to `problems`. `profiles` None: not looked at."""
    reader = Reading()
    keys = reader.keys(node, LIFETIME_KEYS) or {}
    keep = reader.field(keys, "keep_alive", _keep_alive)
    items = _items(reader, keys.get("rules"), "name, and what it is for") if "rules" in keys else ()
    rules = [_rule(reader, item) for item in items]
    found = Lifetimes(
        timezone=reader.field(keys, "timezone", _timezone) or "UTC",
        warnings=_warnings(reader, keys["warnings"]) if "warnings" in keys else WARNINGS,
        keep_alive=LONGEST_KEEP if keep is None else keep,
        rules=tuple(rules),
    )
    # What holds between rules is judged only where each of them is right.
    if not reader.problems:
        check_rules(reader, items, rules, profiles)
    problems += reader.problems
    return found


def _timezone(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise wrong(field, value, "is not the name of a time zone", "Write one such as Europe/Berlin.")
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        names = sorted(available_timezones())
        folded = {name.casefold(): name for name in names}
        cities = {name.rpartition("/")[2].casefold(): name for name in names}
        word = value.strip().replace(" ", "_").casefold()
        close = difflib.get_close_matches(word, folded, n=1) or difflib.get_close_matches(word, cities, n=1)
        near = {**cities, **folded}[close[0]] if close else ""
        remedy = f"Did you mean {near!r}?" if near else "Write an IANA name such as Europe/Berlin, or UTC."
        raise wrong(field, value, "is not a time zone that is known here", remedy) from None
    return value


def _keep_alive(value: Any, field: str) -> int:
    if value == 0 and not isinstance(value, bool) and isinstance(value, int):
        return 0
    seconds = parse_duration(value, field)
    if seconds > _LONGEST_KEEP:
        raise wrong(field, value, "is longer than a week", "Write at most 7d, or 0 for not at all.")
    return seconds


def _warnings(reader: Reading, node: Node) -> tuple[int, ...]:
    items = _items(reader, node, "how long before an end, such as [30m, 10m, 2m]")
    if len(items) > MOST_WARNINGS:
        remedy = f"Write {MOST_WARNINGS} at most; people stop reading."
        reader.add(node, node.field, f"has {len(items)} warnings. {remedy}")
    found: list[int] = []
    for item in items:
        ahead = reader.convert(item, _ahead)
        if ahead is not None and ahead in found:
            reader.add(item, item.field, f"{format_duration(ahead)} is there already. Keep one.")
        elif ahead is not None and found and ahead > found[-1]:
            order = f"{format_duration(ahead)} comes after {format_duration(found[-1])}"
            reader.add(item, item.field, f"{order}. Write the longest first, as [30m, 10m, 2m].")
        elif ahead is not None:
            found.append(ahead)
    return tuple(found) or WARNINGS


def _ahead(value: Any, field: str) -> int:
    seconds = parse_duration(value, field)
    if not _NEAREST <= seconds <= _FARTHEST:
        raise wrong(field, value, "is not between 10 s and one day", "Write how long before an end: 10m.")
    return seconds


def _rule(reader: Reading, node: Node) -> LifetimeRule:
    keys = reader.keys(node, RULE_KEYS) or {}
    name = reader.text(keys, "name", node, slug, required=node.keys is not None)
    hours = _items(reader, keys["hours"], "days, from, to") if "hours" in keys else ()
    return LifetimeRule(
        name=name or "",
        profiles=_names(reader, keys.get("profiles"), slug, "slugs of profiles"),
        groups=_names(reader, keys.get("groups"), group_name, "names of hub groups"),
        gpu=reader.field(keys, "gpu", boolean),
        hours=tuple(_hours(reader, item) for item in hours),
        idle_timeout=reader.field(keys, "idle_timeout", limit_of_time),
        gpu_idle_timeout=reader.field(keys, "gpu_idle_timeout", limit_of_time),
        max_age=reader.field(keys, "max_age", limit_of_time),
        never_idle=reader.field(keys, "never_idle", boolean) or False,
        closed=reader.field(keys, "closed", boolean) or False,
    )


def _names(
    reader: Reading, node: Node | None, check: Callable[[Any, str], T], what: str
) -> tuple[T, ...] | None:
    if node is None:
        return None
    found: list[T] = []
    for item in _items(reader, node, f"{what}; leave it out for all"):
        name = reader.convert(item, check)
        if name is not None and name in found:
            reader.add(item, item.field, f"{shown(item.value)} is there already. Keep one.")
        elif name is not None:
            found.append(name)
    return tuple(found)


def _items(reader: Reading, node: Node | None, what: str) -> tuple[Node, ...]:
    if node is not None and not node.items:
        lack = "is empty" if node.items is not None else "is not a list"
        reader.add(node, node.field, f"{lack}. Write a list of {what}.")
    return (node.items or ()) if node is not None else ()


def _hours(reader: Reading, node: Node) -> Weekly:
    keys = reader.keys(node, HOURS_KEYS)
    if keys is not None and not set(keys) & set(HOURS_KEYS):
        remedy = "Write days, from or to; for all times leave hours out of the rule."
        reader.add(node, node.field, f"these hours say nothing. {remedy}")
    keys = keys or {}
    days = _names(reader, keys.get("days"), _day, f"days ({', '.join(DAYS)})")
    begins = reader.field(keys, "from", lambda value, field: _minute(value, field, last=False))
    ends = reader.field(keys, "to", lambda value, field: _minute(value, field, last=True))
    begins, ends = (begins or 0), (_MIDNIGHT if ends is None else ends)
    if begins == ends:
        remedy = "Write two different times; leave both out for the whole day."
        reader.add(node, f"{node.field}.to", f"these hours end when they begin. {remedy}")
    return Weekly(days=days or tuple(range(7)), begins=begins, ends=ends)


def _day(value: Any, field: str) -> int:
    if value not in DAYS:
        raise wrong(field, value, "is not a day", f"Write one of: {', '.join(DAYS)}.")
    return DAYS.index(value)


def _minute(value: Any, field: str, last: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        remedy = 'Write it with quotes, such as "20:00"; without them YAML reads a number.'
        raise wrong(field, value, "is a number, not a time of day", remedy)
    if isinstance(value, str) and (re.fullmatch(TIME_OF_DAY, value) or (last and value == "24:00")):
        hour, minute = value.split(":")
        return int(hour) * 60 + int(minute)
    remedy = 'Write hours and minutes, such as "06:30"; the end of a day is to: "24:00".'
    raise wrong(field, value, "is not a time of day", remedy)
