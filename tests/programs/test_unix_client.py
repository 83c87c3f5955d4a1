"""What does a caller hear of a program that answers with something else than it should?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.clients.unix_http import UnixClient
from jupyter_sandbox_spawner.errors import AnswerError


async def test_half_a_document(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """It is an error of the program that is named, as any other of its answers, and no ValueError."""

    async def half(request: web.Request) -> web.Response:
        return web.Response(text=request.query["text"], content_type="application/json")

    app = web.Application()
    app.router.add_get("/", half)
    runner = web.AppRunner(app)
    await runner.setup()
    client = UnixClient("launcher", str(tmp_path / "door"))
    try:
        await web.UnixSite(runner, client.path).start()
        control("a whole one is read", await client.call("GET", "/?text=[1]") == [1])
        with pytest.raises(AnswerError, match="The launcher answered with what is no JSON") as caught:
            await client.call("GET", "/?text=[1")
        assert (caught.value.code, "launcher's log" in caught.value.remedy) == ("program.answered", True)
    finally:
        await client.close()
        await runner.cleanup()
