"""What does the probe sandbox try? Runs inside one, needs the standard library only, prints one JSON line.

Each attempt gives "ok" when it worked, else the name of what refused it. Arguments: directories of the host
that must not be there.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable

__all__ = ["MARK", "main"]

MARK = "canary: "
UNTRIED = "untried"
DOORS = "/run/sandbox/doors"
INSIDE = b"/run/sandbox/inside"
NUMBERS = {
    "x86_64": {"mount": 165, "unshare": 272, "bpf": 321, "keyctl": 250},
    "aarch64": {"mount": 40, "unshare": 97, "bpf": 280, "keyctl": 219},
}
CLONE3 = 435
IO_URING_SETUP = 425  # the same on every architecture
CLONE_NEWUSER = 0x10000000
GET_NO_NEW_PRIVS = 39  # of prctl; gVisor shows it nowhere else


def _attempt(act: Callable[[], object]) -> str:
    """Run it; a false answer is a refusal, too."""
    try:
        return "ok" if act() is not False else "refused"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    except Exception as error:  # noqa: BLE001 - whatever an attempt meets is its result
        return f"{UNTRIED}: {type(error).__name__}: {error}"


def _call(number: int, *arguments: int) -> None:
    """A system call; raises OSError where it is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *[ctypes.c_long(item) for item in arguments]) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _connect(address: tuple[str, int]) -> None:
    """Reach a TCP port somewhere."""
    socket.create_connection(address, 1).close()


def _loopback() -> None:
    """Serve and ask on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), 2).close()


def _write(directory: str) -> None:
    """Leave a file."""
    with tempfile.TemporaryFile(dir=directory) as stream:
        stream.write(b"x")


def _read(path: str) -> bool:
    """Read a byte."""
    with open(path, "rb") as stream:
        return bool(stream.read(1))


def _command_kernel() -> None:
    """Give the harmless command of sysrq: show its help in the kernel's log."""
    with open("/proc/sysrq-trigger", "w") as stream:
        stream.write("h")


def _thread() -> None:
    """Start one and wait for it."""
    worker = threading.Thread(target=lambda: None)
    worker.start()
    worker.join()


def _status() -> dict[str, str]:
    """Our own /proc/self/status."""
    with open("/proc/self/status") as stream:
        pairs = (line.partition(":") for line in stream)
        return {name: value.strip() for name, _, value in pairs}


def _sees_strangers() -> bool:
    """Is the first process that is seen another than the sandbox's own init?"""
    with open("/proc/1/cmdline", "rb") as stream:
        return INSIDE not in stream.read()


def main(hidden: list[str]) -> None:
    """Try everything and print what each attempt met."""
    numbers = NUMBERS[platform.machine()]
    zeros = ctypes.create_string_buffer(256)
    space = ctypes.addressof(zeros)
    mine = _status()
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd")  # gVisor names no ambient one
    attempts: dict[str, Callable[[], object]] = {
        "network interface": lambda: [name for _, name in socket.if_nameindex() if name != "lo"] != [],
        "connect public": lambda: _connect(("1.1.1.1", 80)),
        "connect metadata": lambda: _connect(("169.254.169.254", 80)),
        "vsock": lambda: socket.socket(40, socket.SOCK_STREAM).close(),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "io_uring": lambda: _call(IO_URING_SETUP, 1, space),
        "bpf": lambda: _call(numbers["bpf"], 0, space, 64),
        "keyring": lambda: _call(numbers["keyctl"], 0, -3, 0),
        "user namespace": lambda: _call(numbers["unshare"], CLONE_NEWUSER),
        "user namespace by clone3": _clone3,
        "mount": _mount,
        "capability": lambda: (
            any(int(mine[name], 16) for name in sets) or mine.get("CapAmb", "0").strip("0") != ""
        ),
        "new privileges": lambda: ctypes.CDLL(None).prctl(GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1,
        "unfiltered calls": lambda: mine["Seccomp"] != "2",
        "root user": lambda: "0" in mine["Uid"].split() + mine["Gid"].split(),
        "write root": lambda: _write("/usr"),
        "write doors": lambda: _write(DOORS),
        "sysrq": _command_kernel,
        "kernel memory": lambda: _read("/proc/kcore"),
        "other processes": _sees_strangers,
        "state directory": lambda: [path for path in hidden if os.path.exists(path)] != [],
        "thread": _thread,
        # The one program that is in every image.
        "process": lambda: subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True) is not None,
        "write tmp": lambda: _write("/tmp"),  # noqa: S108 - the sandbox's own
        "loopback": _loopback,
    }
    print(MARK + json.dumps({name: _attempt(act) for name, act in attempts.items()}), flush=True)  # noqa: T201


def _clone3() -> None:
    """Make a process in a user namespace of its own by the call whose flags no filter can read."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = (ctypes.c_uint64 * 11)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD)
    made = libc.syscall(CLONE3, ctypes.byref(words), ctypes.sizeof(words))
    if made == 0:
        os._exit(0)
    if made < 0:
        raise OSError(ctypes.get_errno(), "refused")
    os.waitpid(made, 0)


def _mount() -> None:
    """Mount a tmpfs over /tmp."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) < 0:
        raise OSError(ctypes.get_errno(), "refused")


if __name__ == "__main__":
    main(sys.argv[1:])
