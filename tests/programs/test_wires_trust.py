"""Does a pod's link say why it cannot trust what answers as the gateway, before the user's program runs?"""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.wires.link import gateway as link_gateway
from jupyter_sandbox_spawner.wires.link.gateway import Gateway, UntrustedError
from tests.programs.wires_street import free_ports
from tests.support.certificates import made, moment


async def listener(shown: Path, port: int = 0) -> asyncio.Server:
    """What shows a directory's certificate to whoever comes, and lets them go."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown / "gateway/certificate.pem", shown / "gateway/key.pem")

    async def let_go(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await asyncio.start_server(let_go, "127.0.0.1", port, ssl=context)


@asynccontextmanager
async def gateway(shown: Path, trusted: Path, name: str = "gateway") -> AsyncIterator[Gateway]:
    """A link's view of a listener with one directory's certificate; it trusts another's authority."""
    async with await listener(shown) as server:
        address = ("127.0.0.1", int(server.sockets[0].getsockname()[1]))
        yield Gateway("sb-x", name, address, str(trusted / "gateway"), "key")


@pytest.mark.parametrize(
    ("days", "code"), [(2, "clock"), (-500, "expired"), (-2000, "authority_expired"), (0, "")]
)
async def test_a_certificate_of_another_time(tmp_path: Path, days: int, code: str) -> None:
    """Not yet valid, ended, or with its authority ended: each has its code; a good one has none."""
    directory = made(tmp_path / "c", moment() + timedelta(days=days))
    async with gateway(directory, directory) as seen:
        if not code:
            await seen.glance()
            return
        with pytest.raises(UntrustedError, match=f"^certificates.{code}: "):
            await seen.glance()


async def test_another_authority_and_another_name(tmp_path: Path) -> None:
    """What another site's authority signed is foreign; a certificate without the name is told as such."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    async with gateway(theirs, ours) as seen:
        with pytest.raises(UntrustedError, match=r"^certificates.foreign: "):
            await seen.glance()
    async with gateway(ours, ours, "elsewhere") as seen:
        with pytest.raises(UntrustedError, match=r"^certificates.name: "):
            await seen.glance()


async def begun(shown: Path, trusted: Path) -> tuple[asyncio.Task[None], asyncio.Server]:
    """A glance at a place where nobody listens yet, and who listens there half a second later."""
    (port,) = free_ports(1)
    seen = Gateway("sb-x", "gateway", ("127.0.0.1", port), str(trusted / "gateway"), "key")
    looking = asyncio.create_task(seen.glance())
    await asyncio.sleep(0.5)
    assert not looking.done()
    return looking, await listener(shown, port)


async def test_a_network_that_opens_late(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """A new pod that is let out late still learns that it cannot trust the gateway."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    looking, server = await begun(theirs, ours)
    async with server:
        with pytest.raises(UntrustedError, match=r"^certificates.foreign: "):
            await asyncio.wait_for(looking, 120)
    looking, server = await begun(ours, ours)
    async with server:
        await asyncio.wait_for(looking, 120)
        control("one that is trusted ends the wait", True)


async def test_who_does_not_answer_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is away may be back in a moment: the link goes on, one that ran before at once."""
    async with gateway(made(tmp_path / "c"), tmp_path / "c") as seen:
        pass
    monkeypatch.setattr(link_gateway, "_GLANCE", 0.3)
    await asyncio.wait_for(seen.glance(), 120)
    monkeypatch.setattr(link_gateway, "_GLANCE", 600.0)
    monkeypatch.setattr(link_gateway, "_AGAIN", 0.1)
    await asyncio.wait_for(seen.glance(again=True), 120)


def test_a_pod_that_is_stopped_while_its_link_looks(tmp_path: Path) -> None:
    """A first process hears no signal that it has not asked for: the link has, before it looks."""
    authority = made(tmp_path / "c") / "gateway"
    (port,) = free_ports(1)
    places = {name: str(tmp_path / name) for name in ("doors", "inside", "memory")}
    for place in places.values():
        Path(place).mkdir()
    options = {**places, "secret": str(authority), "sandbox": "sb-x", "gateway": "gateway"}
    options |= {"address": f"127.0.0.1:{port}", "user-uid": "1"}
    words = [f"--{name}={text}" for name, text in options.items()]
    command = [sys.executable, "-m", "jupyter_sandbox_spawner.wires.link", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as link:
        assert link.stderr is not None
        assert "not reached yet" in link.stderr.readline()
        link.terminate()
        assert link.wait(60) == 0
    assert os.listdir(places["doors"]) == []
