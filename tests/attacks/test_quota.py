"""Can one person use up what all share? Attacks Q01 to Q04, by bob, with alice as the neighbour."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub_config.demo.kernel import Output
from hub_config.demo.visitor import Refusal
from jupyter_sandbox_spawner.errors import AnswerError
from tests.support.backend_choice import ON_GVISOR
from tests.support.house import House

Control = Callable[[str, bool], None]
MEMORY = 768 << 20
PIDS = 128
ROUNDS = 2 * MEMORY >> 20  # of 1 MiB


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


FORKS = """
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
"""
THREADS = """
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
"""


def _ends_by_itself(house: House, bomber: str, control: Control) -> None:
    """gVisor's kernel cannot go on without a task of the host: that sandbox ends, and says why."""
    seen = [event.seq for event in house.ask_launcher(lambda client: client.events(0, 1))]
    with pytest.raises(Refusal):
        house.attack(bomber, FORKS)
    told = house.ask_launcher(lambda client: client.events(seen[-1], 30))
    # Whichever comes first: a copy of a kernel is large.
    assert str(told[-1].detail["reason"]).startswith(("too many processes for gVisor", "out of memory"))
    control("the neighbour starts a kernel", _neighbour_works(house))


@pytest.mark.proves("Q01")
def test_q01_a_fork_bomb_stops_at_the_limit(house: House, bomber: str, control: Control) -> None:
    """Forks fail at the profile's number of processes, or (gVisor) end the sandbox; the neighbour goes on."""
    if ON_GVISOR:
        _ends_by_itself(house, bomber, control)
        return
    seen = house.attack(bomber, FORKS)
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


def _threads_are_none_of_the_hosts(house: House, bomber: str, control: Control) -> None:
    """gVisor keeps threads that sleep for itself; where many wake at once, that sandbox may end."""
    seen = [event.seq for event in house.ask_launcher(lambda client: client.events(0, 1))]
    sandbox = house.server(bomber)
    try:
        found = house.attack(bomber, THREADS)
        control("one thread can be started", found["one thread"]["ok"])
    except (Refusal, asyncio.TimeoutError):
        told = house.ask_launcher(lambda client: client.events(seen[-1], 30))
        ends = [str(event.detail["reason"]) for event in told if event.sandbox == sandbox]
        assert ends
        assert ends[-1].startswith(("too many processes for gVisor", "out of memory"))
    control("the neighbour starts a kernel", _neighbour_works(house))


@pytest.mark.proves("Q01")
def test_q01_a_thread_bomb_stops_at_the_limit(house: House, bomber: str, control: Control) -> None:
    """Threads count like processes, or (gVisor) are no tasks of the host: the neighbour goes on."""
    if ON_GVISOR:
        _threads_are_none_of_the_hosts(house, bomber, control)
    else:
        seen = house.attack(bomber, THREADS)
        control("one thread can be started", seen["one thread"]["ok"])
        assert seen["bomb"]["error"] == "RuntimeError", seen["bomb"]
        assert 16 < seen["count"]["value"] < PIDS
    sandbox = house.server(bomber)
    usage = house.ask_launcher(lambda client: client.usage(sandbox))
    assert usage.pids is not None
    assert usage.pids <= PIDS
    control("the neighbour starts a kernel", _neighbour_works(house))


ALLOCATIONS = {
    "one process": f"b = b'x' * {2 * MEMORY}",
    "memfd": f"import os; f = os.memfd_create('m'); [os.write(f, b'x' * (1 << 20)) for _ in range({ROUNDS})]",
    "twenty processes": f"b = b'x' * {2 * MEMORY // 20}; print(len(b), flush=True); input()",
}


@pytest.mark.proves("Q02")
@pytest.mark.parametrize(("way", "processes"), [("one process", 1), ("memfd", 1), ("twenty processes", 20)])
def test_q02_memory_ends_inside_only(
    house: House, bomber: str, way: str, processes: int, control: Control
) -> None:
    """Twice the memory is killed inside, never held; the neighbour goes on and the bomber can start again."""
    small = house.attack(
        bomber,
        """
code = "b = b'x' * (8 << 20)"
attempt("small", lambda: subprocess.run([sys.executable, "-c", code]).returncode)
""",
    )
    control("a small allocation succeeds", small["small"].get("value") == 0)
    sandbox = house.server(bomber)
    killed, peak = _bomb(house, bomber, sandbox, ALLOCATIONS[way], processes)
    assert killed
    # The kernel books a page before it refuses the next.
    assert peak is None or peak <= MEMORY + (1 << 20)
    control("the neighbour starts a kernel", _neighbour_works(house))
    control("the bomber's server runs again", bool(house.server(bomber)))


def _bomb(house: House, name: str, sandbox: str, code: str, processes: int) -> tuple[bool, int | None]:
    """Was something in the sandbox killed for memory, and how much was held at most?

    The kernel picks the victim inside: the bomb, or what holds more than it (memfd pages count for nobody).
    """
    try:
        seen = house.attack(
            name,
            f"""
code = {code!r}
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
running = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range({processes})]
told = [process.stdout.readline() for process in running]  # each holds its memory, or is dead

def end(process):
    process.communicate(b"go")
    return process.returncode
attempt("bomb", lambda: [end(process) for process in running])
""",
            timeout=120,
        )
        killed = -9 in seen["bomb"]["value"]
    except (Refusal, asyncio.TimeoutError):
        killed = True  # the notebook itself was the victim
    try:
        usage = house.ask_launcher(lambda client: client.usage(sandbox))
    except AnswerError as error:
        if error.code != "sandbox.unknown":
            raise
        return killed, None
    return killed and usage.oom_kills != 0, usage.memory_peak


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


@pytest.mark.lane("root", "loop")
@pytest.mark.proves("Q03", "Q04")
def test_q03_a_home_ends_at_its_quota(house: House, control: Control) -> None:
    """Where the profile gives a home 256 MB, bytes and files end there; the work is there next time."""
    if house.sandbox("bob") is not None:
        house.stop("bob")
    house.server("bob", "boxed")
    host = shutil.disk_usage(house.site.homes_dir).free
    try:
        seen = house.attack(
            "bob",
            """
import shutil
os.chdir(os.path.expanduser("~"))
open("work.txt", "w").write("hours")
attempt("bytes", lambda: open("large", "wb", buffering=0).write(b"x" * (30 << 20)))
def more():
    with open("larger", "wb", buffering=0) as stream:
        for _ in range(400):
            stream.write(b"x" * (1 << 20))
attempt("more", more)
for name in ("large", "larger"):
    os.unlink(name)
def files():
    for number in range(200_000):
        open(f"file-{number}", "w").close()
attempt("files", files)
attempt("count", lambda: len(os.listdir(".")))
command = ["jupyter", "sandbox", "status"]
attempt("told", lambda: subprocess.run(command, capture_output=True, text=True).stdout)
""",
            timeout=120,
        )
        control("30 MB can be written", seen["bytes"]["ok"])
        control("many files can be made", seen["count"]["value"] > 1000)
        assert (seen["more"]["errno"], seen["files"]["errno"]) == ("ENOSPC", "ENOSPC")
        assert "Home" in seen["told"]["value"]
        assert host - shutil.disk_usage(house.site.homes_dir).free < 512 << 20
        house.stop("bob")
        mounts = Path("/proc/mounts").read_text().splitlines()
        assert not [line for line in mounts if house.site.homes_dir in line]
        house.server("bob", "boxed")
        again = house.attack("bob", 'attempt("work", lambda: open(os.path.expanduser("~/work.txt")).read())')
        assert again["work"].get("value") == "hours"
        house.run("bob", "import glob, os\nfor name in glob.glob('file-*'): os.unlink(name)")
    finally:
        house.stop("bob")
