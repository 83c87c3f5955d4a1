"""Does a pod's link say why it cannot trust what answers as the gateway, before the user's program runs?"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.wires.link.__main__ import _carry
from jupyter_sandbox_spawner.wires.link.gateway import Gateway, UntrustedError
from tests.programs.wires_street import eventually
from tests.support.certificates import made, moment


@asynccontextmanager
async def listening(shown: Path) -> AsyncIterator[tuple[str, int]]:
    """The address of a listener with this directory's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown / "gateway/certificate.pem", shown / "gateway/key.pem")

    async def let_go(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(let_go, "127.0.0.1", 0, ssl=context) as server:
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


async def test_who_does_not_answer_is_not_judged(tmp_path: Path) -> None:
    """A gateway that is away may be back in a moment: the link goes on."""
    async with gateway(made(tmp_path / "c"), tmp_path / "c") as seen:
        pass
    await seen.glance()


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
