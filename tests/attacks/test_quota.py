"""Can one person use up what all share? Attacks Q01 and Q02, by bob, with alice as the neighbour."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hub_config.demo.kernel import Output
from tests.support.house import House

Control = Callable[[str, bool], None]
MEMORY = 768 << 20
PIDS = 128


@pytest.fixture
def bomber(house: House) -> Iterator[str]:
    """Bob with a fresh server; what he did to it ends with the test."""
    house.server("alice")
    house.server("bob")
    yield "bob"
    house.stop("bob")


def _neighbour_works(house: House) -> bool:
    """Can alice start a new kernel and compute, while bob's sandbox is as it is?"""

    async def fresh() -> Output:
        kernel = await house.new_kernel("alice")
        try:
            return await kernel.execute("print(6 * 7)", timeout=60)
        finally:
            await kernel.__aexit__(None, None, None)

    return house.wait(fresh()).stdout.strip() == "42"


@pytest.mark.proves("Q01")
def test_q01_a_fork_bomb_stops_at_the_limit(house: House, bomber: str, control: Control) -> None:
    """Forks fail at the profile's number of processes and the neighbour goes on."""
    seen = house.attack(
        bomber,
        """
import signal
children = []

def bomb():
    for _ in range(3000):
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
        children.append(child)
attempt("one child", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1])
attempt("bomb", bomb)
""",
    )
    control("one process can be started", seen["one child"].get("value") == 0)
    control("the neighbour starts a kernel during the bomb", _neighbour_works(house))
    assert seen["bomb"].get("errno") == "EAGAIN", seen["bomb"]
    end = house.attack(
        bomber,
        """
attempt("count", lambda: len(children))
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
attempt("after", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1])
""",
    )
    assert 16 < end["count"]["value"] < PIDS
    control("the bomber's sandbox recovers", end["after"].get("value") == 0)


@pytest.mark.proves("Q01")
def test_q01_a_thread_bomb_stops_at_the_limit(house: House, bomber: str, control: Control) -> None:
    """Threads count like processes: starting them fails at the limit and the neighbour goes on."""
    seen = house.attack(
        bomber,
        """
import threading
release, threads = threading.Event(), []

def bomb():
    for _ in range(3000):
        thread = threading.Thread(target=release.wait, daemon=True)
        thread.start()
        threads.append(thread)

def one():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
attempt("one thread", one)
attempt("bomb", bomb)
attempt("count", lambda: len(threads))
release.set()
""",
    )
    control("one thread can be started", seen["one thread"]["ok"])
    assert seen["bomb"]["error"] == "RuntimeError", seen["bomb"]
    assert 16 < seen["count"]["value"] < PIDS
    control("the neighbour starts a kernel", _neighbour_works(house))


@pytest.mark.proves("Q02")
def test_q02_memory_ends_inside_only(house: House, bomber: str, control: Control) -> None:
    """Twice the memory, by one process, by twenty and by memfd, is killed inside; the neighbour goes on."""
    seen = house.attack(
        bomber,
        f"""
def child(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode

def twenty():
    code = "b = b'x' * {2 * MEMORY // 20}; import time; time.sleep(8)"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(20)]
    return [process.wait() for process in running]
memfd = "import os; f = os.memfd_create('m'); "
memfd += "[os.write(f, b'x' * (1 << 20)) for _ in range({2 * MEMORY >> 20})]"
attempt("small", lambda: child("b = b'x' * (8 << 20)"))
attempt("one process", lambda: child("b = b'x' * {2 * MEMORY}"))
attempt("memfd", lambda: child(memfd))
attempt("twenty", twenty)
""",
        timeout=180,
    )
    control("a small allocation succeeds", seen["small"].get("value") == 0)
    assert seen["one process"]["value"] == -9, seen
    assert seen["memfd"]["value"] == -9, seen
    assert -9 in seen["twenty"]["value"], seen
    control("the neighbour starts a kernel", _neighbour_works(house))
    sandbox = house.sandbox(bomber)
    assert sandbox is not None
    usage = house.ask_launcher(lambda client: client.usage(sandbox.id))
    assert usage.memory_peak is None or usage.memory_peak <= MEMORY
    assert usage.oom_kills is None or usage.oom_kills >= 3


@pytest.mark.proves("Q02")
def test_q02_tmpfs_ends_at_its_size(house: House, bomber: str, control: Control) -> None:
    """/tmp and /dev/shm give ENOSPC at their size, and the neighbour goes on."""
    seen = house.attack(
        bomber,
        f"""
def fill(place):
    path = place + "/fill"
    try:
        with open(path, "wb") as stream:
            for _ in range({2 * MEMORY >> 20}):
                stream.write(b"x" * (1 << 20))
    finally:
        os.unlink(path)

def small(place):
    with open(place + "/small", "wb") as stream:
        stream.write(b"x" * 4096)
    os.unlink(place + "/small")
for place in ("/tmp", "/dev/shm", "/run/jupyter"):
    attempt(f"small {{place}}", lambda: small(place))
    attempt(f"fill {{place}}", lambda: fill(place))
""",
        timeout=120,
    )
    control("small files fit", all(seen[f"small {place}"]["ok"] for place in ("/tmp", "/dev/shm")))
    assert {found.get("errno") for name, found in seen.items() if name.startswith("fill")} == {"ENOSPC"}
    control("the neighbour starts a kernel", _neighbour_works(house))
