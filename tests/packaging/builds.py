"""How are packages built and installed in tests? In a copy of the source, into bare environments, offline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.lanes import CHECKOUT, LABEXTENSION, VENVS
from tests.repo.sources import tracked

__all__ = ["SHARE", "build", "copy_source", "environ", "files", "git", "keep_modules", "pip", "room"]

SHARE = "share/jupyter/labextensions/jupyter-sandbox-spawner"
NOWHERE = "/nonexistent"


def copy_source(to: Path) -> Path:
    """What a fresh clone has, as a repository of its own."""
    for name in tracked():
        if (CHECKOUT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, to / name)
    git(to, "init", "--quiet")
    git(to, "add", "--all")
    git(to, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", "all")
    return to


def git(directory: Path, *arguments: str) -> str:
    """What git says there."""
    return subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, check=True
    ).stdout


def keep_modules(source: Path) -> None:
    """Give a copy the checkout's node_modules, which fit the same lock, so that nothing is downloaded."""
    wanted = source / "labextension/node_modules"
    links = ["cp", "-al", LABEXTENSION / "node_modules", wanted]
    if subprocess.run(links, capture_output=True, check=False).returncode:
        shutil.rmtree(wanted, ignore_errors=True)  # another file system: no hard links
        shutil.copytree(LABEXTENSION / "node_modules", wanted, symlinks=True)


def environ(mode: str = "", path: str | None = None) -> dict[str, str]:
    """The environment of a build; `path` in place of PATH, and no registry."""
    own = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "npm_config_offline": "true"}
    kept = {name: value for name, value in os.environ.items() if name != "SANDBOX_LABEXT"}
    found = kept | own | ({"SANDBOX_LABEXT": mode} if mode else {})
    return found if path is None else found | {"PATH": path}


def room(directory: Path, *, packages_of: str = "") -> Path:
    """A new environment with setuptools alone; `packages_of` a room of scripts/prepare, it sees those too."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    (site,) = directory.glob("lib/python*/site-packages")
    installed = Path(sysconfig.get_path("purelib"))
    for path in [*installed.glob("setuptools*"), installed / "_distutils_hack"]:
        (site / path.name).symlink_to(path)
    if packages_of:
        (theirs,) = (VENVS / packages_of).glob("lib/python*/site-packages")
        # At the end of the path, and without its .pth files: what we install comes first.
        (site / "others.pth").write_text(f"{theirs.resolve()}\n")
    return directory


def pip(
    room: Path, *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pip for that environment."""
    command = [sys.executable, "-m", "pip", "--python", room / "bin/python", *arguments]
    return subprocess.run(command, env=env or environ(), capture_output=True, text=True, check=False)


def build(source: Path, kind: str, to: Path, env: dict[str, str] | None = None) -> Path:
    """Build a `wheel` or `sdist` as a front end such as `python -m build` does, without isolation."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(to)!r}))"
    to.mkdir(exist_ok=True)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=source, env=env or environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return to / done.stdout.splitlines()[-1]


def files(room: Path) -> set[str]:
    """Every file of an environment, from its top; compiled Python left out."""
    return set(_walk(room))


def _walk(top: Path) -> Iterator[str]:
    for path in top.rglob("*"):
        if not path.is_dir() and path.suffix != ".pyc" and "site-packages/setuptools" not in str(path):
            yield path.relative_to(top).as_posix()
