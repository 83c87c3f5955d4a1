"""What does the section `policy` set? The section `policy` of the admin's file, with every problem in it."""

from __future__ import annotations

from .policy_settings import PolicySettings
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["read_policy"]


def read_policy(node: Node, problems: list[Problem]) -> PolicySettings:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    reader.add(node, node.field, "this section cannot be read yet. Leave it out.")
    problems += reader.problems
    return PolicySettings()
