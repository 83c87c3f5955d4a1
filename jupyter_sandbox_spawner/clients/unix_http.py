"""How does one program of ours call another? JSON over HTTP over a unix socket, errors in our own tree."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import aiohttp

from ..errors import AnswerError, UnreachableError

__all__ = ["UnixClient"]


class UnixClient:
    """A client of one program's unix socket.

    Raises UnreachableError when nobody answers within `timeout` seconds, AnswerError (with the other
    side's code, message and remedy) when the answer is an error.
    """

    def __init__(self, program: str, path: str, timeout: float = 30.0) -> None:
        self.program = program
        self.path = path
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=2.0)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> UnixClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pool; no-op if never used."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def session(self) -> aiohttp.ClientSession:
        """The session of this socket, made on first use inside the running loop."""
        if self._session is None or self._session.closed:
            connector = aiohttp.UnixConnector(path=self.path, force_close=True)
            self._session = aiohttp.ClientSession("http://localhost", connector=connector)
        return self._session

    async def call(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """One request; the decoded JSON answer, or None for an empty one."""
        limit = self._timeout if timeout is None else aiohttp.ClientTimeout(total=timeout, sock_connect=2.0)
        try:
            async with self.session().request(method, path, json=body, timeout=limit) as answer:
                document = await answer.json() if answer.content_type == "application/json" else None
                status = answer.status
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise UnreachableError(
                f"The {self.program} does not answer ({type(error).__name__}).",
                code=f"{self.program}.unreachable",
                remedy="Try again in a moment; the admin sees more in: jupyter-sandbox-admin run",
            ) from error
        if status >= 400:
            raise _answer_error(self.program, status, document)
        return document


def _answer_error(program: str, status: int, document: Any) -> AnswerError:
    known = document if isinstance(document, dict) else {}
    error = AnswerError(
        str(known.get("message", f"The {program} answered {status}.")),
        code=str(known.get("code", "program.answered")),
        remedy=str(known.get("remedy", "")),
        field=str(known.get("field", "")),
    )
    error.status = status
    return error
