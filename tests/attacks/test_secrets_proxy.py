"""Does git in a real sandbox work with a secret that is nowhere inside it?"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.broker import BrokerAdminClient
from tests.attacks.test_secrets import ASK
from tests.programs.basic_hosts import GitHost
from tests.programs.gateway_house import free_port
from tests.programs.proxy_street import AUTHORITY, Host, basic
from tests.programs.test_secrets_proxy_clients import repository
from tests.support.backend_choice import chosen_backend
from tests.support.house import House, open_house

Control = Callable[[str, bool], None]
PROFILES = """
- display_name: Small
  slug: small
  default: true
  sandbox:
    cpu: 1
    memory: 768M
    secrets:
      - {name: git/main, kind: git, host: git.example.org, delivery: proxy}
"""
WORK = """
import json, os, subprocess
os.chdir(os.path.expanduser("~"))
who = {"GIT_AUTHOR_NAME": "alice", "GIT_AUTHOR_EMAIL": "a@x", "GIT_TERMINAL_PROMPT": "0"}
who |= {"GIT_COMMITTER_NAME": "alice", "GIT_COMMITTER_EMAIL": "a@x"}

def git(*words):
    kept = dict(capture_output=True, text=True, errors="replace", timeout=60)
    done = subprocess.run(["git", *words], env=os.environ | who, **kept)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr

said = git("clone", "https://git.example.org/group/work.git")
with open("work/more", "w") as more:
    more.write("from inside")
for words in (["add", "."], ["commit", "-q", "-m", "second"], ["push", "-q", "origin", "main"], ["fetch"]):
    said += git("-C", "work", *words)
said += git("-C", "work", "config", "--list", "--show-origin") + git("-C", "work", "remote", "-v")
print(said)
"""
HUNT = """
import os
found = []
for folder, _, names in os.walk(os.path.expanduser("~")):
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            if NEEDLE in file.read():
                found.append(name)
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                if NEEDLE in file.read():
                    found.append(f"{pid} {name}")
        except OSError:
            pass
print("FOUND", found)
"""


@dataclass
class Place:
    """A house whose profile grants a git host by proxy, and that host."""

    house: House
    git: GitHost
    root: Path
    value: str


@pytest.fixture(scope="module")
def place(
    clean_environ: None, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[Place]:
    """The whole product; its broker believes the tests' authority."""
    root = Path(tempfile.mkdtemp(prefix="proxy-", dir="/tmp"))
    root.chmod(0o755)
    (root / "profiles.yaml").write_text(PROFILES)
    AUTHORITY.cert_pem.write_to_path(str(root / "ca.pem"))
    (root / "ca.pem").chmod(0o644)
    port, value, host = free_port(), "canary" + secrets.token_hex(20), Host()
    git = GitHost(root / "host", basic(value, "robot"))
    host.answer, host.keeps_bodies = git.answer, False
    (root / "host").mkdir()
    asyncio.run(repository(root / "host"))
    more = {
        "SANDBOX_INTERNAL_SERVICES": f"git.example.org:443=127.0.0.1:{port}",
        "SSL_CERT_FILE": str(root / "ca.pem"),
    }
    try:
        with (
            chosen_backend() as variables,
            open_house(root / "profiles.yaml", {**variables, **more}) as house,
        ):
            forget = evidence("the house's programs", house.running.log)
            stack = AsyncExitStack()
            try:
                house.wait(host.start(stack, "git.example.org", port=port))
                house.wait(_put(house, value))
                yield Place(house, git, root / "host", value)
            finally:
                forget()
                house.wait(stack.aclose())
    finally:
        shutil.rmtree(root)


async def _put(house: House, value: str) -> None:
    client = BrokerAdminClient(house.site.broker_socket("admin"))
    try:
        await client.put("git/main", {"username": "robot", "password": value})
    finally:
        await client.close()


@pytest.mark.proves("C01", "C02", "S02", "S16")
def test_git_works_and_the_value_is_nowhere(place: Place, control: Control) -> None:
    """Clone, push and fetch with nothing set up; no file, no process has the value."""
    house = place.house
    house.server("alice")
    output = house.run("alice", WORK, timeout=120)
    assert output.ok, f"{output}\n" + "\n".join(output.traceback)
    asyncio.run(_pull(place.root))
    control("the push arrived", (place.root / "seed/more").read_text() == "from inside")
    assert place.git.shown == {place.git.credential}
    assert place.value not in str(output)
    # In two parts, so that the hunt does not find itself.
    hunt = f"NEEDLE = b{place.value[:10]!r} + b{place.value[10:20]!r}" + HUNT
    found = house.run("alice", hunt, timeout=120)
    assert found.stdout.strip() == "FOUND []", str(found)
    known = house.run("alice", "NEEDLE = b'JUPYTERHUB_API_' + b'TOKEN='" + HUNT, timeout=120)
    control("the hunt finds what is there", "environ" in known.stdout)
    assert place.value not in house.running.log(10_000_000)


@pytest.mark.proves("C08", "S03")
def test_the_value_is_not_read_and_goes_nowhere_else(place: Place, control: Control) -> None:
    """By the API inside: no read of the value, no other path or host; the host itself answers."""
    place.house.server("alice")
    code = (
        ASK
        + """
seen = {
    "read": ask("/git/main/read", own),
    "dots": ask("/git/main/proxy/../../self", own, "GET"),
    "other": ask("/git/other/proxy/x", own, "GET"),
    "nobody": ask("/git/main/proxy/x", "", "GET"),
}
asked = urllib.request.Request(
    base + "/git/main/proxy/group/work.git/info/refs?service=git-upload-pack",
    headers={"Authorization": "token " + own},
)
with direct.open(asked, timeout=20) as answer:
    seen["allowed"] = {"status": answer.status, "from": answer.headers["X-Sandbox-Upstream"]}
print(json.dumps({name: [item["status"], item.get("said", {}).get("code")] for name, item in seen.items()}))
"""
    )
    output = place.house.run("alice", code)
    assert output.ok, f"{output}\n" + "\n".join(output.traceback)
    assert '"read": [403, "secret.proxy_only"]' in output.stdout
    assert '"dots": [400, "secret.path_invalid"]' in output.stdout
    assert '"other": [403, "secret.not_granted"]' in output.stdout
    assert '"nobody": [401, "identity.missing"]' in output.stdout
    control("the granted host answers", '"allowed": [200, null]' in output.stdout)
    audit = place.house.ask_control(lambda client: client.audit(user="alice", limit=500))["items"]
    used = [
        line["detail"] for line in audit if line["action"] == "secret.read" and line["outcome"] == "allowed"
    ]
    assert {(item["secret"], item["delivery"]) for item in used} == {("git/main", "proxy")}


async def _pull(root: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root)}
    words = ["git", "-C", "seed", "pull", "-q", "origin", "main"]
    process = await asyncio.create_subprocess_exec(*words, cwd=root, env=environment)
    assert await process.wait() == 0
