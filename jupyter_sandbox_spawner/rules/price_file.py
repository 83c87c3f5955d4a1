"""What do the hours cost? The section `prices` of the admin's file, with every problem in it."""

from __future__ import annotations

import math
import re
from typing import Any

from .prices import ANY_KIND, Prices
from .profile_fields import wrong
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["PRICE_KEYS", "read_prices"]

PRICE_KEYS = ("currency", "cpu_hour", "memory_gb_hour", "gpu_hour")
_CURRENCY = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,11}")
_KIND = re.compile(r"[a-z0-9][a-z0-9.+-]{0,62}")
_DEAREST = 1e9


def read_prices(node: Node, problems: list[Problem]) -> Prices:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    keys = reader.keys(node, PRICE_KEYS) or {}
    if node.keys is not None and "currency" not in keys:
        reader.add(node, f"{node.field}.currency", "is missing. Write currency: and a word, such as EUR.")
    found = Prices(
        currency=reader.field(keys, "currency", _currency) or "",
        cpu_hour=reader.field(keys, "cpu_hour", _price) or 0.0,
        memory_gb_hour=reader.field(keys, "memory_gb_hour", _price) or 0.0,
        gpu_hour=_by_kind(reader, keys["gpu_hour"]) if "gpu_hour" in keys else {},
    )
    problems += reader.problems
    return found


def _by_kind(reader: Reading, node: Node) -> dict[str, float]:
    if node.keys is None:
        # One number is the price of every kind.
        price = reader.convert(node, _price)
        return {} if price is None else {ANY_KIND: price}
    found: dict[str, float] = {}
    for kind, child in node.keys.items():
        if not _KIND.fullmatch(kind):
            remedy = (
                "Write any, a product such as nvidia-h100-80gb-hbm3, or a MIG profile such as mig-1g.10gb."
            )
            reader.add(child, child.field, f"{kind[:80]!r} is not a kind of GPU. {remedy}")
        price = reader.convert(child, _price)
        found[kind] = price or 0.0
    return found


def _currency(value: Any, field: str) -> str:
    if isinstance(value, str) and _CURRENCY.fullmatch(value):
        return value
    raise wrong(field, value, "is not a word", "Write letters and digits, twelve at most, such as EUR.")


def _price(value: Any, field: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and 0 <= value <= _DEAREST:
        return float(value)
    raise wrong(field, value, "is not a price", "Write a number of 0 or more, such as 0.02.")
