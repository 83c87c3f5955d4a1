"""What may users and groups have at once? The section `quotas` of the file, with every problem in it."""

from __future__ import annotations

from typing import Any

from ..units import parse_cpu, parse_duration, parse_size
from .profile_fields import group_name, wrong
from .profile_nodes import Node, Problem
from .quotas import Caps, GpuHours, GroupQuota, Quotas, UserQuota
from .reading import Reading

__all__ = ["CAPS", "read_caps", "read_quotas"]

CAPS = ("servers", "cpu", "memory", "gpus", "gpu_hours")
_MOST = 1_000_000


def read_quotas(node: Node, problems: list[Problem]) -> Quotas:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    keys = reader.keys(node, ("user", "group")) or {}
    users = [_user(reader, item) for item in _items(reader, keys.get("user"))]
    groups = [_group(reader, item) for item in _items(reader, keys.get("group"))]
    _check_order(reader, keys.get("user"), [quota.group for quota in users])
    _check_once(reader, keys.get("group"), [quota.group for quota in groups])
    problems += reader.problems
    return Quotas(users=tuple(users), groups=tuple(groups))


def read_caps(reader: Reading, keys: dict[str, Node]) -> Caps:
    """The caps among the keys of a mapping."""
    return Caps(
        servers=reader.field(keys, "servers", _count),
        cpu=reader.field(keys, "cpu", parse_cpu),
        memory=reader.field(keys, "memory", parse_size),
        gpus=reader.field(keys, "gpus", _count),
        gpu_hours=reader.field(keys, "gpu_hours", _gpu_hours),
    )


def _items(reader: Reading, node: Node | None) -> tuple[Node, ...]:
    if node is None:
        return ()
    if node.items is None:
        reader.add(node, node.field, "is not a list. Write entries that begin with -.")
        return ()
    return node.items


def _user(reader: Reading, node: Node) -> UserQuota:
    keys = reader.keys(node, ("group", *CAPS)) or {}
    return UserQuota(group=reader.field(keys, "group", group_name), caps=_some_caps(reader, node, keys))


def _group(reader: Reading, node: Node) -> GroupQuota:
    keys = reader.keys(node, ("group", *CAPS)) or {}
    name = reader.text(keys, "group", node, group_name, required=node.keys is not None)
    return GroupQuota(group=name or "", caps=_some_caps(reader, node, keys))


def _some_caps(reader: Reading, node: Node, keys: dict[str, Node]) -> Caps:
    # An entry without caps lifts those of a later entry; it must say so by being for a group.
    if node.keys is not None and not set(keys) & set(CAPS) and "group" not in keys:
        reader.add(node, node.field, f"caps nothing. Write at least one of {', '.join(CAPS)}.")
    return read_caps(reader, keys)


def _check_order(reader: Reading, node: Node | None, groups: list[str | None]) -> None:
    seen: set[str | None] = set()
    for item, group in zip(_items(Reading(), node), groups, strict=True):
        if None in seen:
            remedy = "Move it up: the first entry that fits a user counts."
            reader.add(item, item.field, f"is never used, because an entry above fits everybody. {remedy}")
        elif group in seen:
            reader.add(item, item.field, f"is never used: {group!r} has an entry above. Remove one.")
        seen.add(group)


def _check_once(reader: Reading, node: Node | None, groups: list[str]) -> None:
    seen: set[str] = set()
    for item, group in zip(_items(Reading(), node), groups, strict=True):
        if group and group in seen:
            reader.add(item, f"{item.field}.group", f"{group!r} has an entry above. Keep one.")
        seen.add(group)


def _count(value: Any, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return value
    raise wrong(field, value, "is not a number", "Write a whole number, such as 3; 0 allows none.")


def _gpu_hours(value: Any, field: str) -> GpuHours:
    remedy = "Write gpu_hours: {at_most: 40, within: 7d}, or leave it out."
    if not isinstance(value, dict) or set(value) != {"at_most", "within"}:
        raise wrong(field, value, "does not have exactly at_most and within", remedy)
    hours = value["at_most"]
    if isinstance(hours, bool) or not isinstance(hours, (int, float)) or not 0 < hours <= _MOST:
        raise wrong(f"{field}.at_most", hours, "is not a number of hours above 0", remedy)
    within = parse_duration(value["within"], f"{field}.within")
    if within > 366 * 86400:
        raise wrong(f"{field}.within", value["within"], "is longer than a year", remedy)
    return GpuHours(at_most=float(hours), within=within)
