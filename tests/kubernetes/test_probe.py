"""Does the probe find out whether the number of processes has an end, and where its node is by IPv6?"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.launcher import pod_probe
from tests.lanes import CHECKOUT

TRIES = f"""
import os, resource, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from jupyter_sandbox_spawner.launcher import pod_probe
pod_probe.MOST = 500
room = int(sys.argv[1])
if room:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
print(pod_probe._endless(), len(os.listdir("/proc/self/task")), flush=True)
os._exit(0)
"""


def tries(room: int) -> tuple[str, int]:
    """What it finds with so much room for stacks (0: endless), and how many threads it had then."""
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(room)], capture_output=True, text=True, check=True, timeout=60
    )
    found, threads = done.stdout.split()
    return found, int(threads)


def test_processes_without_end() -> None:
    """Where nothing stops it, it stops itself; where something does, it says so."""
    assert tries(0) == ("ok", 501)
    found, threads = tries(16 << 20)
    assert found == "refused"
    assert 1 < threads < 500


def test_more_than_any_limit_of_a_kubelet() -> None:
    """It tries more than sandboxes of any profile may have."""
    assert pod_probe.MOST > 4096


NOTHING = "0" * 32
HOPS = (NOTHING, "fe80" + "0" * 27 + "1", "fd00" + "0" * 27 + "7")
ROUTES = "".join(
    f"{NOTHING} 00 {NOTHING} 00 {hop} 00000400 00000001 00000000 00000003 eth0\n"
    for hop in (*HOPS, "fe80", "z" * 32)
)
NEIGHBOURS = """\
IP address       HW type     Flags       HW address            Mask     Device
10.244.0.7       0x1         0x0         <incomplete>          *        eth0
10.244.0.8       0x1         0x2         ee:ee:ee:ee:ee:ee
odd
169.254.1.1      0x1         0x2         ee:ee:ee:ee:ee:ee     *        eth0
10.244.0.9       0x1         0x0         00:00:00:00:00:00     *        eth0
"""


def test_where_the_node_is_beside_us(tmp_path: Path) -> None:
    """The next hops of its routes, and what a neighbour calls itself by IPv6; odd lines are none."""
    assert pod_probe._beside_us(str(tmp_path)) == []
    (tmp_path / "ipv6_route").write_text(ROUTES)
    (tmp_path / "arp").write_text(NEIGHBOURS)
    assert pod_probe._beside_us(str(tmp_path)) == [
        "fe80::1%eth0",
        "fd00::7",
        "fe80::ecee:eeff:feee:eeee%eth0",
    ]
    assert isinstance(pod_probe._beside_us(), list)


def test_one_address_of_the_node_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reached at any it is reached; where none answers it is not; without any it is absent."""
    assert pod_probe._node_at([]) == "absent"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(pod_probe, "KUBELET", listener.getsockname()[1])
        assert pod_probe._node_at(["fe80::1%none0", "127.0.0.1"]) == "ok"
        assert pod_probe._node_at(["fe80::1%none0"]) not in ("ok", "absent")
