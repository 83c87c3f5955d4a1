"""Do git and pip work through the proxy, as they are, while the value stays outside?"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.hub.git_settings import GitPlan, git_settings
from tests.programs.basic_hosts import GitHost, Index
from tests.programs.proxy_street import GRANTS, SECRET, TOKEN, ProxyStreet, basic, proxy_street

Control = Callable[[str, bool], None]
TOKEN_USER = "__token__"


@pytest.fixture
async def street() -> AsyncIterator[ProxyStreet]:
    """Carol's door and the host."""
    async with proxy_street() as found:
        yield found


async def run(command: list[str], place: Path, environment: dict[str, str], fails: bool = False) -> str:
    """What a program wrote, out and error together; it may not ask anybody anything."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = (await asyncio.wait_for(process.communicate(), 120))[0].decode()
    assert (process.returncode != 0) == fails, said
    return said


def inside(port: int, **more: str) -> dict[str, str]:
    """The environment that the hub gives a server with these grants, where the relay listens at `port`."""
    known = {
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "carol",
        "GIT_AUTHOR_EMAIL": "carol@example.org",
        "GIT_COMMITTER_NAME": "carol",
        "GIT_COMMITTER_EMAIL": "carol@example.org",
        **more,
    }
    plan = GitPlan(door=f"http://127.0.0.1:{port}", base_url="/", helper="/nowhere/jupyter-sandbox")
    return known | git_settings(GRANTS, plan, known)


async def repository(root: Path) -> None:
    """A bare repository with one commit that holds two megabytes of noise."""
    await run(["git", "init", "-q", "--bare", "-b", "main", "group/work.git"], root, {})
    await run(["git", "-C", "group/work.git", "config", "http.receivepack", "true"], root, {})
    await run(["git", "clone", "-q", "group/work.git", "seed"], root, inside(1, HOME=str(root)))
    (root / "seed/noise").write_bytes(os.urandom(2 << 20))
    for words in (["add", "."], ["commit", "-q", "-m", "first"], ["push", "-q", "origin", "HEAD:main"]):
        await run(["git", "-C", "seed", *words], root, inside(1))


async def test_git_clones_fetches_and_pushes(street: ProxyStreet, tmp_path: Path, control: Control) -> None:
    """By the repository's own https address, with nothing pasted; packs are whole and no value is inside."""
    root, home = tmp_path / "host", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    await repository(root)
    host = GitHost(root, basic(SECRET, "robot"))
    street.host.answer, street.host.keeps_bodies = host.answer, False
    async with street.port() as port:
        known = inside(port)
        await run(["git", "clone", "-q", "https://git.example.org/group/work.git"], home, known)
        same = (home / "work/noise").read_bytes() == (root / "seed/noise").read_bytes()
        control("a clone is whole", same)
        (home / "work/more").write_bytes(os.urandom(3 << 20))
        for words in (["add", "."], ["commit", "-q", "-m", "second"], ["push", "-q", "origin", "main"]):
            await run(["git", "-C", "work", *words], home, known)
        await run(["git", "-C", "seed", "pull", "-q", "origin", "main"], root, inside(1))
        assert (root / "seed/more").read_bytes() == (home / "work/more").read_bytes()
        await run(["git", "-C", "work", "fetch", "-q", "--all"], home, known)
        said = await run(["git", "-C", "work", "config", "--list", "--show-origin"], home, known)
    assert host.shown == {basic(SECRET, "robot")}
    assert SECRET not in said + "".join(known.values())
    for path in home.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
            assert TOKEN.encode() not in path.read_bytes(), path


async def test_git_follows_a_redirect_on_its_host(street: ProxyStreet, tmp_path: Path) -> None:
    """An address without `.git`, which a host redirects, clones too where git shows its token at once.

    git up to 2.45 forgets a redirect that comes after it was asked who it is; later ones have proactiveAuth.
    """
    await repository(tmp_path)
    street.host.answer = GitHost(tmp_path, basic(SECRET, "robot")).answer
    async with street.port() as port:
        at_once = ["-c", f"http.extraHeader=Authorization: token {TOKEN}"]
        clone = ["git", *at_once, "clone", "-q", "https://git.example.org/group/work", "got"]
        await run(clone, tmp_path, inside(port))
    assert (tmp_path / "got/noise").exists()


async def test_git_says_why_and_asks_nobody(street: ProxyStreet, tmp_path: Path) -> None:
    """A credential that the host refuses is told in git's own output; git asks for no password."""
    street.host.answer = GitHost(tmp_path, "another").answer
    async with street.port() as port:
        said = await run(
            ["git", "clone", "https://git.example.org/group/work.git"], tmp_path, inside(port), fails=True
        )
    assert "git.example.org refuses the secret 'git/main' (401)" in said
    assert "Username" not in said
    assert "terminal prompts" not in said


@pytest.mark.parametrize(
    "link", ["../../", "/", "https://git.example.org/"], ids=["relative", "path", "whole"]
)
async def test_pip_downloads_and_installs(street: ProxyStreet, tmp_path: Path, link: str) -> None:
    """From a private index, however its pages write the way to a file."""
    street.host.answer = Index(basic(SECRET, TOKEN_USER), link).answer
    async with street.port() as port:
        place = f"127.0.0.1:{port}/services/sandbox/api/secrets/pip/index/proxy/simple/"
        pip = [sys.executable, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check"]
        known = {"PIP_NO_INPUT": "1", "PIP_INDEX_URL": f"http://sandbox:{TOKEN}@{place}"}
        await run([*pip, "download", "-q", "--no-deps", "sandboxprobe"], tmp_path, known)
        said = await run([*pip, "install", "--no-deps", "--target", "into", "sandboxprobe"], tmp_path, known)
    assert (tmp_path / "sandboxprobe-1.2.3-py3-none-any.whl").exists()
    assert (tmp_path / "into/sandboxprobe.py").read_text() == "version = '1.2.3'\n"
    assert SECRET not in said
    assert TOKEN not in said


async def test_pip_needs_no_login_in_the_address(
    street: ProxyStreet, tmp_path: Path, control: Control
) -> None:
    """With keyring in the image pip finds the server's own token by itself, at this door and no other."""
    street.host.answer = Index(basic(SECRET, TOKEN_USER), "../../").answer
    async with street.port() as port:
        url = f"http://127.0.0.1:{port}/services/sandbox/api/secrets/pip/index/proxy/simple/"
        pip = [sys.executable, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "download"]
        known = {
            "JUPYTER_SANDBOX": "1",
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{port}/hub/api",
            "JUPYTERHUB_API_TOKEN": TOKEN,
        }
        download = [*pip, "--no-deps", "--keyring-provider=import", "-i", url, "sandboxprobe"]
        said = await run(download, tmp_path, known)
        control("it arrived", (tmp_path / "sandboxprobe-1.2.3-py3-none-any.whl").exists())
        elsewhere = {**known, "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "PIP_NO_INPUT": "1"}
        refused = await run(download, tmp_path, elsewhere, fails=True)
    assert SECRET not in said + refused
    assert TOKEN not in said + refused


async def test_pip_says_why_and_asks_nobody(street: ProxyStreet, tmp_path: Path) -> None:
    """A credential that the index refuses is no question for a password."""
    street.host.answer = Index("another", "../../").answer
    async with street.port() as port:
        place = f"127.0.0.1:{port}/services/sandbox/api/secrets/pip/index/proxy/simple/"
        known = {"PIP_INDEX_URL": f"http://sandbox:{TOKEN}@{place}"}
        pip = [sys.executable, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check", "-vv"]
        said = await run([*pip, "download", "sandboxprobe"], tmp_path, known, fails=True)
    assert "git.example.org refuses the secret 'pip/index' (401)" in said
    assert "User for" not in said
