"""Is the built JupyterLab extension small, and free of addresses and of this machine's folders?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT, LABEXTENSION_OUTPUT
from tests.repo.test_hygiene import MACHINES, REGISTRIES

pytestmark = pytest.mark.lane("labext")
LARGEST = 150 << 10


def shipped() -> list[Path]:
    """What is installed of it."""
    return [path for path in LABEXTENSION_OUTPUT.rglob("*") if path.is_file() and path.name != ".inputs"]


def test_the_bundle_is_small() -> None:
    """All scripts together, as they lie on the disk, have less than 150 KiB."""
    scripts = [path for path in shipped() if path.suffix == ".js"]
    assert len(scripts) >= 2
    assert sum(path.stat().st_size for path in scripts) < LARGEST


def test_no_map_and_no_test_is_shipped() -> None:
    """Source maps, leftovers of the builder and TypeScript stay out."""
    assert [path for path in shipped() if path.suffix in {".map", ".orig", ".ts", ".tsx"}] == []


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINES, re.escape(str(CHECKOUT))])
def test_no_address_and_no_folder_is_shipped(pattern: str) -> None:
    """No file names a package registry, or a folder of the machine that built it."""
    found = [path.name for path in shipped() if re.search(pattern, path.read_text())]
    assert found == []
