"""Which datasets does the file list? The section `datasets` of the admin's file, with every problem in it."""

from __future__ import annotations

from .catalogue import Dataset
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["read_datasets"]


def read_datasets(node: Node, problems: list[Problem]) -> tuple[Dataset, ...]:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    reader.add(node, node.field, "this section cannot be read yet. Leave it out.")
    problems += reader.problems
    return ()
