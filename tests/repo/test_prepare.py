"""Does scripts/prepare say in a sentence what is wrong, with a status of its own?"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT, VENVS


def prepare(*rooms: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/prepare."""
    command = [str(CHECKOUT / "scripts/prepare"), *rooms]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=60
    )


def python_of_version(directory: Path, version: str) -> str:
    """A program that says it is this Python."""
    program = directory / "python"
    program.write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo "Python {version}" && exit 0\nexit 1\n')
    program.chmod(0o755)
    return str(program)


def test_an_unknown_room_is_refused() -> None:
    """A typing error lists the rooms there are."""
    done = prepare("hubb")
    assert (done.returncode, "known are: system hub user tracking proxy hub5" in done.stderr) == (2, True)


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    """Python 3.9 is named, with the way to choose another one."""
    done = prepare("hub", PYTHON=python_of_version(tmp_path, "3.9.2"))
    assert (done.returncode, "Python 3.9.2" in done.stderr, "PYTHON=" in done.stderr) == (2, True, True)


def test_a_missing_python_comes_with_its_command() -> None:
    """Without the interpreter the sentence has the command that installs one."""
    done = prepare("hub", PYTHON="/no/such/python")
    assert (done.returncode, "apt-get install python3" in done.stderr) == (3, True)


def test_help_tells_rooms_and_exit_statuses() -> None:
    """`--help` prints the comment at the top of the script."""
    done = prepare("--help")
    assert done.returncode == 0
    assert "SANDBOX_VENVS" in done.stdout
    assert "5 no disk space" in done.stdout.replace("\n", " ")


def test_a_left_out_extension_cannot_be_a_room() -> None:
    """Who asks for labext and leaves it out in one breath is told so, with what it needs."""
    done = prepare("labext", SANDBOX_LABEXT="skip")
    assert (done.returncode, "node 20.19 or newer" in done.stderr) == (3, True)


@pytest.mark.lane("npm")
def test_a_second_run_has_nothing_to_do() -> None:
    """A room that is ready is recognised by the hash of its inputs and left alone."""
    first = prepare("proxy")
    stamp = VENVS / ".stamps/proxy"
    before = stamp.stat().st_mtime_ns
    second = prepare("proxy")
    assert (first.returncode, second.returncode, second.stdout) == (0, 0, "")
    assert stamp.stat().st_mtime_ns == before
