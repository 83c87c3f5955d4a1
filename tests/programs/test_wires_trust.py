"""Does a pod's link say why it cannot trust what answers as the gateway, before the user's program runs?"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.wires.link.gateway import Gateway, UntrustedError
from tests.support.certificates import made, moment


@asynccontextmanager
async def gateway(shown: Path, trusted: Path, name: str = "gateway") -> AsyncIterator[Gateway]:
    """A link's view of a listener with one directory's certificate; it trusts another's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown / "gateway/certificate.pem", shown / "gateway/key.pem")

    async def let_go(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(let_go, "127.0.0.1", 0, ssl=context) as server:
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


async def test_who_does_not_answer_is_not_judged(tmp_path: Path) -> None:
    """A gateway that is away may be back in a moment: the link goes on."""
    async with gateway(made(tmp_path / "c"), tmp_path / "c") as seen:
        pass
    await seen.glance()
