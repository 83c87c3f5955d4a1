"""Do the hub's pages say how long servers run and why they ended, to everyone and safely?"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader
from jupyterhub.scopes import parse_scopes

from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.hub import notes
from jupyter_sandbox_spawner.hub.notes import Note

from .hub_process import PASSWORD, HubProcess

HOSTILE = "<script>alert(1)</script> & more"


def plain(text: str) -> str:
    """The words of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def end_with_reason(hub: HubProcess, user: str, why: str) -> None:
    """The user's server ends by itself, and the launcher says why."""
    (sandbox,) = [i.id for i in hub.loop.run(hub.launcher.backend.inventory()) if i.user == user]
    hub.loop.run(hub.launcher.backend.finish(sandbox, 137, why))
    hub.wait_for("the end is noticed", lambda: hub.servers(user) == {})


async def test_the_home_page_has_the_time_left(hub: HubProcess) -> None:
    """The home page lists each running server with its profile, time left, end and idle limit."""
    async with Visitor(hub.base, "ruth", PASSWORD) as ruth:
        await ruth.login()
        hub.start("ruth", {"profile": "short"})
        words = plain((await ruth.open(ruth.hub("home"))).text)
    assert re.search(
        r"Default server short Running: (30|29) min left; stops when it is not used for 20 min \(ends .*UTC",
        words,
    ), words


async def test_the_reason_is_on_the_pages(hub: HubProcess) -> None:
    """After a server ended by itself, home page, form and the page of the server say why without a script."""
    hub.start("saul")
    end_with_reason(hub, "saul", "It was killed for memory.")
    async with Visitor(hub.base, "saul", PASSWORD) as saul:
        await saul.login()
        pages = [await saul.open(saul.hub(path)) for path in ("home", "spawn/saul", "user/saul/")]
    assert [page.status for page in pages] == [200, 200, 424]
    for page in pages:
        assert "It was killed for memory." in plain(page.text), page.text


async def test_a_named_server_has_its_own_reason(hub: HubProcess) -> None:
    """The form of a named server does not show why another server of the user ended."""
    hub.start("tara")
    end_with_reason(hub, "tara", "The default one was killed.")
    async with Visitor(hub.base, "tara", PASSWORD) as tara:
        await tara.login()
        assert "The default one was killed." in (await tara.open(tara.hub("spawn/tara"))).text
        assert "The default one was killed." not in (await tara.open(tara.hub("spawn/tara/second"))).text


@pytest.mark.proves("X03")
async def test_a_reason_is_escaped(hub: HubProcess) -> None:
    """A reason with markup in it is shown as text on every page."""
    hub.start("uma")
    end_with_reason(hub, "uma", HOSTILE)
    async with Visitor(hub.base, "uma", PASSWORD) as uma:
        await uma.login()
        pages = [await uma.open(uma.hub(path)) for path in ("home", "spawn/uma", "user/uma/")]
    for page in pages:
        assert HOSTILE not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page.text


async def test_pages_do_without_control(hub: HubProcess) -> None:
    """While control is away the pages are shown, and the home page says that it cannot tell."""
    async with Visitor(hub.base, "vito", PASSWORD) as vito:
        await vito.login()
        hub.control.stop()
        home = await vito.open(vito.hub("home"))
        form = await vito.open(vito.hub("spawn/vito"))
    assert (home.status, form.status) == (200, 200)
    assert "cannot be told at the moment" in home.text


async def test_others_reasons_are_not_shown(hub: HubProcess) -> None:
    """The home page shows one's own servers only."""
    hub.start("wolf")
    end_with_reason(hub, "wolf", "Only wolf may read this.")
    async with Visitor(hub.base, "xena", PASSWORD) as xena:
        await xena.login()
        assert "Only wolf may read this." not in (await xena.open(xena.hub("home"))).text


@pytest.mark.proves("O06")
def test_a_deleted_user_leaves_nothing_to_the_next(hub: HubProcess) -> None:
    """Deleting a user retires the home and closes the records; a new user of the name has none of either."""
    hub.start("yara")
    hub.api("DELETE", "users/yara/server")
    assert hub.api("DELETE", "users/yara").status == 204
    assert hub.launcher.retired.count("yara") == 1
    with sqlite3.connect(hub.directory / "control/control.sqlite") as database:
        assert database.execute("select count(*) from sandboxes where user = 'yara'").fetchone() == (0,)
    assert hub.start("yara").status == 201


@pytest.mark.proves("O06")
def test_a_deletion_that_failed_is_done_before_the_next_start(hub: HubProcess) -> None:
    """With the launcher away a deletion is remembered, and done before a new user of the name gets a home."""
    hub.start("zoe")
    hub.api("DELETE", "users/zoe/server")
    hub.launcher.away = True
    hub.api("DELETE", "users/zoe")
    assert "zoe" not in hub.launcher.retired
    assert hub.start("zoe").status == 503
    hub.launcher.away = False
    assert hub.start("zoe").status == 201
    assert hub.launcher.retired.count("zoe") == 1


def test_deleting_a_named_server_keeps_the_home(hub: HubProcess) -> None:
    """Named servers share the user's home: deleting one touches neither home nor records."""
    hub.start("ossi")
    hub.start("ossi", server="second")
    assert hub.api("DELETE", "users/ossi/servers/second", {"remove": True}).status in (202, 204)
    hub.wait_for("it is gone", lambda: "second" not in hub.servers("ossi"))
    assert "ossi" not in hub.launcher.retired
    assert hub.servers("ossi")[""]["ready"]


@pytest.mark.parametrize(
    ("scopes", "shown"),
    [
        ({"access:servers!server=uma/"}, False),
        ({"access:servers", "servers!user=eve"}, False),
        ({"servers!user=uma"}, True),
        ({"servers"}, True),
    ],
    ids=["shared with", "another user", "owner", "admin"],
)
async def test_the_last_lines_are_not_shared(scopes: set[str], shown: bool) -> None:
    """Who may only open a shared server reads why it ended, and no line of its log."""
    pages = Path(notes.__file__).parent / "templates/pages"
    base = DictLoader({"templates/not_running.html": "{% block main %}{% endblock %}"})
    environment = Environment(
        loader=ChoiceLoader([base, FileSystemLoader(pages)]), autoescape=True, enable_async=True
    )
    note = Note(server="", profile="short", running=False, why="It crashed.", lines=("my own words",))
    page = await environment.get_template("not_running.html").render_async(
        user=SimpleNamespace(name="uma"),
        server_name="",
        sandbox=SimpleNamespace(ending=lambda *_: note, again=lambda *_: None),
        parsed_scopes=parse_scopes(frozenset(scopes)),
    )
    assert "It crashed." in page
    assert ("my own words" in page) is shown
