"""What does the admin page read about one part or one server, and what of it does its stand-in say too?"""

from __future__ import annotations

from aiohttp import web
from sqlalchemy import Connection, update

from jupyter_sandbox_spawner.control.tables import sandboxes
from jupyter_sandbox_spawner.errors import RefusedError
from tests.browser.stand_in import StandIn

from .page_street import Page, Person
from .test_admin_lists import page_of_many

__all__ = ["page_of_many"]


async def test_a_broker_without_vault_is_well(page: Page) -> None:
    """It has no keys to publish, and says so; that is no trouble."""

    async def none(request: web.Request) -> web.Response:
        error = RefusedError("This site has no Vault.", code="secret.needs_vault", status=404)
        return web.json_response(error.as_document(), status=404)

    app = web.Application()
    app.router.add_get("/api/keys", none)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, page.control.here.path("b-control")).start()
        seen = (await (await Person(page).login()).ask("/api/health")).document
    finally:
        await runner.cleanup()
    (broker,) = [part for part in seen["parts"] if part["name"] == "broker"]
    assert (broker["fine"], "no Vault" in broker["seen"]) == (True, True)


async def test_what_was_never_used_is_idle_since_its_start(page: Page) -> None:
    """It is neither the longest idle nor the latest used because nobody used it."""

    def never(db: Connection) -> None:
        db.execute(update(sandboxes).where(sandboxes.c.server == "s30").values(used_at=None))

    await page.control.parts.store.run(never)
    root = await Person(page).login()
    query = "/api/table?search=user&sort=used&order=asc&size=100"
    found = [item["server"] for item in (await root.ask(query)).document["items"]]
    assert found == sorted(found, reverse=True)
    assert "s30" in found


async def test_one_servers_document_has_its_room_and_its_use(page: Page) -> None:
    """As the table says it; and the stand-in of the page's tests answers with these very fields."""
    root = await Person(page).login()
    (item,) = (await root.ask("/api/table?search=user1/s01")).document["items"]
    told = (await root.ask("/api/why/user1/s01")).document
    assert {name: told[name] for name in ("cpu", "memory", "used_at")} == {
        "cpu": 1,
        "memory": 1 << 30,
        "used_at": item["used_at"],
    }
    stand_in = StandIn()
    assert stand_in.row(0, "alice").keys() == item.keys()
    assert (stand_in.why("alice", "").keys() | {"now"}) == told.keys()
