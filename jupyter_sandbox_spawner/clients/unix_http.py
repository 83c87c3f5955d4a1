"""How does one program of ours call another? JSON over HTTP over a unix socket, errors in our own tree."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from ..errors import AnswerError, ProgramError, UnreachableError
from .pooled import PooledClient

__all__ = ["UnixClient"]

# Answers with 503 of whoever stands before the program: the wire on the way, where certificates keep it from
# being reached, and a launcher whose place another takes.
_UNREACHED = ("certificates.", "launcher.lease_lost")


class UnixClient(PooledClient):
    """A client of one program's unix socket.

    Raises UnreachableError when nobody answers within `timeout` seconds, AnswerError (with the other
    side's code, message and remedy) when the answer is an error.
    """

    def __init__(self, program: str, path: str, timeout: float = 30.0) -> None:
        self.program = program
        self.path = path
        self._again = f"Try again in a moment; the admin sees more in the {program}'s log."
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=2.0)

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.UnixConnector(path=self.path, force_close=True)
        return aiohttp.ClientSession("http://localhost", connector=connector)

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
                remedy=self._again,
            ) from error
        except ValueError as error:
            raise AnswerError(
                f"The {self.program} answered with what is no JSON.", remedy=self._again
            ) from error
        if status >= 400:
            raise _answer_error(self.program, status, document)
        return document


def _answer_error(program: str, status: int, document: Any) -> ProgramError:
    known = document if isinstance(document, dict) else {}
    code = str(known.get("code", "program.answered"))
    kind = UnreachableError if status == 503 and code.startswith(_UNREACHED) else AnswerError
    return kind(
        str(known.get("message", f"The {program} answered {status}.")),
        code=code,
        remedy=str(known.get("remedy", "")),
        field=str(known.get("field", "")),
        status=status,
    )
