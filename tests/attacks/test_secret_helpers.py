"""Does git in a real sandbox log in by itself, and at granted hosts only?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from tests.support.house import House

Control = Callable[[str, bool], None]
# What git itself says for a place; a value is shown as its hash, so that no output holds it.
FILL = """
import hashlib, json, os, subprocess
def fill(question):
    done = subprocess.run(
        ["git", "-c", "core.askPass=true", "credential", "fill"], input=question + "\\n\\n", text=True,
        capture_output=True, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    secret = found.get("password", "")
    digest = hashlib.sha256(secret.encode()).hexdigest() if secret else ""
    return {"user": found.get("username", ""), "digest": digest}
def rewritten(url):
    done = subprocess.run(["git", "ls-remote", "--get-url", url], text=True, capture_output=True)
    return done.stdout.strip()
"""


def said(house: House, code: str) -> dict[str, object]:
    """What a cell of alice's prints as JSON."""
    house.server("alice")
    found: dict[str, object] = json.loads(house.run("alice", FILL + code).stdout)
    return found


@pytest.mark.proves("S16")
def test_git_logs_in_at_granted_hosts_only(house: House, control: Control) -> None:
    """The stored login for the granted host; nothing for another host or port, http and a look-alike."""
    places = {
        "granted": "protocol=https\nhost=git.example.org",
        "other": "protocol=https\nhost=other.example.org",
        "port": "protocol=https\nhost=git.example.org:8443",
        "http": "protocol=http\nhost=git.example.org",
        "look-alike": "protocol=https\nhost=g\u0456t.example.org",
        "above": "protocol=https\nhost=git.example.org.evil.example",
    }
    found = said(house, f"print(json.dumps({{name: fill(text) for name, text in {places!r}.items()}}))")
    secret = house.running.secrets["team/git"]["password"]
    digest = hashlib.sha256(secret.encode()).hexdigest()
    control("the granted host", found.pop("granted") == {"user": "bot", "digest": digest})
    assert [answer for answer in found.values() if answer != {"user": "", "digest": ""}] == []
    assert len(found) == len(places) - 1


@pytest.mark.proves("S16")
def test_a_proxied_host_leads_to_the_sandboxs_own_door(house: House, control: Control) -> None:
    """The plain address becomes the broker's, with alice's name filled in; others stay as they are."""
    found = said(
        house,
        """
base = os.environ["JUPYTERHUB_API_URL"].removesuffix("hub/api") + "services/sandbox/api/secrets/"
token = hashlib.sha256(os.environ["JUPYTERHUB_API_TOKEN"].encode()).hexdigest()
url = rewritten("https://forge.example.org/group/project.git")
door = "protocol=http\\nhost=127.0.0.1:8081\\npath="
print(json.dumps({
    "path": url.removeprefix(base),
    "granted": rewritten("https://git.example.org/x.git"),
    "own": fill(door + url.split("/", 3)[3])["digest"] == token,
    "user": fill(door + url.split("/", 3)[3])["user"],
    "elsewhere": fill("protocol=http\\nhost=127.0.0.1:8080\\npath=x"),
}))
""",
    )
    assert found["path"] == "users/alice/forge/proxy/group/project.git"
    assert found["granted"] == "https://git.example.org/x.git"
    control("its door gets the server's own token", (found["own"], found["user"]) == (True, "sandbox"))
    assert found["elsewhere"] == {"user": "", "digest": ""}


def test_status_and_revoke_answer_in_a_real_server(house: House) -> None:
    """`%sandbox secrets status` and `revoke` go the whole way to the broker and back."""
    house.server("alice")
    cell = house.run("alice", "found = %sandbox secrets status\nprint(found)")
    assert cell.ok, cell
    assert "Store: the built-in store answers." in cell.stdout
    assert "users/alice/forge  http://127.0.0.1:8081" in cell.stdout
    cell = house.run("alice", "ended = %sandbox secrets revoke warehouse/reader\nprint(ended)")
    assert "No credential of warehouse/reader ended." in cell.stdout
    cell = house.run("alice", "%sandbox secrets renew warehouse/reader")
    assert "nothing of 'warehouse/reader' that could be renewed" in cell.error


@pytest.mark.proves("S14")
def test_a_vault_token_would_be_in_memory(house: House, control: Control) -> None:
    """The place for a Vault token is below the runtime directory, in memory; the home is refused."""
    house.server("alice")
    cell = house.run(
        "alice",
        """
import os
from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.singleuser.vault_token import _target
print(_target("own/vault", None))
try:
    print(_target("own/vault", os.path.expanduser("~/token")))
except SandboxError as error:
    print(error.code)
""",
    )
    control("there is a place", cell.stdout.startswith("/run/jupyter/vault/own+vault\n"))
    assert cell.stdout.endswith("\nsecret.file_refused\n"), cell
