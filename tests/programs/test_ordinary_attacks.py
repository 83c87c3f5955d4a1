"""Do the attacks on a whole house fail as well where an ordinary user runs it?

The same tests run once more, by a pytest of that user, who starts the house; what each gave counts here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.attack_list import TRIED_ONCE
from tests.conftest import ALSO
from tests.lanes import CHECKOUT
from tests.support.inner import run_pytest
from tests.support.ordinary import ordinary_user

pytestmark = [
    pytest.mark.lane("root", "rootless", "runc", "npm", "userenv", "hub6"),
    pytest.mark.timeout(900),
]
# Giving this host a public address, where datagrams would be heard, is root's; test_oci_attacks.py goes on
# without it. Mounting is root's as well: profiles that give a home a size are refused to an ordinary user.
SKIPPED_FOR = ("lane root", "lane loop")
# Vault is started by root, and what only programs decide was tried as root: they are the same for everybody.
WHOLE = os.environ.get("SANDBOX_WHOLE") == "1"
WITHOUT = ("--ignore=tests/attacks/vault", *(f"--deselect={place}" for place in TRIED_ONCE if not WHOLE))


def test_the_same_attacks_fail(request: pytest.FixtureRequest) -> None:
    """Every attack of tests/attacks has its control and is blocked in an ordinary user's house."""
    with ordinary_user() as user:
        needs = "sandboxes runc npm userenv hub6"
        inner = run_pytest(user, "tests/attacks", *WITHOUT, require=needs, inside=False, timeout=800)
        files = sorted(path.name for path in Path(CHECKOUT, "tests/attacks").glob("test_*.py"))
        request.node.stash[ALSO] = [record for file in files for record in inner.records_of(file)]
        others = {name: seen for name, seen in inner.outcomes.items() if seen[0] != "passed"}
        assert len(others) < len(inner.outcomes) / 4, inner.output
        assert [
            item for item in others.items() if not any(lane in item[1][1] for lane in SKIPPED_FOR)
        ] == [], inner.output
