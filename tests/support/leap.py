"""`python -m tests.support.leap DAEMON DIRECTORY CLOCK HOURS`: what if the clock of a backend leaps?

DAEMON is a Docker daemon's directory, "" for the local backend. Started with libfaketime, whose shift of the
wall clock is written into CLOCK; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend
from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from tests.backends.tiny import OciBench
from tests.docker.bench import DockerBench
from tests.docker.daemon import Daemon
from tests.lanes import CHECKOUT, FAKETIME

__all__ = ["a_leap_ends_nothing"]

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("hello from inside", flush=True)
time.sleep(600)
"""


@asynccontextmanager
async def opened(daemon: str, directory: Path) -> AsyncIterator[OciBench]:
    """One of the backends with its bench.

    Not the bench's own end, which waits for programs: libfaketime breaks time.sleep after a leap.
    """
    if daemon:
        docker = DockerBench(directory, Daemon(Path(daemon)), {})
        async with DockerBackend.opened(docker.docker_site) as docker.backend:
            yield docker
    else:
        local = OciBench(directory)
        async with OciBackend.opened(local.site) as local.backend:
            yield local


async def play(daemon: str, directory: Path, clock: Path, hours: int) -> dict[str, Any]:
    """Start, leap, look, wait in vain, end by itself, stop, start again; with seconds that are real."""
    found: dict[str, Any] = {}
    async with opened(daemon, directory) as bench:
        backend = bench.backend
        runs, stubborn = await bench.running(), await bench.running(bench.spec(main=STUBBORN))
        before, wall = await backend.status(runs.id), time.time()
        await asyncio.to_thread(clock.write_text, f"{hours:+d}h")
        found["leapt"] = time.time() - wall
        found["same"] = await backend.status(runs.id) == before
        began = time.monotonic()
        found["early"] = await backend.ended(runs.id, 1.0) is not None
        found["waited"] = time.monotonic() - began
        await bench.end(runs, 6)
        ended = await backend.ended(runs.id, 20)
        found["code"] = ended.exit_code if ended else None
        began = time.monotonic()
        found["reason"] = (await backend.stop(stubborn.id, 1.0)).reason
        found["grace"] = time.monotonic() - began
        again = await backend.status((await bench.running()).id)
        found["since"] = again.started_at.timestamp() - time.time() if again and again.started_at else None
        found["events"] = [event.kind for event in await backend.events(0, 1) if event.sandbox == runs.id]
        for item in await backend.inventory():
            await backend.remove(item.id)
    return found


def a_leap_ends_nothing(daemon: str, top: Path, hours: int, control: Callable[[str, bool], None]) -> None:
    """Nothing ends by it, waits last as long as ever, ends are told, a new start has the new time."""
    clock = top / "clock"
    clock.write_text("+0h")
    # The clock alone: what counts seconds since the boot is shifted by nobody, root neither.
    settings = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    played = subprocess.run(
        [sys.executable, "-m", "tests.support.leap", daemon, str(top), str(clock), str(hours)],
        cwd=CHECKOUT,
        env=os.environ | settings | {"LD_PRELOAD": FAKETIME},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert played.returncode == 0, played.stderr
    found = json.loads(played.stdout)
    control("the clock leapt", abs(found["leapt"] - hours * 3600) < 60)
    assert found["same"]
    assert (found["early"], found["code"], found["reason"]) == (False, 6, "stopped on request")
    assert 0.9 < found["waited"] < 10
    assert 0.9 < found["grace"] < 20
    assert -20 < found["since"] <= 0
    assert found["events"] == ["sandbox.pending", "sandbox.running", "sandbox.stopped"]


def main() -> None:
    """Play it with the arguments of the command."""
    daemon, directory, clock, hours = sys.argv[1:]
    print(json.dumps(asyncio.run(play(daemon, Path(directory), Path(clock), int(hours)))))


if __name__ == "__main__":
    main()
