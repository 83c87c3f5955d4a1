"""Does an installation bring `jupyter_sandbox`, the command and the start-up file, once each?"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT

STARTUP = "etc/ipython/startup/20-jupyter-sandbox.py"
NEEDED = ("setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The files that are installed, away from the checkout, which a build would write into."""
    copy = tmp_path / "source"
    shutil.copytree(
        CHECKOUT / "jupyter_sandbox_spawner",
        copy / "jupyter_sandbox_spawner",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in NEEDED:
        shutil.copy(CHECKOUT / name, copy)
    return copy


def pip(*arguments: str | Path) -> None:
    """Run pip without a network."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wheel_has_everything_once(source: Path, tmp_path: Path) -> None:
    """The start-up file, the imported name and the mounted files are in the wheel, none of them twice."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith(STARTUP)] == [
        f"jupyter_sandbox_spawner-{wheel.name.split('-')[1]}.data/data/{STARTUP}"
    ]
    assert [name for name in names if "jupyter_sandbox/" in name] == ["jupyter_sandbox/__init__.py"]
    inside = "jupyter_sandbox_spawner/singleuser/inside"
    assert {f"{inside}/etc/jupyter/jupyter_server_config.py", f"{inside}/victim.py"} <= set(names)
    assert len(names) == len(set(names))


def test_an_editable_installation_has_it_too(source: Path, tmp_path: Path) -> None:
    """`pip install -e` brings the same into an otherwise bare environment."""
    room = tmp_path / "room"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", room], check=True)
    (site,) = room.glob("lib/python*/site-packages")
    installed = Path(sysconfig.get_path("purelib"))
    for path in [*installed.glob("setuptools*"), installed / "_distutils_hack"]:
        (site / path.name).symlink_to(path)  # what builds, and no more
    pip("--python", room / "bin/python", "install", "--no-deps", "--no-build-isolation", "--editable", source)
    assert (room / STARTUP).is_file()
    done = subprocess.run([room / "bin/jupyter-sandbox"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:21]) == (3, "This is not a sandbox")
    code = "import jupyter_sandbox; print(jupyter_sandbox.__file__)"
    printed = subprocess.run(
        [room / "bin/python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert (
        printed.stdout.strip() == f"{source}/jupyter_sandbox_spawner/singleuser/jupyter_sandbox/__init__.py"
    )
