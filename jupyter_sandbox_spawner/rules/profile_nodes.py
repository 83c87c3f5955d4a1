"""Where in the admin's file does each value stand? YAML or Python becomes values that know their line.

Law: nothing of the file is executed; a key written twice is refused instead of one of them winning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

__all__ = ["Node", "Problem", "node_of", "read_yaml"]

_LARGEST = 20_000  # nodes; anchors may repeat, and a few lines of them could otherwise grow without end
_DEEPEST = 20


class Problem(Exception):
    """One thing that is wrong: the line (0 where there is none), the field and a sentence with a remedy."""

    def __init__(self, *, line: int, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.field = field
        self.sentence = sentence


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value and where it stands; `keys` or `items` are set for mappings and lists."""

    value: Any
    line: int
    field: str
    keys: Mapping[str, Node] | None = None
    items: tuple[Node, ...] | None = None


def node_of(value: Any, field: str = "profiles") -> Node:
    """A Python value as a Node without lines."""
    if isinstance(value, Mapping):
        keys = {str(key): node_of(item, _join(field, str(key))) for key, item in value.items()}
        return Node(value=dict(value), line=0, field=field, keys=keys)
    if isinstance(value, (list, tuple)):
        items = tuple(node_of(item, f"{field}[{index}]") for index, item in enumerate(value))
        return Node(value=list(value), line=0, field=field, items=items)
    return Node(value=value, line=0, field=field)


def read_yaml(text: str) -> Node:
    """The one document of a YAML text. Raises Problem for broken YAML, doubled keys and foreign tags."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Node(value=None, line=1, field="profiles")
            return _Reader(loader).node(root, "profiles", 0)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _unreadable(mark.line + 1 if mark else 1, str(error.problem or error.context)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _unreadable(line, f"the character {error.character!r} is not allowed") from None
    except RecursionError:
        raise _unreadable(1, "it is nested too deeply") from None


def _unreadable(line: int, why: str) -> Problem:
    return Problem(line=line, field="file", sentence=f"the YAML cannot be read: {why}.")


@dataclass
class _Reader:
    loader: yaml.SafeLoader
    seen: int = field(default=0)

    def node(self, raw: yaml.Node, path: str, depth: int) -> Node:
        line = raw.start_mark.line + 1
        self.seen += 1
        if self.seen > _LARGEST or depth > _DEEPEST:
            raise Problem(line=line, field=path or "file", sentence="the file is too large or too deep.")
        if isinstance(raw, yaml.MappingNode):
            return self._mapping(raw, path, depth)
        if isinstance(raw, yaml.SequenceNode):
            items = tuple(
                self.node(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(raw.value)
            )
            return Node(value=[item.value for item in items], line=line, field=path, items=items)
        return Node(value=self._scalar(raw), line=line, field=path)

    def _scalar(self, raw: yaml.Node) -> Any:
        try:
            return self.loader.construct_object(raw)
        except ValueError as error:
            # An impossible date, or a number that its tag cannot hold.
            raise _unreadable(raw.start_mark.line + 1, str(error)) from None

    def _mapping(self, raw: yaml.MappingNode, path: str, depth: int) -> Node:
        self._refuse_doubled(raw, path)
        try:
            self.loader.flatten_mapping(raw)
        except RecursionError:
            sentence = "an anchor contains itself."
            raise Problem(line=raw.start_mark.line + 1, field=path or "file", sentence=sentence) from None
        keys: dict[str, Node] = {}
        for key, value in raw.value:
            name = str(self._scalar(key))
            inner = self.node(value, _join(path, name), depth + 1)
            keys[name] = Node(
                value=inner.value,
                line=key.start_mark.line + 1,
                field=inner.field,
                keys=inner.keys,
                items=inner.items,
            )
        values = {name: item.value for name, item in keys.items()}
        return Node(value=values, line=raw.start_mark.line + 1, field=path, keys=keys)

    def _refuse_doubled(self, raw: yaml.MappingNode, path: str) -> None:
        first: dict[str, int] = {}
        for key, _ in raw.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise Problem(line=line, field=path or "file", sentence="a key must be a word.")
            if key.value in first:
                sentence = f"is written twice (first in line {first[key.value]}). Keep one."
                raise Problem(line=line, field=_join(path, key.value), sentence=sentence)
            first[key.value] = line


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
