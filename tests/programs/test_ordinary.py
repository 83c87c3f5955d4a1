"""What does somebody without root get: a refusal that helps, or a whole site, and a way to the homes?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lanes import CHECKOUT, VENVS
from tests.programs.admin_run import CONFIGURATION
from tests.support.ordinary import OrdinaryUser, ordinary_user

pytestmark = [pytest.mark.lane("root", "rootless", "runc", "npm"), pytest.mark.timeout(300)]
# A server runs; then its namespace's holder and the launcher die at once.
LOSE_THE_NAMESPACE = """
import asyncio, json, os, signal
from pathlib import Path
from hub_config.demo.endings import ending
from hub_config.demo.programs import Programs
from hub_config.demo.running import running_site

os.umask(0o077)  # as careful people have it

async def play():
    async with running_site() as running, running.visitor("alice") as alice:
        await alice.login()
        await alice.start("cpu-small")
        record = json.loads(Path(running.run_dir, "launcher/namespace.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)
        await Programs(running.log_file).kill(["launcher"])
        why = await ending(alice, 90)
        await alice.start("cpu-small")
        page = await alice.open(alice.server("lab"))
    print(json.dumps({"why": why, "page": page.status, "left": running.after.found()}))
asyncio.run(play())
"""
ADMIN = ("-m", "jupyter_sandbox_spawner.admin")


@pytest.fixture(scope="module")
def user() -> Iterator[OrdinaryUser]:
    """An ordinary user with subordinate uids."""
    with ordinary_user() as made:
        yield made


@pytest.fixture
def without_subuids(user: OrdinaryUser) -> Iterator[OrdinaryUser]:
    """The same user while /etc/subuid has no line for them."""
    first, last = _range(user)
    subprocess.run(["usermod", "--del-subuids", f"{first}-{last}", user.name], check=True)
    yield user
    subprocess.run(["usermod", "--add-subuids", f"{first}-{last}", user.name], check=True)


def _range(user: OrdinaryUser) -> tuple[int, int]:
    with open("/etc/subuid") as lines:
        fields = next(line.strip().split(":") for line in lines if line.startswith(f"{user.name}:"))
    return int(fields[1]), int(fields[1]) + int(fields[2]) - 1


def configuration(user: OrdinaryUser, more: str = "") -> str:
    """A jupyterhub_config.py of that user's."""
    path = user.home / "jupyterhub_config.py"
    text = CONFIGURATION.format(
        profiles=str(CHECKOUT / "hub_config/profiles.yaml"),
        run=str(user.home / "run"),
        state=str(user.home / "state"),
        prefix=str(VENVS / "hub"),
        port=0,
        one_uid=False,
        tracking="",
    )
    path.write_text(text.replace("public_port", f"{more}public_port"))
    return str(path)


def findings(user: OrdinaryUser) -> dict[str, dict[str, object]]:
    """What doctor finds for that user, by name."""
    return {item["name"]: item for item in json.loads(user.python(*ADMIN, "doctor", "--json").stdout)}


def test_no_subuids_is_a_refusal_that_helps(without_subuids: OrdinaryUser) -> None:
    """Without a line in /etc/subuid nothing starts; run, doctor and unshare name the command that adds it."""
    user = without_subuids
    done = user.python(*ADMIN, "run", "-f", configuration(user))
    assert done.returncode == 2
    assert f"/etc/subuid has no line for {user.name}" in done.stderr
    assert "sudo usermod --add-subuids" in done.stderr
    assert not (user.home / "run").exists()
    found = findings(user)["subordinate uids"]
    assert (found["fine"], found["needed"]) == (False, True)
    assert "sudo usermod --add-subuids" in str(found["remedy"])
    shared = user.python(*ADMIN, "unshare", "true")
    assert (shared.returncode, "sudo usermod" in shared.stderr) == (2, True)


def test_the_demo_refuses_as_well(without_subuids: OrdinaryUser) -> None:
    """scripts/demo says the same sentence and command, and leaves nothing."""
    done = without_subuids.python("-m", "hub_config.demo", "--check")
    assert done.returncode == 2
    assert f"/etc/subuid has no line for {without_subuids.name}" in done.stderr
    assert "sudo usermod --add-subuids" in done.stderr


def test_uids_that_are_not_ours_are_refused(user: OrdinaryUser) -> None:
    """A uid_base outside of the user's own range is refused with that range."""
    first, last = _range(user)
    done = user.python(*ADMIN, "run", "-f", configuration(user, f"uid_base={last + 1}, uid_count=10, "))
    assert (done.returncode, f"{first}..{last}" in done.stderr) == (2, True)


def test_doctor_tells_what_is_weaker(user: OrdinaryUser) -> None:
    """With subuids doctor finds room for people; soft limits and the shared uid are weak, not missing."""
    found = findings(user)
    assert "room for 65534 people" in str(found["subordinate uids"]["seen"])
    assert (found["privilege"]["fine"], found["privilege"]["needed"]) == (False, False)
    assert (found["limits"]["fine"], found["limits"]["needed"]) == (False, False)


def test_unshare_reaches_what_belongs_to_sandboxes(user: OrdinaryUser) -> None:
    """What a sandbox's uid owns can be made, read and erased by unshare, and not without it."""
    first, _ = _range(user)
    home = user.home / "kept"
    script = f"mkdir -m 700 {home} && echo work > {home}/file && chown -R {first + 7} {home}"
    assert user.python(*ADMIN, "unshare", "--", "sh", "-c", script).returncode == 0
    assert home.stat().st_uid == first + 7
    assert user.run("cat", f"{home}/file").returncode == 1
    assert user.python(*ADMIN, "unshare", "cat", f"{home}/file").stdout == "work\n"
    assert user.python(*ADMIN, "unshare", "--", "sh", "-c", "exit 7").returncode == 7
    assert user.python(*ADMIN, "unshare", "rm", "-r", str(home)).returncode == 0
    assert not home.exists()


@pytest.mark.lane("userenv", "hub6")
def test_a_lost_namespace_ends_its_sandboxes(user: OrdinaryUser) -> None:
    """A launcher that finds its namespace gone ends what ran there, says so, and starts the next server."""
    done = user.python("-c", LOSE_THE_NAMESPACE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["page"], found["left"]) == (200, [])
    assert "while the launcher was away" in found["why"]


def test_root_needs_no_unshare() -> None:
    """Root is told to run the command itself."""
    command = [sys.executable, *ADMIN, "unshare", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "Run the command itself" in done.stderr) == (2, True)
