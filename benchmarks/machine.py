"""On what machine, and how are its programs started, timed and ended?

Law: whatever is started here is ended here, by its own process id.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from .row import BenchmarkError

__all__ = [
    "LOOPBACK",
    "cpu_seconds",
    "end_of",
    "facts",
    "first_of_all",
    "free_port",
    "program",
    "put_first",
    "until_it_listens",
]

LOOPBACK = "127.0.0.1"
_STARTS_WITHIN = 180.0
_ENDS_WITHIN = 20.0


def facts(rounds: int, seed: int) -> dict[str, str]:
    """Date, machine and how the run was done."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processors": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "load before (1, 5, 15 min)": load,
        "rounds": str(rounds),
        "seed": str(seed),
    }


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


def cpu_seconds(processes: Iterable[int]) -> float:
    """Processor time that these processes have used so far, their ended threads included."""
    # The kernel's clock of another process (clock_getcpuclockid): exact, where /proc counts hundredths.
    return sum(time.clock_gettime((~process << 3) | 2) for process in processes)


@asynccontextmanager
async def program(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program while the block lasts, its output in `log`."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            cwd=log.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _ENDS_WITHIN)
            except asyncio.TimeoutError:
                process.kill()
                await process.wait()


async def until_it_listens(
    place: int | str, process: asyncio.subprocess.Process, log: Path, within: float = _STARTS_WITHIN
) -> None:
    """Wait until a port or a unix socket answers. Raises BenchmarkError with the end of the log."""
    deadline = time.monotonic() + within
    while process.returncode is None and time.monotonic() < deadline:
        try:
            opened = (
                asyncio.open_connection(LOOPBACK, place)
                if isinstance(place, int)
                else asyncio.open_unix_connection(place)
            )
            _, writer = await opened
        except OSError:
            await asyncio.sleep(0.05)  # a foreign program has no other sign than its socket
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise BenchmarkError(f"A program did not start; the end of its log:\n{end_of(log)}")


def end_of(log: Path) -> str:
    """The last lines that a program wrote."""
    return log.read_text(errors="replace")[-2000:]


def put_first(processes: Iterable[int]) -> None:
    """Let these processes and their children run before everybody else who wants a processor.

    For what is timed while others work on purpose: then it waits for what they ask of it and not for a
    processor that they compute on.
    """
    for process in processes:
        _admit_to_first(process)
        tasks = Path(f"/proc/{process}/task")
        for task in tasks.iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))
            put_first(int(child) for child in (task / "children").read_text().split())


@contextmanager
def first_of_all() -> Iterator[None]:
    """We, and what we start meanwhile, run before all others, as far as we may say so."""
    if os.geteuid() != 0:
        yield
        return
    try:
        put_first([os.getpid()])
    except PermissionError as error:
        # A container may have no share of such time.
        print(f"  others may run before us: {error}", file=sys.stderr)
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))


def _admit_to_first(process: int) -> None:
    # Groups of version 1 have a share of such time; a new one's is nothing.
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        share = Path(f"/sys/fs/cgroup/{controllers}{group}/cpu.rt_runtime_us")
        if group != "/" and "cpu" in controllers.split(",") and share.exists():
            share.write_text("450000")  # microseconds of each second
