"""What may an admin write about time? The section `lifetime` of the one file, with every problem in it."""

from __future__ import annotations

from .lifetimes import Lifetimes
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["LIFETIME_KEYS", "RULE_KEYS", "read_lifetimes"]

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


def read_lifetimes(node: Node, problems: list[Problem]) -> Lifetimes:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    reader.keys(node, LIFETIME_KEYS)
    problems += reader.problems
    return Lifetimes()
