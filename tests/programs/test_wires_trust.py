"""Does a pod's link say why it cannot trust what answers as the gateway, before the user's program runs?"""

from __future__ import annotations

import argparse
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
from jupyter_sandbox_spawner.wires.link.__main__ import _carry
from jupyter_sandbox_spawner.wires.link.gateway import Gateway, UntrustedError
from tests.programs.wires_street import eventually, free_ports
from tests.support.certificates import made, moment


async def listener(shown: Path, port: int = 0) -> asyncio.Server:
    """What shows a directory's certificate to whoever comes, and lets them go."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown / "gateway/certificate.pem", shown / "gateway/key.pem")

    async def let_go(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await asyncio.start_server(let_go, "127.0.0.1", port, ssl=context)


@asynccontextmanager
async def listening(shown: Path) -> AsyncIterator[tuple[str, int]]:
    """The address of a listener with this directory's certificate."""
    async with await listener(shown) as server:
        yield "127.0.0.1", int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def gateway(shown: Path, trusted: Path, name: str = "gateway") -> AsyncIterator[Gateway]:
    """A link's view of a listener with one directory's certificate; it trusts another's authority."""
    async with listening(shown) as address:
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
    """A gateway that is away may be back in a moment: the link goes on."""
    async with gateway(made(tmp_path / "c"), tmp_path / "c") as seen:
        pass
    monkeypatch.setattr(link_gateway, "_GLANCE", 0.3)
    await asyncio.wait_for(seen.glance(), 120)


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


async def test_only_a_first_start_ends_for_it(tmp_path: Path) -> None:
    """Every try before doors were bound does; a link started again beside a running server waits at them."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    asked = argparse.Namespace(
        sandbox="sb-x", gateway="gateway", secret=str(ours / "gateway"), user_uid=os.geteuid()
    )
    for name in ("memory", "doors"):
        (tmp_path / name).mkdir()
        setattr(asked, name, str(tmp_path / name))
    async with listening(theirs) as address:
        for _ in range(2):
            with pytest.raises(UntrustedError, match=r"^certificates.foreign: "):
                await _carry(asked, address)
        (tmp_path / "memory/key").write_text("key")
        again = asyncio.create_task(_carry(asked, address))
        try:
            await eventually((tmp_path / "memory/ready").exists, lambda: "no door is bound")
            done, _ = await asyncio.wait({again}, timeout=0.5)
            assert not done
        finally:
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)
