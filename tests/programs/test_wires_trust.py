"""Does a pod's link say why it cannot trust what answers as the gateway, before anything runs behind it?"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.wires.link import gateway as link_gateway
from jupyter_sandbox_spawner.wires.link.__main__ import _carry
from jupyter_sandbox_spawner.wires.link.files import note_bought
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
        yield Gateway("sb-x", name, address, secret_in(trusted), "key")


def secret_in(trusted: Path) -> str:
    """What the launcher left a link: the authority, and a ticket."""
    (trusted / "gateway/ticket").write_text("ticket")
    return str(trusted / "gateway")


async def waits(seen: Gateway, first: bool = True) -> bool:
    """Does it still try after a moment, in which it was let go several times?"""
    buying = asyncio.create_task(seen.buy(first))
    done, _ = await asyncio.wait({buying}, timeout=0.7)
    buying.cancel()
    await asyncio.gather(buying, return_exceptions=True)
    return not done


@pytest.mark.parametrize(
    ("days", "code"), [(2, "clock"), (-500, "expired"), (-2000, "authority_expired"), (0, "")]
)
async def test_a_certificate_of_another_time(tmp_path: Path, days: int, code: str) -> None:
    """Not yet valid, ended, or with its authority ended: each has its code; a good one has none."""
    directory = made(tmp_path / "c", moment() + timedelta(days=days))
    async with gateway(directory, directory) as seen:
        if not code:
            assert await waits(seen)
            return
        with pytest.raises(UntrustedError, match=f"^certificates.{code}: "):
            await seen.buy(first=True)


async def test_another_authority_and_another_name(tmp_path: Path) -> None:
    """What another site's authority signed is foreign; a certificate without the name is told as such."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    async with gateway(theirs, ours) as seen:
        with pytest.raises(UntrustedError, match=r"^certificates.foreign: "):
            await seen.buy(first=True)
    async with gateway(ours, ours, "elsewhere") as seen:
        with pytest.raises(UntrustedError, match=r"^certificates.name: "):
            await seen.buy(first=True)


async def test_a_network_that_opens_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new pod that is let out late tries in vain, and still learns that it cannot trust the gateway."""
    monkeypatch.setattr(link_gateway, "_SAY_EVERY", 0.0)
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    (port,) = free_ports(1)
    seen = Gateway("sb-x", "gateway", ("127.0.0.1", port), secret_in(ours), "key")
    buying = asyncio.create_task(seen.buy(first=True))
    await eventually(lambda: caplog.text.count("not reached yet") > 2, lambda: caplog.text)
    async with await listener(theirs, port):
        with pytest.raises(UntrustedError, match=r"^certificates.foreign: "):
            await asyncio.wait_for(buying, 120)


def options_in(place: Path, trusted: Path, user: int) -> argparse.Namespace:
    """How a link is started whose directories are here."""
    told = argparse.Namespace(sandbox="sb-x", gateway="gateway", secret=secret_in(trusted), user_uid=user)
    for name in ("memory", "doors", "inside"):
        (place / name).mkdir()
        setattr(told, name, str(place / name))
    return told


def test_a_pod_that_is_stopped_while_its_link_looks(tmp_path: Path) -> None:
    """A first process hears no signal that it has not asked for: the link has, before it looks."""
    told = options_in(tmp_path, made(tmp_path / "c"), os.geteuid())
    (port,) = free_ports(1)
    options = {**vars(told), "address": f"127.0.0.1:{port}"}
    words = [f"--{name.replace('_', '-')}={text}" for name, text in options.items()]
    command = [sys.executable, "-m", "jupyter_sandbox_spawner.wires.link", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as link:
        assert link.stderr is not None
        assert "not reached yet" in link.stderr.readline()
        link.terminate()
        assert link.wait(60) == 0


async def test_only_a_first_start_ends_for_it(tmp_path: Path) -> None:
    """Every try before the key was bought does; a link started again beside a running server waits."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    told = options_in(tmp_path, ours, os.geteuid())
    async with listening(theirs) as address:
        for _ in range(2):
            with pytest.raises(UntrustedError, match=r"^certificates.foreign: "):
                await _carry(told, address)
            assert "PodDoor" not in repr(asyncio.all_tasks())
        note_bought(told.memory)
        again = asyncio.create_task(_carry(told, address))
        done, _ = await asyncio.wait({again}, timeout=0.7)
        assert not done
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
