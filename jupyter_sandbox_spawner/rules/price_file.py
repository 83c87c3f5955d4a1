"""What do the hours cost? The section `prices` of the admin's file, with every problem in it."""

from __future__ import annotations

from .prices import Prices
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["read_prices"]


def read_prices(node: Node, problems: list[Problem]) -> Prices:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    reader.add(node, node.field, "this section cannot be read yet. Leave it out.")
    problems += reader.problems
    return Prices()
