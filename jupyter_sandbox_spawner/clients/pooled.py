"""Who owns a client's connections? The client: one session, made on first use and closed with it."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import aiohttp

__all__ = ["PooledClient"]

Self = TypeVar("Self", bound="PooledClient")


class PooledClient:
    """An `async with` over one session; a kind of client says how its session is made."""

    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session; no-op if never used."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def session(self) -> aiohttp.ClientSession:
        """The session, made on first use inside the running loop."""
        if self._session is None or self._session.closed:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        raise NotImplementedError
