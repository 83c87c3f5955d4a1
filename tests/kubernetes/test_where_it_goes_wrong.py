"""Does the table of what goes wrong on a cluster say what users and admins really read?"""

from __future__ import annotations

import re

import pytest

from jupyter_sandbox_spawner.rules import pod_words
from tests.lanes import CHECKOUT

PAGE = (CHECKOUT / "docs/how-to/run-on-kubernetes.md").read_text()
CODES = (CHECKOUT / "docs/reference/errors.md").read_text()
RULES = (*pod_words.SCHEDULING, *pod_words.REFUSALS, *pod_words.PULLING, *pod_words.KUBELET)
# The bad input that the project promises a sentence for.
PROMISED = (
    "kubernetes.rbac",
    "kubernetes.volume_pending",
    "kubernetes.quota",
    "kubernetes.image_missing",
    "isolation.unproved",
    "certificates.clock",
    "certificates.expired",
    "certificates.authority_expired",
)


def rows() -> dict[str, str]:
    """What users read, by the code that admins read; of two rows the first."""
    table = PAGE.partition("## Where it goes wrong")[2]
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        code = re.search(r"`((?:kubernetes|isolation|certificates)\.\w+)`", cells[-1])
        if len(cells) == 3 and code and cells[1]:
            found.setdefault(code[1], cells[1])
    return found


def test_each_promised_mistake_is_there() -> None:
    """Every kind of bad input has a row, and a code of the reference."""
    assert set(PROMISED) <= rows().keys()
    assert all(f"`{code}`" in CODES for code in rows())


@pytest.mark.parametrize("code", sorted({rule.code for rule in RULES} & rows().keys()))
def test_users_read_what_the_table_says(code: str) -> None:
    """A sentence in the table is the beginning of one that the rules have for that code."""
    assert any(rule.user.startswith(rows()[code]) for rule in RULES if rule.code == code)
