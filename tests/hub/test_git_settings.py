"""What is git inside told about hosts whose secrets stay outside?"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.hub.git_settings import GitPlan, git_settings
from jupyter_sandbox_spawner.rules.grants import Grant

MAIN = Grant(name="git/main", kind="git", host="git.example.org", delivery="proxy")
SECOND = Grant(name="git/second", kind="git", host="git.example.org", delivery="proxy")
PORT = Grant(name="git/port", kind="git", host="git.example.org:8443", delivery="proxy")
PLAN = GitPlan(door="http://127.0.0.1:8081", base_url="/", helper="/image/bin/jupyter-sandbox")
DOOR = "http://127.0.0.1:8081/base/services/sandbox/api/secrets"


def git(settings: dict[str, str], home: Path, *words: str) -> str:
    """What git says with these variables and no other settings."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", **settings}
    done = subprocess.run(
        ["git", *words], env=environment, cwd=home, capture_output=True, text=True, input="", check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("https://git.example.org/a/b.git", f"{DOOR}/git/main/proxy/a/b.git"),
        ("https://git.example.org:8443/a", f"{DOOR}/git/port/proxy/a"),
        ("https://git.example.org.evil.example/a", "https://git.example.org.evil.example/a"),
        ("https://other.example.org/a", "https://other.example.org/a"),
        ("http://git.example.org/a", "http://git.example.org/a"),
    ],
)
def test_git_goes_through_the_proxy_for_granted_hosts(url: str, becomes: str, tmp_path: Path) -> None:
    """The host of the first grant is replaced; look-alikes, other hosts and plain http are not."""
    settings = git_settings([MAIN, SECOND, PORT], replace(PLAN, base_url="/base/"), {})
    assert git(settings, tmp_path, "ls-remote", "--get-url", url) == becomes


@pytest.mark.proves("S16")
def test_the_token_is_shown_to_the_own_door_only(tmp_path: Path) -> None:
    """git asks the helper for that address and no other, and the user's own helper keeps nothing of it."""
    (tmp_path / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    settings = git_settings([MAIN], PLAN, {}) | {
        "JUPYTERHUB_API_TOKEN": "t0ken",
        "GIT_TERMINAL_PROMPT": "0",
    }

    def asked(url: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **settings}
        command = ["git", "credential", "fill"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, input=f"url={url}\n", check=False
        )
        return done.stdout

    assert "password=t0ken" in asked("http://127.0.0.1:8081/")
    for url in (
        "http://127.0.0.1:8082/",
        "https://127.0.0.1:8081/",
        "https://git.example.org/",
        "http://x:8081/",
    ):
        assert "t0ken" not in asked(url)
    shown = "protocol=http\nhost=127.0.0.1:8081\nusername=sandbox\npassword=t0ken\n"
    subprocess.run(
        ["git", "credential", "approve"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **settings},
        input=shown,
        text=True,
        check=True,
    )
    assert not (tmp_path / ".git-credentials").exists()


def test_a_granted_host_has_our_helper_alone(tmp_path: Path) -> None:
    """Helpers that were set before are cleared for the granted host, and for no other."""
    (tmp_path / ".gitconfig").write_text("[credential]\n\thelper = own\n")
    value = Grant(name="a", kind="git", host="h.example:8443")
    settings = git_settings(
        [value, replace(value, name="b")], replace(PLAN, helper="/user image/bin/jupyter-sandbox"), {}
    )
    found = git(settings, tmp_path, "config", "--get-all", "credential.https://h.example:8443.helper")
    assert found == "!'/user image/bin/jupyter-sandbox' git-credential"
    assert (settings["GIT_CONFIG_VALUE_0"], settings["GIT_CONFIG_COUNT"]) == ("", "2")
    assert git(settings, tmp_path, "config", "--get-all", "credential.helper") == "own"


def test_settings_of_an_admin_stay() -> None:
    """Ours are counted after those that are there."""
    before = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.pager", "GIT_CONFIG_VALUE_0": "cat"}
    found = git_settings([MAIN], PLAN, before)
    assert found["GIT_CONFIG_COUNT"] == "5"
    assert "GIT_CONFIG_KEY_0" not in found
    assert found["GIT_CONFIG_KEY_1"].startswith(
        "url.http://127.0.0.1:8081/services/sandbox/api/secrets/git/main/"
    )


def test_nothing_is_set_where_nothing_is_granted() -> None:
    """Secrets for other programs are no matter of git's settings."""
    grants = [Grant(name="b", kind="http", host="h.example", delivery="proxy"), Grant(name="c")]
    assert git_settings(grants, PLAN, {}) == {}
