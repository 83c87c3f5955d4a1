"""Who gets into the admin page, and what does its cookie count for? Attack X03, by requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

import pytest

from .page_street import PREFIX, Page, Person, open_page
from .test_control_api import ALICE

Check = Callable[[str, bool], None]
STOP = f"/api/sandboxes/{ALICE.id}/stop"
WHY = {"why": "Maintenance."}


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """On a hub with subdomains."""
    async with open_page() as found:
        yield found


async def test_who_is_not_logged_in_goes_by_the_hub_and_comes_back(page: Page) -> None:
    """What was asked for opens after the hub's login, with its filters."""
    browser = Person(page)
    _, asked = await browser.sent_to_the_hub("/?view=denials&user=alice")
    assert (asked["client_id"], asked["code_challenge_method"]) == ("service-sandbox", "S256")
    back = await browser.come_back(asked)
    assert (back.status, back.headers["location"]) == (302, f"{PREFIX}/?view=denials&user=alice")
    assert b"static/app.js" in (await browser.open("/?view=denials&user=alice")).body
    me = (await browser.ask("/api/me")).document
    assert (me["name"], me["can_write"], me["hub"]) == ("root", True, "/hub/")


async def test_a_login_is_good_once_and_for_the_browser_that_began_it(page: Page, control: Check) -> None:
    """A link that would log somebody in as another person, a second use, and a made-up state are refused."""
    mallory, victim = Person(page, "mallory"), Person(page)
    _, asked = await mallory.sent_to_the_hub()
    await victim.sent_to_the_hub()
    refused = [await victim.come_back(asked), await victim.come_back(asked | {"state": "made-up"})]
    control("it works where it began", (await mallory.come_back(asked)).status == 302)
    refused.append(await mallory.come_back(asked))
    assert [(seen.status, b"page.login_failed" in seen.body) for seen in refused] == [(403, True)] * 3
    assert "sandbox-admin" not in victim.cookies


async def test_the_session_is_a_cookie_that_no_script_reads(page: Page) -> None:
    """HttpOnly, SameSite=Lax; bound to the page's host alone where the proxy says https."""
    browser = Person(page)
    _, asked = await browser.sent_to_the_hub()
    (line,) = (await browser.come_back(asked)).cookies
    name, *rest = line.split("; ")
    assert name.startswith("sandbox-admin=")
    assert set(rest) == {f"Path={PREFIX}/", "HttpOnly", "SameSite=Lax"}
    (line,) = (await Person(page).open("/", **{"X-Forwarded-Proto": "https"})).cookies
    assert line.startswith("__Host-sandbox-admin-login=")
    assert {"Secure", "Path=/"} <= set(line.split("; "))


async def test_every_route_refuses_who_is_not_logged_in(page: Page, control: Check) -> None:
    """By token, by cookie or by neither: 401 or 403 as JSON, and nothing was done; Vault's keys answer."""
    stranger = Person(page)
    bob = await Person(page, "bob", ("self",)).login()
    open_to_all = {f"{PREFIX}/.well-known/jwks.json", f"{PREFIX}/oauth_callback", f"{PREFIX}/logout"}
    asked = 0
    for method, path in page.routes:
        if path in open_to_all or method in ("HEAD", "*"):
            continue
        filled = re.sub(r"\{[^}]*\}", "x", path)
        for person, headers in (
            (stranger, {}),
            (stranger, {"X-Sandbox-Page": "1", "Sec-Fetch-Site": "same-origin"}),
            (stranger, {"Authorization": "token made-up"}),
            (bob, {"X-Sandbox-Page": "1", "Origin": f"http://{page.host}"}),
        ):
            seen = await person.send(method, filled, headers)
            assert seen.status in (401, 403), (method, filled, headers)
            assert seen.code.startswith(("identity.", "page.")), (method, filled, seen)
            assert seen.headers["content-type"].startswith("application/json")
            assert seen.headers["x-content-type-options"] == "nosniff"
            asked += 1
    control("it swept over them all", asked > 60)
    root = await Person(page).login()
    control("who is logged in is answered", (await root.ask("/api/table")).status == 200)
    assert [item["status"] for item in (await root.ask("/api/table")).document["items"]] == ["ready"]


async def test_who_is_no_admin_reads_why(page: Page) -> None:
    """A page that says so, with the way out, and a line in the audit."""
    bob = await Person(page, "bob", ("access:services!service=sandbox",)).login()
    seen = await bob.open("/")
    assert (seen.status, b"identity.no_admin" in seen.body, b"bob is not among them" in seen.body) == (
        403,
        True,
        True,
    )
    lines = await page.control.parts.audit.lines(user="bob")
    assert [line["code"] for line in lines] == ["identity.no_admin"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Origin": "http://evil.example"}, "page.foreign"),
        ({"Origin": "null"}, "page.foreign"),
        ({"Origin": ""}, "page.foreign"),
        ({"Sec-Fetch-Site": "same-site"}, "page.foreign"),
        ({"Sec-Fetch-Site": "cross-site"}, "page.foreign"),
        ({"X-Sandbox-Page": ""}, "page.header_missing"),
        ({"X-Sandbox-Page": "0"}, "page.header_missing"),
    ],
)
@pytest.mark.proves("X03")
async def test_x03_no_other_page_acts_as_the_admin(
    page: Page, control: Check, more: dict[str, str], code: str
) -> None:
    """A stop that another site's page, or one on a sister host, sends with the admin's cookie is refused."""
    root = await Person(page).login()
    seen = await root.ask(STOP, "POST", WHY, **more)
    assert (seen.status, seen.code) == (403, code)
    (item,) = (await root.ask("/api/table")).document["items"]
    assert (item["status"], item["stop"]) == ("ready", None)
    control("the page's own script may", (await root.ask(STOP, "POST", WHY)).status in (200, 202))


@pytest.mark.parametrize(
    "more", [{"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}, {"X-Sandbox-Page": ""}]
)
@pytest.mark.proves("X03")
async def test_x03_no_other_page_reads_as_the_admin(page: Page, control: Check, more: dict[str, str]) -> None:
    """Nor is anything read for one; the admin's own page reads it."""
    root = await Person(page).login()
    seen = await root.ask("/api/table", **more)
    assert (seen.status, "items" in seen.document) == (403, False)
    control("the page's own script may", (await root.ask("/api/table")).status == 200)


@pytest.mark.proves("X03")
async def test_x03_without_subdomains_nothing_is_changed_by_cookie(control: Check) -> None:
    """A page of a user's server is then the same origin and could send all of it; the command is named."""
    async with open_page(own_host=False) as page:
        root = await Person(page).login()
        me = (await root.ask("/api/me")).document
        assert (me["can_write"], "no subdomains" in me["why_not"]) == (False, True)
        seen = await root.ask(STOP, "POST", WHY)
        assert (seen.status, seen.code) == (403, "page.read_only")
        assert f"jupyter-sandbox-admin stop {ALICE.id} --why" in seen.document["remedy"]
        control("it reads", (await root.ask("/api/table")).status == 200)
        token = {"Authorization": "token scripts"}
        page.control.here.hub.tokens["scripts"] = {"name": "root", "kind": "user", "scopes": [*root.scopes]}
        stopped = await Person(page).send("POST", f"{PREFIX}{STOP}", token, WHY)
        control("a script with a token may", stopped.status in (200, 202))


async def test_a_session_ends_with_the_hubs_token(page: Page) -> None:
    """After a logout at the hub a call says that the login has ended, and the page goes by the hub again."""
    root = await Person(page).login()
    assert (await root.ask("/api/me")).status == 200
    page.control.here.hub.tokens.clear()
    page.control.here.clock.pass_time(11)
    seen = await root.ask("/api/me")
    assert (seen.status, seen.code) == (401, "page.session_ended")
    await root.sent_to_the_hub()


async def test_logging_out_ends_the_session(page: Page) -> None:
    """The cookie that a browser kept is worth nothing afterwards."""
    root = await Person(page).login()
    kept = dict(root.cookies)
    assert b"logged out" in (await root.open("/logout")).body
    root.cookies = kept
    assert (await root.ask("/api/me")).code == "page.session_ended"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_no_other_page_logs_an_admin_out(page: Page, control: Check, site: str) -> None:
    """A link on a page of somebody else ends no session."""
    root = await Person(page).login()
    seen = await root.open("/logout", **{"Sec-Fetch-Site": site})
    assert (seen.status, b"page.foreign" in seen.body) == (403, True)
    control("the session is as it was", (await root.ask("/api/me")).status == 200)


async def test_a_cookie_that_was_planted_goes_into_no_header(page: Page, control: Check) -> None:
    """What is not such a random number as we give is passed over for a new one."""
    browser = Person(page)
    kept = {"Cookie": 'sandbox-admin-login="x\\073 Domain=hub.example"'}
    (line,) = (await browser.open("/", **kept)).cookies
    assert re.fullmatch(r"sandbox-admin-login=[A-Za-z0-9_-]{20,64}", line.split("; ")[0])
    assert "Domain" not in line
    own = {"Cookie": f"sandbox-admin-login={'a' * 43}"}
    (line,) = (await browser.open("/", **own)).cookies
    control("one of ours is kept", line.startswith(f"sandbox-admin-login={'a' * 43};"))


async def test_while_the_hub_is_away_nobody_is_believed_for_long(page: Page, control: Check) -> None:
    """A session that the hub confirmed a moment ago goes on; later it is 503, and it says so."""
    root = await Person(page).login()
    control("with the hub it reads", (await root.ask("/api/me")).status == 200)
    await page.control.here.close("hub")
    assert (await root.ask("/api/me")).status == 200
    page.control.here.clock.pass_time(11)
    seen = await root.ask("/api/me")
    assert (seen.status, seen.code) == (503, "hub.unreachable")
    shown = await root.open("/")
    assert (shown.status, b"The hub does not answer" in shown.body) == (503, True)
    await page.control.here.serve("hub")
    assert (await root.ask("/api/me")).status == 200


async def test_a_login_is_in_the_audit(page: Page) -> None:
    """Who opened the page."""
    await Person(page).login()
    (line,) = [item for item in await page.control.parts.audit.lines() if item["action"] == "page.login"]
    assert (line["actor"], line["outcome"]) == ("admin root", "allowed")


async def test_what_was_asked_for_cannot_forge_an_answers_headers(page: Page) -> None:
    """A line break in the address comes back as it was written, in the one header that it belongs to."""
    browser = Person(page)
    _, asked = await browser.sent_to_the_hub("/?y=%0d%0aset-cookie:%20forged=1")
    back = await browser.come_back(asked)
    assert back.headers["location"].lower().startswith(f"{PREFIX}/?y=%0d%0aset-cookie:")
    assert [line for line in back.cookies if "forged" in line.partition(";")[0]] == []


async def test_files_of_the_page_are_those_of_its_directory(page: Page, control: Check) -> None:
    """Types, a tag by which they are kept, a strict policy; no other path leads to a file."""
    root = await Person(page).login()
    script = await root.ask("/static/app.js")
    assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert script.headers["cache-control"] == "no-cache"
    again = await root.ask("/static/app.js", **{"If-None-Match": script.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    shell = await root.open("/")
    policy = shell.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(re.split(r"[ ;]+", policy))
    assert (shell.headers["x-frame-options"], shell.headers["cross-origin-opener-policy"]) == (
        "DENY",
        "same-origin",
    )
    control("another file is served", (await root.ask("/static/style.css")).status == 200)
    for name in (
        "notes.txt",
        "nothing.js",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/api_admin.py",
        ".js",
        "app.js%00",
    ):
        assert (await root.ask(f"/static/{name}")).status in (400, 404), name
