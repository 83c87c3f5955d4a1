"""What do admins read about ten thousand sandboxes? Pages that the database searches, sorts and cuts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.control.list_records import sandbox_page
from jupyter_sandbox_spawner.control.tables import denials, sandboxes
from jupyter_sandbox_spawner.control.tables_egress import egress_requests
from jupyter_sandbox_spawner.control.tables_ledger import allocations, holdings
from jupyter_sandbox_spawner.control.tables_usage import usage
from jupyter_sandbox_spawner.rules.audit import Entry
from jupyter_sandbox_spawner.rules.list_query import TableQuery
from jupyter_sandbox_spawner.settings import Site, write_site
from jupyter_sandbox_spawner.wire import encode

from .control_neighbours import START, spec
from .page_street import Page, Person, open_page

Check = Callable[[str, bool], None]
HOSTILE = '<img src=x onerror=alert(1)>\x1b[31m\u202e"; DROP TABLE sandboxes; --%_\\'
PROFILES = """
prices: {currency: EUR, cpu_hour: 0.5, memory_gb_hour: 0.25}
profiles:
  - {slug: small, display_name: Small, default: true,
     sandbox: {cpu: 2, memory: 4G, variables: {TOKEN: hunter2}}}
  - {slug: closed, display_name: Closed, allowed_groups: [lab], sandbox: {cpu: 1, memory: 1G}}
"""


def fill(connection: Connection) -> None:
    """Sixty servers more: of five users, in two groups; ten have a GPU; and one with a hostile name."""
    for number in range(60):
        name = HOSTILE if number == 59 else f"user{number % 5}"
        made = spec(name, f"s{number:02}", str(number))
        at = START - timedelta(minutes=number)
        connection.execute(
            insert(sandboxes).values(
                id=made.id,
                user=name,
                server=made.server,
                profile="gpu_1" if number < 10 else "gpux1",
                profile_digest="d",
                status="released" if number >= 55 and number != 59 else "ready",
                spec=encode(made),
                admitted_at=at,
                ready_at=at,
                released_at=START if number >= 55 and number != 59 else None,
                deadline=None if number % 2 else START + timedelta(hours=number + 1),
                used_at=at,
                groups=["lab", "a%b"] if number % 2 else ["laboratory"],
            )
        )
        gpus = 1 if number < 10 else 0
        held = {"sandbox": made.id, "cpu": 1, "memory": 1 << 30, "gpus": gpus, "since": at}
        connection.execute(insert(holdings).values(scope="user", name=name, **held))
        if gpus:
            given = {"device": f"gpu-{number}", "kind": "h100", "parent": "", "since": at, "wanted": ""}
            owner = {"sandbox": made.id, "user": name, "server": made.server, "profile": "gpu_1"}
            connection.execute(insert(allocations).values(**given, **owner))
        refused = {"sandbox": made.id, "port": 443, "code": "egress.not_allowed", "count": 2}
        host = HOSTILE if number == 59 else f"h{number}.example"
        connection.execute(insert(denials).values(host=host, first_at=at, last_at=at, **refused))


@pytest.fixture(name="page")
async def page_of_many() -> AsyncIterator[Page]:
    """Alice's server and sixty more."""
    async with open_page() as found:
        await found.control.parts.store.run(fill)
        yield found


async def test_pages_of_the_table_hold_each_once(page: Page) -> None:
    """All pages together are all that is open, in order, whatever it is sorted by; ends are judged."""
    root = await Person(page).login()
    for sort in ("user", "server", "profile", "started", "ends", "used", "gpus"):
        for order in ("asc", "desc"):
            found: list[dict[str, Any]] = []
            for number in (1, 2, 3, 4):
                query = f"sort={sort}&order={order}&size=20&page={number}"
                seen = (await root.ask(f"/api/table?{query}")).document
                assert (seen["total"], seen["pages"], seen["page"]) == (57, 3, number)
                found += seen["items"]
            assert len({item["id"] for item in found}) == len(found) == 57, (sort, order)
            if sort in ("user", "started"):
                keys = [item["user" if sort == "user" else "admitted_at"] for item in found]
                assert keys == sorted(keys, reverse=order == "desc")
            if sort == "gpus":
                first = found[:10] if order == "desc" else found[-10:]
                assert all(len(item["gpus"]) == 1 for item in first)
    assert all(item["ends_at"] for item in found if item["ends_code"] == "runs.ttl")
    assert {"cpu", "memory", "stop", "ends_why"} <= found[0].keys()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("search=USER3", 11),
        ("search=user1/s01", 1),
        ("search=gpu_1", 10),
        ("search=%25", 1),
        ("search=s_", 0),
        ("search=%5C", 1),
        ("group=lab", 28),
        ("group=a%25b", 28),
        ("group=la", 0),
        ("profile=gpu_1&group=laboratory", 5),
        ("status=ended", 4),
        ("status=all", 61),
    ],
)
async def test_what_is_searched_is_text(page: Page, query: str, count: int) -> None:
    """No letter of it is a pattern; a group is the whole name."""
    root = await Person(page).login()
    assert (await root.ask(f"/api/table?{query}")).document["total"] == count


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("table?page=0", "page"),
        ("table?page=1e9", "page"),
        ("table?size=501", "size"),
        ("table?size=%D9%A3", "size"),
        ("table?sort=spec", "sort"),
        ("table?order=random()", "order"),
        ("table?status=open'", "status"),
        ("table?search=%00", "search"),
        ("table?user=alice", "user"),
        (f"table?search={'x' * 201}", "search"),
        ("denials?port=1", "port"),
        ("denials?page=x", "page"),
        ("audit?limit=x", "limit"),
        ("audit?before=-1", "before"),
        ("audit?since=yesterday", "since"),
        ("audit?outcome=maybe", "outcome"),
        ("usage?over=week", "over"),
        ("usage?over=day&by=day", "over"),
        ("usage?over=day&since=2020-01-01", "over"),
        ("profiles/explain", "user"),
    ],
)
async def test_a_bad_parameter_is_named(page: Page, path: str, field: str) -> None:
    """400 with its name, and what may stand there."""
    seen = await (await Person(page).login()).ask(f"/api/{path}")
    assert (seen.status, seen.code, seen.document["field"]) == (400, "wire.invalid", field)
    assert seen.document["remedy"]


@pytest.mark.proves("H06")
async def test_h06_hostile_names_come_back_as_data(page: Page, control: Check) -> None:
    """As JSON that no browser takes for a page, letter by letter; the table is still there."""
    root = await Person(page).login()
    seen = await root.ask("/api/table?search=DROP%20TABLE")
    assert [item["user"] for item in seen.document["items"]] == [HOSTILE]
    assert seen.headers["content-type"] == "application/json; charset=utf-8"
    assert seen.headers["x-content-type-options"] == "nosniff"
    refused = await root.ask("/api/denials?host=DROP")
    assert [item["host"] for item in refused.document["items"]] == [HOSTILE]
    control("others are found", (await root.ask("/api/table?search=user1")).document["total"] == 11)
    mallory = await Person(page, HOSTILE.replace("\x1b", ""), ("self",)).login()
    shown = await mallory.open("/")
    assert (b"<img" in shown.body, b"&lt;img" in shown.body) == (False, True)


async def test_refused_hosts_say_what_was_asked_for(page: Page) -> None:
    """The latest first, with the newest request of the user for that host, by whichever sandbox."""
    first = spec("user0", "s00", "before")
    about = {
        "user": "user0",
        "server": "s00",
        "profile": "gpu_1",
        "groups": [],
        "why": "w",
        "asked_at": START,
    }
    request = {"sandbox": first.id, "host": "h0.example", "port": 443, "status": "waiting"}
    await page.control.parts.store.run(
        lambda db: db.execute(insert(egress_requests).values(**about, **request))
    )
    root = await Person(page).login()
    seen = (await root.ask("/api/denials?size=3")).document
    assert [item["host"] for item in seen["items"]] == ["h0.example", "h1.example", "h2.example"]
    assert (seen["total"], seen["pages"]) == (60, 20)
    assert [item["request"] for item in seen["items"]] == [{"id": 1, "status": "waiting"}, None, None]
    of_one = (await root.ask("/api/denials?user=user1&host=H1.&code=egress.not_allowed")).document
    assert [(item["user"], item["count"]) for item in of_one["items"]] == [("user1", 2)]


async def test_the_audit_is_searched(page: Page) -> None:
    """By who acted, on whom, how it went, when, and any text; `next` leads on to the end."""
    audit = page.control.parts.audit
    for number in range(30):
        outcome: Any = "denied" if number % 3 == 0 else "done"
        detail = {"host": 'Evil"Host.example', "n": number}
        await audit.write(
            Entry(actor="admin ada", action="x.y", outcome=outcome, user=f"u{number % 2}", detail=detail)
        )
        page.control.here.clock.pass_time(60)
    root = await Person(page).login()
    for query, count in (
        ("user=u1", 15),
        ("actor=ADA&outcome=denied", 10),
        ("text=evil%22host&user=u0&outcome=done", 10),
        ("action=x.y&since=2026-11-25T12:10:00Z&until=2026-11-25T12:20:00Z", 10),
        ("code=identity.no_admin", 0),
    ):
        assert len((await root.ask(f"/api/audit?{query}")).document["items"]) == count, query
    found, before = [], ""
    while before is not None:
        seen = (await root.ask(f"/api/audit?action=x.y&limit=7&before={before}")).document
        found += [item["detail"]["n"] for item in seen["items"]]
        before = seen["next"]
    assert found == list(range(29, -1, -1))


async def test_health_says_what_is_away(page: Page, control: Check) -> None:
    """Each part by name; one that is away is a finding with a remedy, and the others are still told."""
    root = await Person(page).login()
    before = {part["name"]: part for part in (await root.ask("/api/health")).document["parts"]}
    control("the gateway is fine first", before["gateway"]["fine"] and before["hub"]["fine"])
    await page.control.here.close("gateway")
    page.control.here.launcher.limits["memory"] = False
    page.control.parts.audit.trouble = "The audit cannot be written: its disk is full (/x)."
    seen = await root.ask("/api/health")
    parts = {part["name"]: part for part in seen.document["parts"]}
    assert (seen.status, seen.document["ok"], seen.document["counts"]["open"]) == (200, False, 57)
    for name in ("gateway", "audit", "limits", "broker"):
        assert (parts[name]["fine"], bool(parts[name]["remedy"])) == (False, True), name
    assert (parts["hub"]["fine"], parts["database"]["fine"], parts["limits"]["needed"]) == (True, True, False)


async def test_use_over_days_names_the_largest_twenty(page: Page) -> None:
    """Each has every day; the others are one without a name, and all together are the total."""

    def use(db: Connection) -> None:
        for number in range(25):
            same = {"sandbox": f"sb-{number:020}", "user": f"w{number:02}", "profile": "p", "groups": "[]"}
            amount = {"seconds": 3600.0 * (number + 1), "cpu_seconds": 0, "gb_seconds": 0, "gpu_seconds": 0}
            db.execute(insert(usage).values(day="2026-11-24", until=START, **same, **amount))

    await page.control.parts.store.run(use)
    root = await Person(page).login()
    seen = (await root.ask("/api/usage?by=user&over=day&since=2026-11-23&until=2026-11-25")).document
    assert [one["name"] for one in seen["series"]] == [f"w{number:02}" for number in range(24, 4, -1)] + [
        None
    ]
    assert [day["day"] for day in seen["series"][0]["days"]] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    hours = sum(day["server_hours"] for one in seen["series"] for day in one["days"])
    assert (hours, seen["series"][-1]["days"][1]["server_hours"]) == (seen["total"]["server_hours"], 15.0)


async def test_profiles_say_what_they_cost_and_who_gets_them(tmp_path: Path) -> None:
    """The price of an hour, whose they are, and what one user would get; a broken edit is told."""
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES)
    async with open_page(profiles=str(file)) as page:
        root = await Person(page).login()
        seen = (await root.ask("/api/profiles")).document
        assert (seen["profiles"][0]["variables"], "hunter2" in json.dumps(seen)) == (["TOKEN"], False)
        told = (await root.ask("/api/profiles/explain?user=bob")).document
        assert (told["profiles"][0]["gives"]["variables"], "hunter2" in json.dumps(told)) == (
            ["TOKEN"],
            False,
        )
        assert [(item["slug"], item["price_per_hour"]) for item in seen["profiles"]] == [
            ("small", 2.0),
            ("closed", 0.75),
        ]
        assert (seen["currency"], seen["problem"], seen["profiles"][1]["allowed_groups"]) == (
            "EUR",
            "",
            ["lab"],
        )
        told = (await root.ask("/api/profiles/explain?user=bob&groups=students")).document["profiles"]
        assert [bool(item["why"]) for item in told] == [False, True]
        told = (await root.ask("/api/profiles/explain?user=bob&groups=lab,x&profile=closed")).document[
            "profiles"
        ]
        assert [(item["slug"], item["why"]) for item in told] == [("closed", "")]


async def test_the_command_says_the_same(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of its twins prints the very answer that the page gets."""
    directory = page.control.here.directory
    (directory / "control").mkdir()
    (directory / "control" / "admin.sock").symlink_to(directory / "c-admin.sock")
    ports = {"public_port": 1, "hub_port": 2, "proxy_api_port": 3, "front_port": 4}
    site = str(directory / "site.json")
    write_site(site, Site(run_dir=str(directory), state_dir=str(directory), profiles="", **ports))  # type: ignore[arg-type]
    root = await Person(page).login()
    for command, path in (
        (
            "ps --search user1 --sort started --order desc --size 3",
            "table?search=user1&sort=started&order=desc&size=3",
        ),
        ("denials --user user1 --size 2 --page 2", "denials?user=user1&size=2&page=2"),
        ("audit show --action page.login", "audit?action=page.login&limit=50"),
        ("usage --by profile --over day", "usage?by=profile&over=day"),
        ("profiles list", "profiles"),
        ("health", "health"),
        ("gpu", "gpu"),
    ):
        await asyncio.to_thread(main, [*command.split(), "--json", "--site", site])
        said = json.loads(capsys.readouterr().out)
        assert said == (await root.ask(f"/api/{path}")).document, command
        await asyncio.to_thread(main, [*command.split(), "--site", site])
        assert capsys.readouterr().out, command
    await asyncio.to_thread(main, ["denials", "--host", "DROP", "--site", site])
    printed = capsys.readouterr().out
    assert ("\x1b" in printed, "\u202e" in printed, "DROP TABLE" in printed) == (False, False, True)


async def test_ten_thousand_are_no_reason_to_wait(page: Page) -> None:
    """A page of the table costs the database's thread less than 0.4 s, where 30 ms are usual."""

    def many(db: Connection) -> None:
        made = encode(spec())
        at = {
            "admitted_at": START,
            "ready_at": START,
            "status": "ready",
            "groups": [],
            "stages": {},
            "warned": [],
        }
        same = {"profile": "p", "profile_digest": "d", "spec": made, "audited": True, "grants": [], **at}
        rows = [{"id": f"sb-{n:020}", "user": f"m{n}", "server": "", **same} for n in range(10_000)]
        for first in range(0, len(rows), 500):
            db.execute(insert(sandboxes), rows[first : first + 500])

    store = page.control.parts.store
    await store.run(many)
    for query in (TableQuery(page=100), TableQuery(search="m77"), TableQuery(sort="gpus", descending=True)):

        def timed(db: Connection, query: TableQuery = query) -> tuple[float, int]:
            from time import thread_time

            before = thread_time()
            found = sandbox_page(db, query, START)
            return thread_time() - before, len(found.page)

        spent, shown = await store.run(timed)
        assert shown == 50
        assert spent < 0.4, query
