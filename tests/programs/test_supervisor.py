"""Does the supervisor start everything again, whatever ends at the same moment?"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.programs import Program
from jupyter_sandbox_spawner.admin.supervisor import Supervisor

from ..support.waiting import until

NAMES = ("first", "second", "third")
# It says something as its last act; its child is gone before it is, also where that has not become sleep
# yet and so would take a TERM for the shell's.
SCRIPT = "trap 'echo last words; kill -9 $!; wait; exit 0' TERM; echo up; sleep 1000 & while :; do wait; done"


class Scene:
    """Three programs; when the first one is seen to have ended, the others have just ended too.

    That is the moment in which circus closes pipes that the loop still watches. Once all are reaped, one
    descriptor is taken, so that each program's next pipes get numbers that another's had before.
    """

    def __init__(self, directory: Path) -> None:
        self.pids: dict[str, int] = {}
        self.started: Counter[str] = Counter()
        self.held: list[int] = []
        self._ended: set[str] = set()
        self._directory = directory
        self._again = asyncio.Event()

    async def play(self) -> Supervisor:
        """Start all, end all at one moment, and wait until each was started again."""
        programs = [
            Program(
                name=name,
                argv=("/bin/sh", "-c", SCRIPT),
                environment={"PATH": os.environ["PATH"]},
                vital=True,
            )
            for name in NAMES
        ]
        supervisor = Supervisor(programs, (), self._directory, self._probe, self._report)
        try:
            await supervisor.start()
            await asyncio.wait_for(supervisor.ready, 20)
            await until(lambda: all(log.path.exists() for log in supervisor.logs.values()))
            self._end("first")
            await asyncio.wait_for(self._again.wait(), 20)
        finally:
            await supervisor.close()
        return supervisor

    async def _probe(self, name: str) -> None:
        """Each of them answers at once."""

    def _report(self, name: str, text: str) -> None:
        if text.startswith("started"):
            self.pids[name] = int(text.rpartition(" ")[2])
            self.started[name] += 1
            if all(self.started[each] == 2 for each in NAMES):
                self._again.set()
        elif text.startswith("ended") and self.started[name] == 1:
            self._ended.add(name)
            if self._ended == {"first"}:
                self._end("second")
                self._end("third")
            elif self._ended == set(NAMES):
                self.held.append(os.open(os.devnull, os.O_RDONLY))

    def _end(self, name: str) -> None:
        os.kill(self.pids[name], signal.SIGTERM)
        if name != "first":
            os.waitid(os.P_PID, self.pids[name], os.WEXITED | os.WNOWAIT)


@pytest.fixture(name="scene")
def _scene(tmp_path: Path) -> tuple[Scene, Supervisor]:
    async def play() -> tuple[Scene, Supervisor]:
        scene = Scene(tmp_path)
        try:
            return scene, await scene.play()
        finally:
            for descriptor in scene.held:
                os.close(descriptor)

    return asyncio.run(play())


def test_programs_that_end_at_the_same_moment_are_all_started_again(scene: tuple[Scene, Supervisor]) -> None:
    """Each of three that ended together runs a second time, once."""
    assert scene[0].started == dict.fromkeys(NAMES, 2)


def test_last_words_reach_the_log(scene: tuple[Scene, Supervisor]) -> None:
    """What a program wrote just before it was seen to have ended is in its log."""
    logs = {name: scene[1].logs[name].path.read_text().split("\n")[:3] for name in NAMES}
    assert logs == {name: ["up", "last words", "up"] for name in NAMES}
