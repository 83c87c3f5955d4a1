"""What do tests need of certificates? Real ones, made by the admin's own code, for a listener on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path

from jupyter_sandbox_spawner.admin.certificate_files import make
from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.wires.tls import TlsFiles, peer_program

__all__ = ["HOST", "echo", "made", "moment", "say"]

HOST = "gateway.example"


def moment() -> datetime:
    """Now, aware."""
    return datetime.now(timezone.utc)


def made(directory: Path, now: datetime | None = None) -> Path:
    """A directory of certificates of all programs; the gateway's is also for HOST."""
    make(directory, "jupyter-sandbox", {"gateway": [HOST]}, now or moment())
    return directory


@asynccontextmanager
async def echo(files: TlsFiles, clients: bool = True) -> AsyncIterator[int]:
    """A listener that names its caller, then sends back each line; gives its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            caller = peer_program(writer.get_extra_info("ssl_object")) if clients else "anybody"
            writer.write(f"{caller}\n".encode())
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except SandboxError as error:
            writer.write(f"{error.code}\n".encode())
        finally:
            writer.close()

    context = files.server_context(clients)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def say(port: int, context: ssl.SSLContext, host: str = HOST) -> str:
    """Connect, say something, and return who the listener took us for; "" where it hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    try:
        caller = (await reader.readline()).decode().strip()
        writer.write(b"hello\n")
        answered = await reader.readline() if caller else b""
        return caller if answered == b"hello\n" or caller.startswith("certificates.") else ""
    except (ssl.SSLError, ConnectionError):
        return ""  # by TLS 1.3 a caller learns only after its handshake that it was refused
    finally:
        writer.close()
