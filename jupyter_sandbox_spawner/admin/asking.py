"""How does an admin's command ask the running control? By its admin socket, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..settings import load_site

if TYPE_CHECKING:
    from ..clients.control import ControlAdminClient

__all__ = ["ask_control"]


def ask_control(site: str | None, question: Callable[[ControlAdminClient], Awaitable[Any]]) -> Any:
    """The answer of the control of a site (its site.json; None: the one that JUPYTER_SANDBOX_SITE names)."""
    from ..clients.control import ControlAdminClient, control_socket

    async def ask() -> Any:
        client = ControlAdminClient(control_socket(load_site(site), "admin"))
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(ask())
