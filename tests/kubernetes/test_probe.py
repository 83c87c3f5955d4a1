"""Does the probe find out whether the number of processes has an end, and come to an end itself?"""

from __future__ import annotations

import subprocess
import sys

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
