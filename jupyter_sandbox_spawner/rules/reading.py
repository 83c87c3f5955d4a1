"""How is a mapping of the admin's file read so that every problem in it is found at once?"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..errors import ConfigurationError, ProfileError
from . import profile_fields as fields
from .profile_nodes import Node, Problem

__all__ = ["Reading", "all_wrong"]

T = TypeVar("T")


class Reading:
    """Turns nodes into values and collects what is wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def keys(self, node: Node, known: Sequence[str]) -> dict[str, Node] | None:
        """The keys of a mapping; those that are not `known` are problems. None for anything else."""
        if node.keys is None:
            self.add(node, node.field, f"{fields.shown(node.value)} is not a mapping. Write keys and values.")
            return None
        for name, child in node.keys.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
                self.add(child, child.field, f"this key does not exist. {hint}")
        return dict(node.keys)

    def text(
        self,
        keys: dict[str, Node],
        name: str,
        parent: Node,
        check: Callable[[Any, str], str],
        required: bool = False,
    ) -> str | None:
        """A text below `parent`, checked; its absence is a problem where it is `required`."""
        if required and name not in keys:
            self.add(parent, f"{parent.field}.{name}", f"is missing. Write {name}: and a text.")
        return self.field(keys, name, check)

    def field(self, keys: dict[str, Node], name: str, check: Callable[[Any, str], T]) -> T | None:
        """One value, checked; None where it is absent or wrong."""
        node = keys.get(name)
        return None if node is None else self.convert(node, check)

    def convert(self, node: Node, check: Callable[[Any, str], T]) -> T | None:
        """The value of a node, checked; None where it is wrong."""
        try:
            return check(node.value, node.field)
        except ConfigurationError as error:
            sentence = f"{error.message.removeprefix(f'{error.field}: ')} {error.remedy}".strip()
            inner = error.field.startswith(f"{node.field}.")
            self.add(node, error.field if inner else node.field, sentence)
            return None

    def add(self, node: Node, field: str, sentence: str) -> None:
        """Note a problem: at which line, with which field, what is wrong and what to write."""
        self.problems.append(Problem(line=node.line, field=field, sentence=sentence))


def all_wrong(file: str, problems: Sequence[Problem]) -> ProfileError:
    """The error with every problem of a file, by line: `FILE:LINE: FIELD: sentence`."""
    lines = []
    for problem in sorted(problems, key=lambda problem: problem.line):
        place = f"{file}:{problem.line}" if problem.line else file
        lines.append(f"{place}: {problem.field}: {problem.sentence}")
    return ProfileError("\n".join(lines), field=problems[0].field)
