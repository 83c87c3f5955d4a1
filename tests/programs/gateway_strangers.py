"""Who else could come to a door? Other local users, and what they would try; and how a test looks on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from jupyter_sandbox_spawner.models import Event
from tests.programs.gateway_house import GatewayHouse
from tests.programs.streams import shut

__all__ = ["CONNECT_AS", "REPLACE_AS", "STRANGER", "reachable", "run_as", "through", "told"]

STRANGER = 54321

# What another local user can do: connect and read, or say why not.
CONNECT_AS = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
s = socket.socket(socket.AF_UNIX); s.settimeout(5)
try:
    s.connect(sys.argv[2]); print("read", len(s.recv(100)))
except OSError as error:
    print(type(error).__name__)
"""
REPLACE_AS = """
import os, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
try:
    os.unlink(sys.argv[2]); os.symlink("/etc/passwd", sys.argv[2]); print("replaced")
except OSError as error:
    print(type(error).__name__)
"""


async def through(path: str, data: bytes = b"", seconds: float = 10) -> bytes:
    """Connect to a door, send, read to the end."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        await shut(writer)


async def run_as(uid: int, program: str, path: str) -> str:
    """Run a small program under another uid; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(uid), path, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()


async def told(house: GatewayHouse, kind: str, sandbox: str) -> list[Event]:
    """Events of one kind about one sandbox."""
    return [e for e in await house.client.events(0, 0) if (e.kind, e.sandbox) == (kind, sandbox)]


def reachable(house: GatewayHouse, open_up: bool) -> None:
    """Take the outer wall away (or put it back), so that the door's own check is what is tested."""
    for path in (house.root, Path(house.site.run_dir), Path(house.site.doors_dir)):
        path.chmod(0o755 if open_up else 0o700)
