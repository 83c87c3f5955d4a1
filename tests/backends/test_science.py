"""Do the packages of data scientists work under the system call filter and the limits?"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from jupyter_sandbox_spawner.models import Resources
from tests.backends.conftest import UNDER_EACH_RUNTIME
from tests.backends.tiny import OciBench

pytestmark = [
    pytest.mark.lane("root", "cgroup", "science"),
    pytest.mark.timeout(300),
    UNDER_EACH_RUNTIME,
]
Control = Callable[[str, bool], None]
ROOM = Resources(cpu=2.0, memory=2 << 30, pids=256, tmpfs=64 << 20, tmpfs_inodes=5000, shm=256 << 20)

# One line a try, so that one failure hides no other. Packages are the system's; pid 1 runs without site.
PRELUDE = """
import json, os, sys
sys.path.append("/usr/lib/python3/dist-packages")
os.environ["HOME"] = "/home/jovyan"
found = {}
def attempt(name, act):
    try:
        found[name] = act()
    except BaseException as error:
        found[name] = f"{type(error).__name__}: {error}"
def square(number):
    return number * number
"""
REPORT = '\nprint("found " + json.dumps(found), flush=True)\n'


async def play(oci: OciBench, body: str) -> dict[str, object]:
    """What each attempt gave."""
    status, text = await oci.play(PRELUDE + body + REPORT, resources=ROOM)
    lines = [line for line in text.splitlines() if line.startswith("found ")]
    assert lines, f"{status}\n{text}"
    found: dict[str, object] = json.loads(lines[-1].removeprefix("found "))
    return found


async def test_numbers_and_tables(oci: OciBench) -> None:
    """numpy and scipy compute on several threads, pandas groups and writes and reads files."""
    body = """
def linear_algebra():
    import numpy
    matrix = numpy.arange(250000.0).reshape(500, 500)
    return float((matrix @ numpy.eye(500) - matrix).sum())
def optimise():
    from scipy import optimize
    return round(float(optimize.minimize(lambda x: (x[0] - 3) ** 2, [0.0]).x[0]), 3)
def transform():
    import numpy, scipy.fft
    return round(float(abs(scipy.fft.ifft(scipy.fft.fft(numpy.arange(64.0), workers=2)).real.sum())), 3)
def tables():
    import pandas
    frame = pandas.DataFrame({"group": ["a", "b", "a"], "value": [1, 2, 3]})
    frame.to_csv("/tmp/table.csv", index=False)
    return int(pandas.read_csv("/tmp/table.csv").groupby("group").value.sum()["a"])
for act in (linear_algebra, optimise, transform, tables):
    attempt(act.__name__, act)
"""
    found = await play(oci, body)
    assert found == {"linear_algebra": 0.0, "optimise": 3.0, "transform": 2016.0, "tables": 4}


async def test_learning(oci: OciBench) -> None:
    """torch learns on several threads and loads data by worker processes through shared memory."""
    body = """
def learn():
    import torch
    torch.set_num_threads(2)
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64).unsqueeze(1)
    model = torch.nn.Linear(1, 1)
    steps = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(200):
        steps.zero_grad()
        loss = ((model(x) - (2 * x + 1)) ** 2).mean()
        loss.backward()
        steps.step()
    return bool(loss.item() < 1e-3)
def load():
    import torch
    data = torch.utils.data.TensorDataset(torch.arange(64))
    batches = torch.utils.data.DataLoader(data, batch_size=16, num_workers=2)
    return sum(int(batch[0].sum()) for batch in batches)
attempt("learn", learn)
attempt("load", load)
"""
    assert await play(oci, body) == {"learn": True, "load": sum(range(64))}


async def test_processes_and_threads(oci: OciBench) -> None:
    """Pools of forked and spawned processes, threads, subprocesses, shared memory and fork work."""
    body = """
import asyncio, concurrent.futures, multiprocessing, subprocess, threading
from multiprocessing import shared_memory
def forked():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(square, range(10)))
def queues():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=lambda: queue.put("from the child"))
    worker.start()
    answer = queue.get(timeout=30)
    worker.join()
    return answer
def threads():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(pool.map(square, range(10)))
def shared():
    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    block.buf[:5] = b"hello"
    other = shared_memory.SharedMemory(block.name)
    answer = bytes(other.buf[:5]).decode()
    other.close(); block.close(); block.unlink()
    return answer
def shell():
    return subprocess.run("echo one | tr a-z A-Z", shell=True, capture_output=True, text=True).stdout.strip()
async def _echo():
    process = await asyncio.create_subprocess_exec("echo", "two", stdout=subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()
def fork():
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
for act in (forked, queues, threads, shared, shell, fork):
    attempt(act.__name__, act)
attempt("asynchronous", lambda: asyncio.run(_echo()))
"""
    expected = {
        "forked": 285,
        "queues": "from the child",
        "threads": 285,
        "shared": "hello",
        "shell": "ONE",
        "fork": 7,
        "asynchronous": "two",
    }
    assert await play(oci, body) == expected


async def test_the_tries_can_fail(oci: OciBench, control: Control) -> None:
    """What the filter refuses is told as its error, so that the tests above could not pass unseen."""
    found = await play(oci, 'attempt("refused", lambda: os.mount if False else os.chroot("/tmp"))\n')
    control("an attempt that works gives its value", (await play(oci, 'attempt("x", lambda: 1)'))["x"] == 1)
    assert str(found["refused"]).startswith("PermissionError")
