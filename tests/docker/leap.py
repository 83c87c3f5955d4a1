"""`python -m tests.docker.leap DAEMON DIRECTORY CLOCK HOURS`: what if the clock of a backend leaps?

Started with libfaketime, whose shift of the wall clock is written into CLOCK; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend

from .bench import DockerBench
from .daemon import Daemon

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("hello from inside", flush=True)
time.sleep(600)
"""


async def play(daemon: Daemon, directory: Path, clock: Path, hours: int) -> dict[str, Any]:
    """Start, leap, look, wait in vain, end by itself, stop, start again; with seconds that are real."""
    found: dict[str, Any] = {}
    bench = DockerBench(directory, daemon, {})
    # Not the bench's own end, which waits for programs: libfaketime breaks time.sleep after a leap.
    async with DockerBackend.opened(bench.docker_site) as backend:
        bench.backend = backend
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


def main() -> None:
    """Play it with the arguments of the command."""
    daemon, directory, clock, hours = sys.argv[1:]
    print(json.dumps(asyncio.run(play(Daemon(Path(daemon)), Path(directory), Path(clock), int(hours)))))


if __name__ == "__main__":
    main()
