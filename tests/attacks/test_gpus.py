"""Can one person take every GPU or every core? Attack Q08, by bob, with alice beside him."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from hub_config.demo.visitor import Refusal
from tests.support.backend_choice import ON_GVISOR
from tests.support.gpus import ThreeGpus, gpu_id
from tests.support.house import House

Control = Callable[[str, bool], None]
LOOK = """
os.environ["NVIDIA_VISIBLE_DEVICES"] = "all"
names = [f"/dev/nvidia{number}" for number in range(3)]
attempt("seen", lambda: sorted(name for name in names if os.path.lexists(name)))
for name in names:
    attempt(f"open {name}", lambda: os.close(os.open(name, os.O_RDWR)))
code = "import glob, os; print(len(glob.glob('/dev/nvidia*')), os.environ['NVIDIA_VISIBLE_DEVICES'])"
attempt("child", lambda: subprocess.check_output([sys.executable, "-c", code], text=True).strip())
for minor in MINORS:
    attempt(f"mknod {minor}", lambda: os.mknod(f"/tmp/n{minor}", 0o20666, os.makedev(10, minor)))
"""
SPIN = """
def spin():
    code = "import time; end = time.monotonic() + 4\\nwhile time.monotonic() < end: pass"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    return [process.wait() for process in running]
attempt("spin", spin)
"""


@pytest.fixture
def stopped(house: House) -> Iterator[House]:
    """Nobody has a server before the test, nor after it."""
    for name in ("alice", "bob"):
        if house.sandbox(name) is not None:
            house.stop(name)
    yield house
    for name in ("alice", "bob"):
        if house.sandbox(name) is not None:
            house.stop(name)


def _given(house: House, name: str) -> str:
    sandbox = house.sandbox(name)
    assert sandbox is not None
    return sandbox.labels["gpus"]


@pytest.mark.proves("Q08")
def test_q08_only_the_allocated_gpu(stopped: House, gpus: ThreeGpus | None, control: Control) -> None:
    """Each of two people with a GPU sees and opens that one alone, whatever variable they set; where none
    can be given (gVisor, an ordinary user) the server does not start, and it is said why."""
    if gpus is None or ON_GVISOR:
        with pytest.raises(Refusal, match=r"gVisor|GPU"):
            stopped.server("bob", "gpu")
        control("without a GPU a server starts", bool(stopped.server("bob")))
        return
    for name in ("alice", "bob"):
        stopped.server(name, "gpu")
    assert _given(stopped, "alice") != _given(stopped, "bob")
    for name in ("alice", "bob"):
        mine = next(number for number in range(3) if _given(stopped, name) == gpu_id(number))
        told = stopped.run(name, "import os; print(os.environ['NVIDIA_VISIBLE_DEVICES'])")
        assert told.stdout.strip() == gpu_id(mine)
        seen = stopped.attack(name, LOOK.replace("MINORS", json.dumps(gpus.minors)))
        control("the allocated GPU can be opened", seen[f"open /dev/nvidia{mine}"]["ok"])
        assert seen["seen"]["value"] == [f"/dev/nvidia{mine}"]
        assert seen["child"]["value"] == "1 all"
        others = [seen[f"open /dev/nvidia{number}"] for number in range(3) if number != mine]
        assert [found["errno"] for found in others] == ["ENOENT", "ENOENT"]
        assert {seen[f"mknod {minor}"]["errno"] for minor in gpus.minors} == {"EPERM"}


@pytest.mark.proves("Q08")
def test_q08_spinning_on_every_core(house: House, control: Control) -> None:
    """Four processes that spin get no more than the profile's one core, and the neighbour still computes."""
    house.server("alice")
    sandbox = house.server("bob")
    house.kernel("bob")
    before, start = house.ask_launcher(lambda client: client.usage(sandbox)).cpu_seconds, time.monotonic()
    seen = house.attack("bob", SPIN)
    after, seconds = house.ask_launcher(lambda client: client.usage(sandbox)).cpu_seconds, time.monotonic()
    control("all four have spun", seen["spin"].get("value") == [0] * 4)
    control("the neighbour computes", house.run("alice", "print(6 * 7)").stdout.strip() == "42")
    told = house.ask_launcher(lambda client: client.capabilities())
    if not told.limits.get("cpu"):  # an ordinary user without a cgroup of one's own
        assert any("does not limit CPU" in text for text in told.missing)
        return
    assert before is not None
    assert after is not None
    assert after - before <= 1.15 * (seconds - start)
    control("they were busy", after - before > 0.3 * seen["spin"]["seconds"])
