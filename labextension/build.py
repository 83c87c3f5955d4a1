"""Is the JupyterLab extension built as its sources are now? Builds it where it is not: labextension/build.py

setup.py and scripts/prepare run this; it needs Python's standard library alone, and Node with npm.

  labextension/build.py                   npm ci where node_modules does not fit the lock, then the build
  labextension/build.py --modules FOLDER  only npm ci, in a folder that has a package-lock.json
  labextension/build.py --check           builds nothing: is it built?

Exit status: 0 it is there, 1 --check alone: it is not, 3 Node or npm is missing or too old, 4 a step failed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["built", "digest", "main", "modules_fit", "obstacle"]

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "jupyter_sandbox_spawner/labextension"
# Written last, so that half a build, or one for development, is never taken for the built extension.
STAMP = OUTPUT / ".inputs"
INPUTS = ("build.py", "package.json", "package-lock.json", "tsconfig.json", "src", "style", "schema")
OLDEST = (20, 19)
NPM_CI = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
# Nothing that npm installs here may fetch a browser.
ENVIRON = {"PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}


def digest() -> str:
    """The hash of all that the built files are made from: names and contents, not times."""
    found = hashlib.sha256()
    for name in INPUTS:
        top = HERE / name
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in files:
            if file.is_file():
                found.update(f"{file.relative_to(HERE)}\0{file.stat().st_size}\0".encode())
                found.update(file.read_bytes())
    return found.hexdigest()


def built() -> bool:
    """Is the output there, made from the sources as they are now?"""
    return (OUTPUT / "package.json").is_file() and STAMP.is_file() and STAMP.read_text() == digest()


def obstacle() -> str:
    """Why Node cannot build here, in a sentence with the way out; empty where it can."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            return f"There is no {program}; install Node {OLDEST[0]}.{OLDEST[1]} or newer with npm."
    asked = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    said = asked.stdout.strip()
    numbers = tuple(int(part) for part in said.lstrip("v").split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        return f"node is {said or 'broken'}, and {OLDEST[0]}.{OLDEST[1]} or newer is needed."
    return ""


def modules_fit(folder: Path) -> bool:
    """Does node_modules hold what the lock names? Packages for other systems may be missing."""
    try:
        wanted = json.loads((folder / "package-lock.json").read_text())["packages"]
        here = json.loads((folder / "node_modules/.package-lock.json").read_text())["packages"]
    except (OSError, ValueError, KeyError):
        return False
    same = all(
        entry.get("integrity") == wanted.get(name, {}).get("integrity") for name, entry in here.items()
    )
    needed = (name for name, entry in wanted.items() if name and not entry.get("optional"))
    return same and all(name in here for name in needed)


def run(folder: Path, *command: str) -> None:
    """Run a step; ends this program with its output where it fails."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | ENVIRON, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{done.stdout}{done.stderr}".strip(), file=sys.stderr)
        print(f"labextension: {' '.join(command[:3])} failed in {folder.name}/.", file=sys.stderr)
        sys.exit(4)


def install_modules(folder: Path) -> None:
    """What the lock names, where it is not there yet."""
    if not modules_fit(folder):
        print(f"labextension: npm ci in {folder.name}/ ...", flush=True)
        run(folder, *NPM_CI)


def build() -> None:
    """The extension for production, unless it is there."""
    lock = os.open(HERE, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # two installations at once build once
    if built():
        return
    install_modules(HERE)
    wanted = digest()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    run(HERE, "npm", "run", "build:prod")
    for leftover in OUTPUT.rglob("*.orig"):
        leftover.unlink()
    STAMP.write_text(wanted)


def main(arguments: list[str]) -> int:
    """Do what the arguments say."""
    if arguments == ["--check"]:
        return 0 if built() else 1
    reason = "" if not arguments and built() else obstacle()
    if reason:
        print(f"labextension: {reason}", file=sys.stderr)
        return 3
    if arguments[:1] == ["--modules"] and len(arguments) == 2:
        install_modules(Path(arguments[1]).resolve())
    elif not arguments:
        build()
    else:
        print(__doc__, file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
