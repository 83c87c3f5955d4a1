"""How does a row get a PostgreSQL? Debian's program in a directory of its own, which waits for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hub_config.vault.own_postgres import OwnPostgres

from .row import BenchmarkError

__all__ = ["open_database"]


@asynccontextmanager
async def open_database() -> AsyncIterator[tuple[str, str]]:
    """URL and password file of an empty database, while the block lasts."""
    server = OwnPostgres()
    try:
        await asyncio.to_thread(server.start)
    except RuntimeError as error:
        raise BenchmarkError(str(error)) from error
    try:
        yield server.url, str(server.password_file)
    finally:
        await asyncio.to_thread(server.stop)
