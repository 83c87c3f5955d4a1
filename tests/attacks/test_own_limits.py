"""Does a user in a real sandbox read the truth about her own limits, in every way there is to ask?"""

from __future__ import annotations

import json

from tests.support.house import House

BLOCKED = 'import urllib.request\nurllib.request.urlopen("https://blocked.example/", timeout=10)'


def test_the_magic_tells_profile_quotas_and_health(house: House) -> None:
    """`%sandbox` shows what the launcher measures and the profile allows; the doctor finds nothing wrong."""
    house.server("alice")
    status = house.run("alice", "status = %sandbox status\nprint(status)")
    assert "alice, profile small" in status.stdout, status
    assert " of 768.0 MB" in status.stdout
    assert " of 128" in status.stdout
    findings = house.run("alice", "findings = %sandbox doctor\nprint(findings)\nprint('fine', findings.fine)")
    assert findings.stdout.endswith("fine True\n"), findings


def test_a_terminal_is_told_the_same(house: House) -> None:
    """`jupyter sandbox ttl --json` in the sandbox's own shell gives a document and status 0."""
    house.server("alice")
    code = """
import subprocess
done = subprocess.run(["jupyter", "sandbox", "ttl", "--json"], capture_output=True, text=True)
print(done.stdout if done.returncode == 0 else done)
"""
    seen = house.run("alice", code)
    assert json.loads(seen.stdout)["extension"]["possible"] in (True, False), seen


def test_a_blocked_cell_says_why_and_egress_lists_it(house: House) -> None:
    """The cell's error is followed by one line, and the denial is in the list that the user can read."""
    house.server("alice")
    blocked = house.run("alice", BLOCKED)
    assert not blocked.ok
    assert "Blocked by sandbox: blocked.example" in blocked.stderr, blocked
    assert blocked.stderr.count("see %sandbox egress") == 1
    listed = """
import time, jupyter_sandbox
deadline = time.monotonic() + 20  # control reads the gateway's events a moment later
while time.monotonic() < deadline:
    found = [item for item in jupyter_sandbox.egress().denied if item.host == "blocked.example"]
    if found:
        break
    time.sleep(0.1)
print(found[0].port, found[0].code)
"""
    assert house.run("alice", listed).stdout == "443 egress.not_allowed\n"


def test_out_of_memory_the_kernel_ends_before_the_server(house: House) -> None:
    """The kernel's score is higher than that of pid 1 and of the server, which hold the page."""
    code = """
import os
print([int(open(f"/proc/{who}/oom_score_adj").read()) for who in ("self", 1, os.getppid())])
"""
    scores = house.run("alice", code)
    own, *others = json.loads(scores.stdout)
    assert own == 500
    assert max(others) < 500
