"""What may stand in the body of a request to a route below `sandbox/`? A JSON object of known fields."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ConfigurationError
from ..network import LONGEST_WHY

__all__ = ["BODIES", "read_body"]

_LARGEST = 16 << 10  # bytes
_LONGEST_HOST = 253
_LONGEST_SPAN = 366 * 86400  # seconds; control knows the profile's own cap
_HIGHEST = 1 << 53
_KEY = re.compile(r"[A-Za-z0-9._-]{1,58}")  # what control takes
_Check = Callable[[Any], str]


def _whole(least: int, most: int) -> _Check:
    def check(value: Any) -> str:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if fits else f"a whole number from {least} to {most}"

    return check


def _text(most: int) -> _Check:
    def check(value: Any) -> str:
        fits = isinstance(value, str) and 0 < len(value.strip()) <= most
        return "" if fits else f"a text of 1 to {most} characters"

    return check


def _key(value: Any) -> str:
    fits = isinstance(value, str) and _KEY.fullmatch(value) is not None
    return "" if fits else "1 to 58 letters, digits, `.`, `_` or `-`"


_PORT, _NUMBER = _whole(1, 65535), _whole(1, _HIGHEST)
# By route: each field with its check, and whether it may be absent.
BODIES: Mapping[str, Mapping[str, tuple[_Check, bool]]] = {
    "extend": {"by": (_whole(1, _LONGEST_SPAN), True), "key": (_key, True)},
    "keep": {"by": (_whole(0, _LONGEST_SPAN), False)},
    "stop": {},
    "egress/ask": {
        "host": (_text(_LONGEST_HOST), False),
        "port": (_PORT, False),
        "why": (_text(LONGEST_WHY), False),
    },
    "egress/withdraw": {"id": (_NUMBER, False)},
}


def read_body(route: str, raw: bytes) -> dict[str, Any]:
    """The fields of a body. Raises ConfigurationError `wire.invalid`, which names the field."""
    known = BODIES[route]
    if len(raw) > _LARGEST:
        raise _wrong("body", f"at most {_LARGEST} bytes")
    try:
        document = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise _wrong("body", "JSON") from None
    if not isinstance(document, dict):
        raise _wrong("body", "a JSON object")
    for name in document:
        if name not in known:
            fields = ", ".join(known) or "none"
            raise _wrong(name[:40], f"no field of this request (its fields: {fields})", "is")
    for name, (check, optional) in known.items():
        if name not in document:
            if not optional:
                raise _wrong(name, "there", "is not")
        elif problem := check(document[name]):
            raise _wrong(name, problem)
    return document


def _wrong(field: str, what: str, verb: str = "is not") -> ConfigurationError:
    return ConfigurationError(f"{field}: it {verb} {what}.", code="wire.invalid", field=field)
