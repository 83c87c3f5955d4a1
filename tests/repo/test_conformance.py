"""Is every attack on the list somewhere a test or a reason, and on the page that people read?"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.attack_list import ATTACKS, BACKENDS, TRIED_ONCE, Attack
from tests.lanes import CHECKOUT

# T: traps of design/security.md; S, D: other lists; X98 and X99 exist for the tests of conftest.py.
OTHER_LISTS = re.compile(r"[TSD][0-9]{1,2}|X9[89]")
PROVES = re.compile(r"proves\(([^)]*)\)")


def marked() -> dict[str, set[str]]:
    """Ids that tests say they prove, each with its files."""
    found: dict[str, set[str]] = {}
    for path in sorted((CHECKOUT / "tests").rglob("test_*.py")):
        for arguments in PROVES.findall(path.read_text()):
            for name in re.findall(r'"([A-Z][0-9]+)"', arguments):
                found.setdefault(name, set()).add(path.name)
    return found


def test_no_test_proves_what_is_not_on_a_list() -> None:
    """A typing error would otherwise count for nothing."""
    known = {attack.id for attack in ATTACKS}
    unknown = {name: files for name, files in marked().items() if name not in known}
    assert {name: files for name, files in unknown.items() if not OTHER_LISTS.fullmatch(name)} == {}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_an_attack_has_a_test_or_a_reason(attack: Attack) -> None:
    """Nothing on the list is silently left out."""
    assert marked().get(attack.id) or attack.elsewhere.get("")


def test_ids_are_unique() -> None:
    """Each id stands for one attack."""
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)


def test_the_page_has_every_attack() -> None:
    """docs/reference/conformance.md was made from this list, and nothing on it has failed or is missing."""
    text = (CHECKOUT / "docs/reference/conformance.md").read_text().partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([A-Z][0-9]{2}) \| ([^|]+) \|", text, re.MULTILINE))
    assert rows == {attack.id: attack.tries for attack in ATTACKS}
    assert re.findall(r"\*\*(?:failed|missing|skipped)", text) == []


def test_the_page_has_every_backend() -> None:
    """Each has its column; of one that the last whole run did not know the page says so above."""
    text = (CHECKOUT / "docs/reference/conformance.md").read_text().partition("\n## ")[0]
    (header,) = re.findall(r"^\| id \| tries \| (.*) \|$", text, re.MULTILINE)
    due = re.findall(r"^Not on this page yet, .*: ([^.]+)\.", text, re.MULTILINE)
    assert header.split(" | ") + [name for names in due for name in names.split("; ")] == [*BACKENDS.values()]


def in_houses() -> dict[str, set[str]]:
    """Every test of tests/attacks with the ids that it proves."""
    found: dict[str, set[str]] = {}
    for path in sorted((CHECKOUT / "tests/attacks").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = " ".join(map(ast.unparse, node.decorator_list))
                found[f"{path.relative_to(CHECKOUT)}::{node.name}"] = set(
                    re.findall(r"'([A-Z][0-9]+)'", marks)
                )
    return found


def test_what_is_tried_once_is_tried_somewhere_else_too_where_a_backend_decides() -> None:
    """Of each attack that a backend decides, a test is left for every backend in the everyday run."""
    decided = {attack.id for attack in ATTACKS if not attack.shared}
    once = {name: ids for name, ids in in_houses().items() if name.startswith(TRIED_ONCE)}
    always = {name: ids for name, ids in in_houses().items() if name not in once}
    assert decided & set().union(*once.values()) - set().union(*always.values()) == set()


@pytest.mark.parametrize("place", TRIED_ONCE)
def test_what_is_tried_once_is_there(place: str) -> None:
    """A typing error would leave nothing out."""
    assert Path(CHECKOUT, place).is_file() or any(name.startswith(place) for name in in_houses())
