"""What may a server say of itself, and to whom is its token worth something? H03 and X04."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from hub_config.demo.visitor import Refusal
from jupyter_sandbox_spawner.errors import AnswerError
from tests.support.house import House

Control = Callable[[str, bool], None]
RATE = 50  # requests a second that the API door carries

ASK = """
import http.client
base = os.environ["JUPYTERHUB_API_URL"].partition("8081")[2].removesuffix("hub/api")
token = os.environ["JUPYTERHUB_API_TOKEN"]

def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", 8081, timeout=10)
    headers = {"Authorization": "token " + token, "Content-Type": "application/json"}
    connection.request(method, base + path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return {"status": answer.status, "body": text}
"""


@pytest.mark.proves("H03")
def test_h03_activity_in_the_future_keeps_nobody(house: House, control: Control) -> None:
    """An activity or a claim of 2099 is ignored for culling; about another user, it is refused."""
    house.server("alice")
    seen = house.attack(
        "alice",
        ASK
        + """
now, then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "2099-01-01T00:00:00Z"

def activity(user, when):
    body = {"last_activity": when, "servers": {"": {"last_activity": when}}}
    return ask("POST", f"hub/api/users/{user}/activity", body)
attempt("now", lambda: activity("alice", now)["status"])
attempt("future", lambda: activity("alice", then)["status"])
attempt("bob", lambda: activity("bob", now)["status"])
claim = {"kernels": 1, "busy": 0, "terminals": 0, "last_activity": then}
attempt("claim", lambda: ask("POST", "services/sandbox/api/self/claims", claim)["status"])
attempt("self", lambda: json.loads(ask("GET", "services/sandbox/api/self")["body"]))

def flood():
    import threading
    found, begin = [], time.monotonic()

    def some():
        connection = http.client.HTTPConnection("127.0.0.1", 8081, timeout=20)
        for _ in range(60):
            connection.request("GET", base + "hub/login", headers={"Connection": "keep-alive"})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
    threads = [threading.Thread(target=some) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return {"slowed": found.count(429), "passed": len(found) - found.count(429),
            "seconds": time.monotonic() - begin}
attempt("flood", flood)
""",
    )
    control("activity of now is accepted", seen["now"].get("value") in {200, 204})
    assert seen["bob"].get("value") == 403
    document: Any = seen["self"]["value"]
    control("control answers about this sandbox", document["user"] == "alice")
    assert not str(document["lifetime"]["idle_since"]).startswith("2099")
    assert document["lifetime"]["idle_since"] <= document["now"]
    flood: Any = seen["flood"]["value"]
    assert flood["slowed"] or flood["passed"] <= 100 + RATE * flood["seconds"], flood
    control("the neighbour's page answers", bool(house.server("bob")))


@pytest.mark.proves("X04")
def test_x04_a_servers_token_is_nobody_outside(house: House, control: Control) -> None:
    """The server's token reads its own sandbox inside; outside it reaches neither self nor secrets."""
    house.server("alice")
    seen = house.attack(
        "alice",
        ASK
        + """
attempt("token", lambda: token)
attempt("self", lambda: ask("GET", "services/sandbox/api/self")["status"])
attempt("mint", lambda: ask("POST", "hub/api/users/alice/tokens", {"note": "x"})["status"])
""",
    )
    control("inside, the token reads its own sandbox", seen["self"].get("value") == 200)
    assert seen["mint"].get("value") == 403
    outside = house.wait(_outside(house, str(seen["token"]["value"])))
    control("the hub knows the token", outside.pop("hub/api/user") == 200)
    assert {path: status for path, status in outside.items() if status not in {401, 403, 404, 405}} == {}
    with pytest.raises(AnswerError):
        house.ask_control(lambda client: client.call("GET", "/api/self"))


async def _outside(house: House, token: str) -> dict[str, int]:
    headers = {"Authorization": f"token {token}"}
    own = "services/sandbox/api/self"
    every = ("services/sandbox/api/sandboxes", "services/sandbox/api/audit", "services/sandbox/api/secrets")
    paths = ("hub/api/user", own, f"{own}/audit", *every, f"hub/{own}", "api/self")
    found = {}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in paths:
            async with session.get(f"{house.running.base}{path}") as answer:
                found[path] = answer.status
        for port in (house.site.front_port, house.site.hub_port, house.site.control_port):
            async with session.get(f"http://127.0.0.1:{port}/services/sandbox/api/self") as answer:
                found[f"port {port}"] = answer.status
    return found


@pytest.mark.proves("X04")
def test_x04_only_an_admins_token_sees_all_sandboxes(house: House, control: Control) -> None:
    """By the public address an admin's token lists every sandbox; a user can neither use nor make one."""
    alice = house.sandbox("alice") or house.server("alice")
    scopes = ("custom:sandbox:admin",)
    admin, own = house.visitor("admin"), house.visitor("alice")

    async def asked(token: str) -> tuple[int, str]:
        headers = {"Authorization": f"token {token}"}
        address = f"{house.running.base}services/sandbox/api/sandboxes"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(address) as answer:
            return answer.status, await answer.text()

    async def play() -> tuple[tuple[int, str], tuple[int, str], int]:
        by_admin = await asked(await admin.token(scopes=scopes))
        by_user = await asked(await own.token())
        try:
            await own.token(scopes=scopes)
        except Refusal as refusal:
            return by_admin, by_user, refusal.status
        return by_admin, by_user, 201

    by_admin, by_user, made = house.wait(play())
    control("the admin sees alice's sandbox", by_admin[0] == 200 and '"alice"' in by_admin[1])
    assert alice is not None
    assert (by_user[0], made) == (403, 400)


@pytest.mark.proves("T20")
def test_t20_a_minted_token_with_a_servers_scope_is_nobody_outside(house: House, control: Control) -> None:
    """A user may mint a token with the scope of her server's own; outside the sandbox it reads nothing."""
    house.server("alice")
    visitor = house.visitor("alice")
    token = house.wait(visitor.token(scopes=("custom:sandbox:self!server=alice/",)))
    outside = house.wait(_outside(house, token))
    control("the hub knows the token", outside.pop("hub/api/user") == 200)
    known = house.wait(_scopes(house, token))
    control("the hub gave it the scope", "custom:sandbox:self!server=alice/" in known)
    assert {path: status for path, status in outside.items() if status not in {401, 403, 404, 405}} == {}


async def _scopes(house: House, token: str) -> list[str]:
    headers = {"Authorization": f"token {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{house.running.base}hub/api/user") as answer,
    ):
        found: list[str] = (await answer.json()).get("scopes", [])
        return found
