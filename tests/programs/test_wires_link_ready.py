"""Does whoever waits for a link hear of it at once, in whatever order both begin?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.layout import LINK_MEMORY, wait_for_link
from jupyter_sandbox_spawner.backends.oci.layout import DOORS, INSIDE
from jupyter_sandbox_spawner.wires.link.files import tell_ready
from tests.backends.kubernetes_facts import PLACE

NAMES = ("boot.sock", "egress.sock", "api.sock", "ingress.sock")
Wait = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def wait(tmp_path: Path) -> Iterator[Wait]:
    """Begin to wait as a kubelet does, with the pod's places below `tmp_path`."""
    script = wait_for_link(PLACE)[-1]
    for place, name in ((LINK_MEMORY, "memory"), (DOORS, "doors"), (INSIDE, "inside")):
        script = script.replace(place, str(tmp_path / name))
        (tmp_path / name).mkdir()
    # Nobody looks by itself, so that only what the link says can end it.
    script = script.replace("ear.poll(500)", "ear.poll(20000)")
    begun: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen([sys.executable, "-I", "-S", "-B", "-c", script]))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def make_ready(directory: Path) -> None:
    """What the link does before it says so."""
    (directory / "inside" / "__main__.py").touch()
    for name in NAMES:
        (directory / "doors" / name).touch()


def until_it_waits(pipe: Path) -> None:
    """The pipe is there, so that somebody waits at it, or is about to."""
    deadline = time.monotonic() + 30
    while not pipe.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_link_that_comes_later(tmp_path: Path, wait: Wait) -> None:
    """Who waits goes on when the link says that all is there, and not before."""
    process = wait()
    until_it_waits(tmp_path / "memory" / "ready")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    make_ready(tmp_path)
    descriptor = tell_ready(str(tmp_path / "memory"))
    assert process.wait(10) == 0
    os.close(descriptor)


def test_a_link_that_was_first(tmp_path: Path, wait: Wait) -> None:
    """What was said before anybody waited is not lost, also after the link was started again."""
    make_ready(tmp_path)
    kept = [tell_ready(str(tmp_path / "memory")) for _ in range(3)]
    assert wait().wait(10) == 0
    assert wait().wait(10) == 0
    for descriptor in kept:
        os.close(descriptor)


def test_nobody_else_says_so(tmp_path: Path, wait: Wait) -> None:
    """A word in the pipe without doors starts nothing."""
    process = wait()
    until_it_waits(tmp_path / "memory" / "ready")
    descriptor = tell_ready(str(tmp_path / "memory"))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    make_ready(tmp_path)
    os.close(descriptor)
    os.close(tell_ready(str(tmp_path / "memory")))
    assert process.wait(10) == 0
