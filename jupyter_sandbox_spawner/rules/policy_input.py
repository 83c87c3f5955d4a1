"""Can a question to policy be what an honest caller asks? Types, lengths, characters and ranges.

Law: it is looked at value by value, whatever the annotations promise; what only resembles is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .catalogue import TAGS

if TYPE_CHECKING:
    from .policy import Question

__all__ = ["malformed_field"]

# No control characters, no line or paragraph separators, no half of a surrogate pair and no mark that stands
# for one: two programs may read those differently. Everything else in a name is data.
_NAME = re.compile("[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd\ud800-\udfff]{1,255}")
_MOST_GROUPS = 1000
_MOST_TAGS = 16
_RANGE: Mapping[str, tuple[int, int]] = {"gpu": (0, 64), "extension": (1, 31 * 86400)}
_NAMED = frozenset({"dataset", "secret", "egress", "promotion"})  # where something is asked for by its name
_POINTS = frozenset({"spawn", "gpu", "extension"}) | _NAMED


def malformed_field(question: Question) -> str:
    """The first field that is not right; "" for none."""
    point: Any = question.point
    if type(point) is not str or point not in _POINTS:
        return "point"
    checks = {
        "user": _is_name(question.user),
        "groups": _all(question.groups, _MOST_GROUPS, _is_name),
        "profile": question.profile == "" or _is_name(question.profile),
        "resource": _is_name(question.resource) or (question.resource == "" and point not in _NAMED),
        "requested": _is_in_range(question.requested, point),
        "tags": _all(question.tags, _MOST_TAGS, _is_tag),
        "approved": type(question.approved) is bool,
    }
    return next((field for field, fine in checks.items() if not fine), "")


def _is_name(value: Any) -> bool:
    return type(value) is str and _NAME.fullmatch(value) is not None


def _is_tag(value: Any) -> bool:
    return type(value) is str and value in TAGS


def _all(values: Any, most: int, check: Any) -> bool:
    return type(values) is tuple and len(values) <= most and all(check(item) for item in values)


def _is_in_range(value: Any, point: str) -> bool:
    if point not in _RANGE:
        return value is None
    least, most = _RANGE[point]
    return type(value) is int and least <= value <= most
