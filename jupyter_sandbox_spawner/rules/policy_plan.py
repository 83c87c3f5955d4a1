"""What may a file of questions to policy hold? A list of them, each with what is expected of it, if anything.

The file may bring the section `policy` that decides; every problem in it is reported at once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .policy_file import read_policy
from .policy_settings import PolicySettings
from .profile_fields import wrong
from .profile_nodes import Node, Problem, read_yaml
from .reading import Reading, all_wrong

__all__ = ["Plan", "Row", "parse_plan"]

_SECTIONS = ("policy", "questions")
_KEYS = ("question", "expect")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question as it was written, unchecked, in JSON; `line` of the file.

    `expect`: the reasons of a denial, empty for an allowed one; None where only allowed ones are wanted.
    """

    line: int
    question: str
    expect: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The rows of a file, and the settings that it brings with it."""

    rows: tuple[Row, ...]
    settings: PolicySettings | None = None


def parse_plan(text: str, file: str) -> Plan:
    """The questions of a YAML text. Raises ProfileError with every problem found."""
    problems: list[Problem] = []
    try:
        plan = _read(read_yaml(text), problems)
    except Problem as problem:
        raise all_wrong(file, [problem]) from None
    if problems:
        raise all_wrong(file, [_named(problem) for problem in problems])
    return plan


def _named(problem: Problem) -> Problem:
    """The problem with the name that its field has in this file; the reader names profiles.yaml's."""
    field = re.sub(r"^profiles\.", "", problem.field)
    field = re.sub(r"^profiles(?=\[)", "questions", field)
    return Problem(line=problem.line, field=field, sentence=problem.sentence)


def _read(root: Node, problems: list[Problem]) -> Plan:
    reader, settings, listed = Reading(), None, root
    if root.keys is not None:
        keys = reader.keys(root, _SECTIONS) or {}
        listed = keys.get("questions", root)
        settings = read_policy(keys["policy"], problems) if "policy" in keys else None
    if not listed.items:
        reader.add(listed, "questions", "there are none. Write a list of {question: {...}, expect: allow}.")
    rows = [_row(reader, node) for node in listed.items or ()]
    problems += reader.problems
    return Plan(rows=tuple(rows), settings=settings)


def _row(reader: Reading, node: Node) -> Row:
    keys = reader.keys(node, _KEYS) or {}
    question = "null"
    if "question" not in keys:
        reader.add(node, f"{node.field}.question", "is missing. Write question: {point: spawn, user: alice}.")
    else:
        question = reader.convert(keys["question"], _json) or "null"
    expect = reader.convert(keys["expect"], _expected) if "expect" in keys else None
    return Row(line=node.line, question=question, expect=expect)


def _json(value: Any, field: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise wrong(field, value, "cannot be JSON", "Put dates and the like in quotes.") from None


def _expected(value: Any, field: str) -> tuple[str, ...]:
    if value == "allow":
        return ()
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return tuple(sorted(value))
    raise wrong(
        field, value, "is neither allow nor a list of reasons", "Write allow or [policy.gpu.too_many]."
    )
