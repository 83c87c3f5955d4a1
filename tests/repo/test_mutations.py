"""Do the guards that scripts/mutate switches off still stand where it looks for them?"""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from tests.lanes import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "scripts"))
try:
    from mutations import GUARDS
finally:
    sys.path.pop(0)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_is_found_once(guard: Any) -> None:
    """Its pattern fits exactly once in its file, and its tests are in a file that exists."""
    assert len(re.findall(guard.pattern, (CHECKOUT / guard.file).read_text())) == 1
    assert (CHECKOUT / guard.tests.split()[0]).exists()
