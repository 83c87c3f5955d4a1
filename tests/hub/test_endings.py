"""Does a start that comes to nothing leave nothing, and does its user learn why any server ended?"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from hub_config.demo.visitor import Visitor

from .hub_process import PASSWORD, HubProcess

NewHub = Callable[..., AbstractContextManager[HubProcess]]
HOSTILE = (
    "<script>alert(1)</script>\n\x1b]0;title\x07\x1b[2J\x1b[31mred\n"
    + "x" * 70_000
    + "\nGET /lab?token=hushhush\n</pre><img src=x onerror=alert(2)>\n"
)
FILES = "Your files are kept in your home; start the server again to see them."


def records_of(hub: HubProcess, user: str) -> list[tuple[str, str, str]]:
    """Status, code and reason of each record of a user, as control's database has them."""
    with sqlite3.connect(hub.directory / "control/control.sqlite") as database:
        query = "select status, stop_code, stop_why from sandboxes where user = ? order by admitted_at"
        return database.execute(query, (user,)).fetchall()


def nothing_is_left(hub: HubProcess, user: str) -> bool:
    """Neither launcher nor gateway knows anything of this user."""
    items = hub.loop.run(hub.launcher.backend.inventory())
    return user not in {item.user for item in items} | {entry.user for entry in hub.gateway.entries.values()}


def warned(hub: HubProcess, user: str, why: str) -> None:
    """Control's database says that this user was told of the server's deadline."""
    with sqlite3.connect(hub.directory / "control/control.sqlite") as database:
        query = "select id, deadline, admitted_at from sandboxes where user = ?"
        ((sandbox, deadline, now),) = database.execute(query, (user,)).fetchall()
        detail = json.dumps({"code": "stop.ttl", "why": why, "at": f"{deadline}+00:00"})
        values = (sandbox, now, "warning", detail)
        database.execute("insert into events (sandbox, at, kind, detail) values (?, ?, ?, ?)", values)


def slow_to_stop(hub: HubProcess, seconds: float) -> None:
    """From now on a stop at the launcher takes longer than the hub waits for a cancelled start."""
    stop = hub.launcher.backend.stop

    async def slow(sandbox: str, grace: float) -> Any:
        await asyncio.sleep(seconds)
        return await stop(sandbox, grace)

    hub.launcher.backend.stop = slow  # type: ignore[method-assign]


def test_a_cancelled_start_leaves_nothing_however_long_that_takes(new_hub: NewHub, control: Any) -> None:
    """A start that its user cancels is undone, its record says so, and the same server starts again."""
    with new_hub() as hub:
        hub.gateway.silent = True
        hub.start("alice")
        hub.wait_for("it waits for its server", lambda: not nothing_is_left(hub, "alice"))
        slow_to_stop(hub, 2.5)
        answer = hub.api("DELETE", "users/alice/server")
        assert answer.status in (202, 204), answer
        hub.wait_for("the hub knows of no server", lambda: hub.servers("alice") == {})
        assert nothing_is_left(hub, "alice")
        why = "Its start was cancelled before it was ready."
        assert records_of(hub, "alice") == [("released", "start.cancelled", why)]
        hub.gateway.silent = False
        control("it starts again", hub.start("alice").status in (201, 202))


def test_a_start_out_of_time_leaves_nothing(new_hub: NewHub) -> None:
    """Where the launcher hangs the hub's own timeout ends the start; it is undone and the reason is kept."""
    with new_hub(start_timeout=4.0) as hub:
        begin = hub.launcher.backend.start

        async def hang(sandbox: str) -> None:
            await begin(sandbox)
            await asyncio.Event().wait()

        hub.launcher.backend.start = hang  # type: ignore[method-assign]
        assert hub.start("alice").status == 500
        hub.wait_for("it is undone", lambda: nothing_is_left(hub, "alice"))
        ((status, code, why),) = records_of(hub, "alice")
        assert (status, code) == ("released", "start.timeout")
        assert why == "It did not start within 4 s, so the start was given up."


@pytest.mark.proves("X03")
async def test_a_crash_is_shown_with_its_last_lines(hub: HubProcess) -> None:
    """Pages show why, where the files are and the log's end, as plain text without secrets; no audit does."""
    hub.start("boris")
    (sandbox,) = [i.id for i in hub.loop.run(hub.launcher.backend.inventory()) if i.user == "boris"]
    why = "out of memory: used 4.0 GB of 4.0 GB"
    hub.loop.run(hub.launcher.backend.finish(sandbox, 137, why, HOSTILE))
    hub.wait_for("the end is noticed", lambda: hub.servers("boris") == {})
    async with Visitor(hub.base, "boris", PASSWORD) as boris:
        await boris.login()
        pages = [await boris.open(boris.hub(path)) for path in ("home", "spawn/boris", "user/boris/")]
    for page in pages:
        assert f"It ended by itself: {why}." in page.text
        assert FILES in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        assert "(a line of 70000 characters is not shown)" in page.text
        assert "token=[secret]" in page.text
        for hidden in ("<script>alert(1)", "<img src=x", "\x1b", "hushhush"):
            assert hidden not in page.text
    (audit_file,) = hub.directory.rglob("audit.ndjson")
    audit = audit_file.read_text()
    assert sandbox in audit
    assert "alert(1)" not in audit


async def test_lines_of_a_failed_start_are_kept_for_its_user(hub: HubProcess) -> None:
    """A server that dies while it starts has its last lines on the home page; its record has the reason."""
    hub.launcher.dies_with = (3, "ModuleNotFoundError: No module named 'x'")
    hub.start("clara")
    async with Visitor(hub.base, "clara", PASSWORD) as clara:
        await clara.login()
        home = await clara.open(clara.hub("home"))
    assert "No module named &#39;x&#39;" in home.text
    ((_, code, why),) = records_of(hub, "clara")
    assert code == "boot.ended"
    assert why == "The server in the sandbox ended with exit status 3 (the server ended) before it answered."


async def test_a_warning_is_on_the_home_page(hub: HubProcess) -> None:
    """A server that was warned is shown with when and why it ends, until that is past."""
    async with Visitor(hub.base, "dora", PASSWORD) as dora:
        await dora.login()
        hub.start("dora", {"profile": "short"})
        warned(hub, "dora", "Its time is <up>.")
        home = await dora.open(dora.hub("home"))
    assert "<strong>Warning:</strong> Ends in" in home.text
    assert "Its time is &lt;up&gt;." in home.text


def test_browsers_take_leave_before_the_stop(hub: HubProcess) -> None:
    """A stop first drains the gateway, with its reason and for a moment only, then asks the launcher."""
    hub.start("emil")
    (sandbox,) = [name for name, entry in hub.gateway.entries.items() if entry.user == "emil"]
    assert hub.api("DELETE", "users/emil/server").status == 204
    assert hub.gateway.drained[sandbox] == {"why": "It was stopped at the hub.", "timeout": 2.0}
