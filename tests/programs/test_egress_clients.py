"""What do urllib, git and curl show when the egress door refuses them?"""

from __future__ import annotations

import asyncio
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .egress_support import (
    LOOPBACK,
    Control,
    RecordingResolver,
    account,
    open_door,
    private,
    web,
)


@pytest.mark.proves("E22")
async def test_a_redirect_to_an_internal_address_is_refused(control: Control) -> None:
    """A client that follows an allowed host's redirect to an internal address reads the sentence."""
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/x\r\nContent-Length: 0\r\n\r\n"
    async with web(redirect) as server:
        who = account(private("ok.test", server.port))
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            message = await asyncio.to_thread(_urllib, door.port, f"http://ok.test:{server.port}/")
        control("the redirect itself was served", server.hits == 1)
    assert message == "HTTP Error 403: Blocked by sandbox: 169.254.169.254; see %sandbox egress"
    assert who.codes == ["egress.allowed", "egress.ip_literal"]


async def test_a_refused_tunnel_explains_itself_in_python() -> None:
    """urllib, and so pip and requests, raise the sentence for a refused https address."""
    async with open_door(account("ok.test")) as door:
        with pytest.raises(
            urllib.error.URLError, match=r"403 Blocked by sandbox: evil\.test; see %sandbox egress"
        ):
            await asyncio.to_thread(_urllib, door.port, "https://evil.test/")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
async def test_git_shows_the_status(tmp_path: Path) -> None:
    """git fails a refused clone and names the 403."""
    async with open_door(account("ok.test")) as door:
        process = await asyncio.create_subprocess_exec(
            "git",
            "-c",
            f"http.proxy=http://{LOOPBACK}:{door.port}",
            "ls-remote",
            "https://evil.test/x.git",
            cwd=tmp_path,
            stderr=asyncio.subprocess.PIPE,
        )
        _, printed = await process.communicate()
    assert process.returncode != 0
    assert b"403" in printed


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_shows_the_sentence_or_code() -> None:
    """curl fails a refused CONNECT with 403 and prints the sentence with -v."""
    async with open_door(account("ok.test")) as door:
        process = await asyncio.create_subprocess_exec(
            "curl",
            "-sv",
            "-x",
            f"http://{LOOPBACK}:{door.port}",
            "https://evil.test/",
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        _, printed = await process.communicate()
    assert process.returncode == 56
    assert b"403 Blocked by sandbox: evil.test; see %sandbox egress" in printed


def _urllib(port: int, url: str) -> str:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), f"http://{LOOPBACK}:{port}"))
    )
    try:
        with opener.open(url, timeout=10) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return str(error)
