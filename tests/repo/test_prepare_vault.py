"""Does the build of Vault say what is wrong in a sentence, and never leave half a program?

Go is played by small programs, each a scenario: the real build takes minutes.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT

BUILD = CHECKOUT / "hub_config/vault/build-vault"
# What every Go answers to questions about itself; the rest is the scenario's.
GO = """#!/bin/bash
case "$1 $2" in
"env GOVERSION") echo {version} && exit ;;
"env GOTOOLCHAIN") echo {toolchain} && exit ;;
"env GO"*) echo {cache} && exit ;;
"mod download" | "mod edit") exit ;;
"list -m") echo {cache}/module && exit ;;
esac
echo "$PWD: $*" >> {cache}/builds
while [ "$1" != -o ]; do shift; done
{scenario}
"""


class Builder:
    """Runs build-vault with a cache of its own and this Go."""

    def __init__(self, directory: Path) -> None:
        self.cache = directory
        self.vault = directory / "jupyter-sandbox/vault/1.21.0/vault"
        for package in ("helper/builtinplugins", "command"):
            (directory / "module" / package).mkdir(parents=True)

    def go(self, scenario: str, version: str = "go1.26.0", toolchain: str = "local") -> None:
        """Put a Go before every other on the PATH."""
        program = self.cache / "go"
        program.write_text(
            GO.format(version=version, toolchain=toolchain, cache=self.cache, scenario=scenario)
        )
        program.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the script in the background."""
        ours = {"XDG_CACHE_HOME": str(self.cache), "PATH": f"{self.cache}:{os.environ['PATH']}"}
        environment = {**os.environ, **ours}
        environment.pop("VAULT_BINARY", None)
        pipe = subprocess.PIPE
        return subprocess.Popen([BUILD, *arguments], env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Status, output and errors of the script."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def builds(self) -> list[str]:
        """How often Go was asked to build, and where with which arguments."""
        file = self.cache / "builds"
        return file.read_text().splitlines() if file.exists() else []


COMPILES = 'echo "#!/bin/sh" > "$2" && chmod +x "$2"'


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """A builder whose Go compiles."""
    builder = Builder(tmp_path)
    builder.go(COMPILES)
    return builder


def test_it_is_built_once(builder: Builder) -> None:
    """The first run builds it from the pinned modules; the second finds it."""
    assert builder.run()[:2] == (0, f"{builder.vault}\n")
    assert builder.run() == (0, f"{builder.vault}\n", "")
    assert len(builder.builds) == 1
    assert all(word in builder.builds[0] for word in ("vault/build:", "-mod=readonly", "-trimpath"))
    assert os.access(builder.vault, os.X_OK)


def test_it_has_the_plugins_that_are_used(builder: Builder) -> None:
    """Two files of a copy of its module are ours: a login of Kubernetes, users of PostgreSQL, files."""
    assert builder.run()[0] == 0
    source = builder.vault.parent / "source"
    plugins = (source / "helper/builtinplugins/registry_min.go").read_text()
    assert all(word in plugins for word in ("AuthTypeKubernetes", "postgresql-database-plugin"))
    assert '"file"' in (source / "command/commands_min.go").read_text()
    arguments = f"-tags minimal -modfile {builder.vault.parent}/build.mod"
    assert (arguments in builder.builds[0], (source.parent / "build.sum").exists()) == (True, True)


def test_a_module_that_cannot_be_had_is_said(builder: Builder) -> None:
    """Nothing is built without it."""
    builder.go(COMPILES)
    program = builder.cache / "go"
    no_network = 'echo "dial tcp: lookup: no such host" && exit 1'
    program.write_text(program.read_text().replace('"mod download" | ', f'"mod download") {no_network} ;;\n'))
    status, _, said = builder.run()
    assert (status, "module proxy does not answer" in said, builder.builds) == (4, True, [])


def test_two_at_once_build_once(builder: Builder) -> None:
    """The second waits for the first, says so, and takes what it made."""
    builder.go(f"while [ ! -e {builder.cache}/go-on ]; do sleep 0.05; done; {COMPILES}")
    with builder.start() as first:
        while not builder.builds:
            assert first.poll() is None
        with builder.start() as second:
            assert second.stderr is not None
            assert "another build is running" in second.stderr.readline()
            (builder.cache / "go-on").touch()
            assert second.wait(60) == 0
        assert first.wait(60) == 0
    assert len(builder.builds) == 1


@pytest.mark.parametrize(
    ("scenario", "status", "words"),
    [
        ("echo half > $2; echo 'syntax error'; exit 1", 4, "could not be built"),
        ("echo 'dial tcp: lookup: no such host'; exit 1", 4, "module proxy does not answer"),
        ("echo half > $2; echo 'write: no space left on device'; exit 1", 5, "disk is full"),
    ],
)
def test_a_failed_build_leaves_nothing(builder: Builder, scenario: str, status: int, words: str) -> None:
    """The reason is said, the program's place stays empty, and the next run tries again."""
    builder.go(scenario)
    failed = builder.run()
    assert (failed[0], words in failed[2]) == (status, True)
    assert [path.name for path in builder.vault.parent.glob("vault*")] == []
    builder.go(COMPILES)
    assert builder.run()[0] == 0


def test_an_ended_build_leaves_nothing(builder: Builder) -> None:
    """Who stops it in the middle finds no half program."""
    builder.go("echo half > $2; touch $2.seen; exec sleep 60")
    with builder.start() as process:
        while not builder.vault.with_name("vault.part.seen").exists():
            assert process.poll() is None
        process.terminate()
        assert process.wait(30) != 0
    assert not builder.vault.exists()
    assert not builder.vault.with_name("vault.part").exists()


@pytest.mark.parametrize(
    ("version", "toolchain", "command"),
    [
        ("go1.19.8", "", "PATH=/usr/local/go/bin"),
        ("go1.24.4", "local", "GOTOOLCHAIN=auto scripts/prepare vault"),
    ],
)
def test_an_old_go_is_refused(builder: Builder, version: str, toolchain: str, command: str) -> None:
    """Its version and the needed one are named, with the command that helps; nothing is built."""
    builder.go(COMPILES, version, toolchain)
    status, _, said = builder.run()
    assert (status, version[2:] in said, "1.25.1" in said, command in said) == (3, True, True, True)
    assert builder.builds == []


def test_a_go_that_fetches_the_right_one_is_taken(builder: Builder) -> None:
    """From 1.21 on Go can fetch the version that go.mod asks for."""
    builder.go(COMPILES, "go1.24.4", "auto")
    status, _, said = builder.run()
    assert (status, "will fetch Go 1.25.1" in said) == (0, True)


def test_where_builds_nothing(builder: Builder) -> None:
    """`--where` only says where it would be."""
    assert builder.run("--where") == (0, f"{builder.vault}\n", "")
    assert builder.builds == []
