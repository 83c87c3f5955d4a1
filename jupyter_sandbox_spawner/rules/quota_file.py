"""What may users and groups have at once? The section `quotas` of the file, with every problem in it."""

from __future__ import annotations

from .profile_nodes import Node, Problem
from .quotas import Quotas
from .reading import Reading

__all__ = ["read_quotas"]


def read_quotas(node: Node, problems: list[Problem]) -> Quotas:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    reader.add(node, node.field, "this section cannot be read yet. Leave it out.")
    problems += reader.problems
    return Quotas()
