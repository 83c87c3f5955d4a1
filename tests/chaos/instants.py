"""What does control say of a person's server, and when is that?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jupyter_sandbox_spawner.clients.control import ControlAdminClient, control_socket
from tests.support.house import House

__all__ = ["instant", "why_of"]


async def why_of(house: House, user: str) -> Any:
    """Why it runs, or ended, with its events."""
    client = ControlAdminClient(control_socket(house.site, "admin"))
    async with client:
        return await client.why(user, "")


def instant(text: str) -> float:
    """Seconds of the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
