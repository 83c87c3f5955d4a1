"""When is the JupyterLab extension built, and what is installed where it cannot be?

Node and npm are played by small programs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT
from tests.packaging.builds import NOWHERE, SHARE, build, environ, files, pip, room

OUTPUT = "jupyter_sandbox_spawner/labextension"
NEEDED = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "labextension/build.py")
NODE = """#!/bin/sh
echo {version}
"""
NPM = """#!/bin/sh
echo "$*" >> {calls}
case "$1" in
ci) {ci} ;;
run) mkdir -p {output}/static/x && echo '{{}}' > {output}/package.json && echo 1 > {output}/static/a.js &&
    echo o > {output}/static/x/package.json.orig && {then} ;;
esac
"""
LOCKED = {
    "packages": {"": {}, "node_modules/a": {"integrity": "sha512-a"}, "node_modules/b": {"optional": True}}
}


@dataclass
class Workshop:
    """A small source of this package, with a Node and an npm of the test's."""

    source: Path
    programs: Path

    @property
    def path(self) -> str:
        """A PATH with these programs alone, beside what scripts need."""
        return f"{self.programs}:/usr/bin:/bin"

    @property
    def output(self) -> Path:
        """Where the built files come."""
        return self.source / OUTPUT

    @property
    def calls(self) -> list[str]:
        """What npm was asked, in order."""
        file = self.programs / "calls"
        return [line.split(" --")[0] for line in file.read_text().splitlines()] if file.exists() else []

    def play(self, *, version: str = "v22.12.0", ci: str = "", then: str = "true") -> None:
        """Put Node of this version and an npm in place; `ci` and `then` are what its steps do besides."""
        calls = self.programs / "calls"
        npm = NPM.format(calls=calls, output=self.output, ci=ci or f"cp -R {self.installed()} .", then=then)
        for name, text in (("node", NODE.format(version=version)), ("npm", npm)):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def installed(self) -> Path:
        """A node_modules to be copied, as npm leaves it: without what is for other systems."""
        folder = self.programs / "installed/node_modules"
        folder.mkdir(parents=True, exist_ok=True)
        here = {name: entry for name, entry in LOCKED["packages"].items() if "integrity" in entry}
        (folder / ".package-lock.json").write_text(json.dumps({"packages": here}))
        return folder

    def build(self, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """Run labextension/build.py."""
        command = [sys.executable, "-I", "-B", self.source / "labextension/build.py", *arguments]
        env = environ(path=path or self.path)
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Sources without anything built, a lock, and Node that is new enough."""
    source, programs = tmp_path / "source", tmp_path / "programs"
    for name in NEEDED:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, source / name)
    ignored = shutil.ignore_patterns("__pycache__", "labextension")
    shutil.copytree(CHECKOUT / "jupyter_sandbox_spawner", source / "jupyter_sandbox_spawner", ignore=ignored)
    (source / "labextension/src").mkdir()
    (source / "labextension/src/index.ts").write_text("one")
    (source / "labextension/package.json").write_text("{}")
    (source / "labextension/package-lock.json").write_text(json.dumps(LOCKED))
    programs.mkdir()
    made = Workshop(source, programs)
    made.play()
    return made


def test_it_is_built_once(shop: Workshop) -> None:
    """The first run fetches what the lock names and builds; the second does nothing, even without Node."""
    assert shop.build("--check").returncode == 1
    assert shop.build().returncode == 0
    assert shop.calls == ["ci", "run build:prod"]
    assert shop.build(path=NOWHERE).returncode == 0
    assert shop.build("--check", path=NOWHERE).returncode == 0
    assert shop.calls == ["ci", "run build:prod"]
    assert list(shop.output.rglob("*.orig")) == []


def test_npm_runs_no_scripts_of_packages(shop: Workshop) -> None:
    """What is fetched is not run while it is installed."""
    shop.build()
    assert "--ignore-scripts" in (shop.programs / "calls").read_text().splitlines()[0]


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_a_change_of_the_sources_is_built(shop: Workshop, change: str) -> None:
    """A file that changed, came or went, also with an old time; what is installed of npm is kept."""
    extra = shop.source / "labextension/src/more.ts"
    extra.write_text("more")
    shop.build()
    if change == "removed":
        extra.unlink()
    else:
        target = extra if change == "changed" else extra.with_name("another.ts")
        target.write_text("else")
        os.utime(target, (0, 0))
    assert shop.build("--check").returncode == 1
    assert shop.build().returncode == 0
    assert shop.calls == ["ci", "run build:prod", "run build:prod"]


def test_another_lock_is_installed(shop: Workshop) -> None:
    """A package whose hash changed is fetched again; one for another system is not missed."""
    shop.build()
    other = {"packages": {"": {}, "node_modules/a": {"integrity": "sha512-new"}}}
    (shop.source / "labextension/package-lock.json").write_text(json.dumps(other))
    shop.build()
    assert shop.calls == ["ci", "run build:prod", "ci", "run build:prod"]


@pytest.mark.parametrize(
    ("ci", "then"), [("false", "true"), ("echo 'npm error network' >&2; exit 1", "true"), ("", "exit 1")]
)
def test_a_step_that_fails_leaves_nothing_that_counts(shop: Workshop, ci: str, then: str) -> None:
    """Status 4 with npm's words and the step's; the next run tries again."""
    shop.play(ci=ci, then=then)
    done = shop.build()
    assert done.returncode == 4
    assert "npm ci" in done.stderr or "npm run build:prod" in done.stderr
    assert "network" in done.stderr or "network" not in ci
    assert shop.build("--check").returncode == 1
    shop.play()
    assert shop.build().returncode == 0


@pytest.mark.parametrize(
    ("version", "status"), [("v18.20.2", 3), ("v20.18.9", 3), ("v20.19.0", 0), ("v24.0.1", 0)]
)
def test_an_old_node_is_named(shop: Workshop, version: str, status: int) -> None:
    """The builder needs 20.19; what is there and what is needed is said."""
    shop.play(version=version)
    done = shop.build()
    assert done.returncode == status
    assert status == 0 or (version in done.stderr and "20.19 or newer" in done.stderr)


def test_without_npm_python_is_installed_with_a_warning(shop: Workshop, tmp_path: Path) -> None:
    """`auto` installs all but the extension and says so, also where an older build lies about."""
    shop.build()
    (shop.source / "labextension/src/index.ts").write_text("two")
    place = room(tmp_path / "room")
    asked = ("install", "--verbose", "--no-deps", "--no-build-isolation", shop.source)
    done = pip(place, *asked, env=environ(path=NOWHERE))
    assert done.returncode == 0, done.stderr
    assert "Installed without the JupyterLab extension" in done.stdout + done.stderr
    assert "There is no node" in done.stdout + done.stderr
    here = files(place)
    assert "etc/ipython/startup/20-jupyter-sandbox.py" in here
    assert [name for name in here if name.startswith(SHARE)] == []


@pytest.mark.parametrize(
    ("mode", "words"),
    [("require", "There is no node"), ("skipp", "SANDBOX_LABEXT is 'skipp'; it can be auto, skip, require")],
)
def test_what_is_required_or_misspelt_fails_with_the_reason(
    shop: Workshop, tmp_path: Path, mode: str, words: str
) -> None:
    """`require` without Node ends the installation with a sentence, and so does an unknown word."""
    place = room(tmp_path / "room")
    asked = ("install", "--no-deps", "--no-build-isolation", shop.source)
    done = pip(place, *asked, env=environ(mode, path=NOWHERE))
    assert done.returncode != 0
    assert words in done.stderr + done.stdout


def test_skip_leaves_it_out(shop: Workshop, tmp_path: Path) -> None:
    """npm is not asked, and what was built before is not installed."""
    shop.build()
    before = shop.calls
    wheel = build(shop.source, "wheel", tmp_path / "dist", environ("skip", path=shop.path))
    place = room(tmp_path / "room")
    assert pip(place, "install", "--no-deps", wheel).returncode == 0
    assert [name for name in files(place) if name.startswith(SHARE)] == []
    assert shop.calls == before


def test_a_failed_build_ends_the_installation(shop: Workshop, tmp_path: Path) -> None:
    """Where Node is, `auto` does not pass over an error in silence: it names the way round it."""
    shop.play(then="exit 1")
    place = room(tmp_path / "room")
    asked = ("install", "--no-deps", "--no-build-isolation", shop.source)
    done = pip(place, *asked, env=environ(path=shop.path))
    assert done.returncode != 0
    assert "SANDBOX_LABEXT=skip" in done.stderr + done.stdout
