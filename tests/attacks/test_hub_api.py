"""What may a sandbox say to the hub? Attacks H01 and H02."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from hub_config.demo.visitor import Refusal
from tests.support.house import House

Control = Callable[[str, bool], None]

# Golden table: what the server's token may do at the hub itself, where no door filters.
AT_THE_HUB = {
    ("GET", ""): 200,
    ("GET", "/user"): 200,
    ("GET", "/users"): 403,
    ("GET", "/users/alice"): 200,
    ("GET", "/users/bob"): 404,
    ("GET", "/groups"): 403,
    ("GET", "/services"): 403,
    ("GET", "/proxy"): 403,
    ("GET", "/info"): 403,
    ("GET", "/users/alice/tokens"): 403,
    ("POST", "/users/alice/tokens"): 403,
    ("POST", "/users/bob/tokens"): 403,
    ("POST", "/users/alice/server"): 403,
    ("DELETE", "/users/alice/server"): 403,
    ("POST", "/users/bob/server"): 403,
    ("DELETE", "/users/bob/server"): 403,
    ("POST", "/users/mallory"): 403,
    ("PATCH", "/users/alice"): 403,
    ("DELETE", "/users/bob"): 403,
    ("POST", "/shutdown"): 403,
    ("POST", "/groups/research/users"): 403,
}
# The same calls through the door: four pass, the rest is refused before the hub hears of it.
THROUGH_THE_DOOR = {("GET", ""): 200, ("GET", "/user"): 200}

CALL = """
import http.client
token = os.environ["JUPYTERHUB_API_TOKEN"]

def call(method, path, port=8081):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=False)
    connection.putheader("Authorization", "token " + token)
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"{}")
    return connection.getresponse().status
"""


def _sweep_inside(house: House) -> dict[tuple[str, str], int]:
    base = f"{house.site.base_url}hub/api"
    calls = [(method, suffix) for method, suffix in AT_THE_HUB]
    seen = house.attack(
        "alice",
        CALL
        + f"""
for method, suffix in {calls!r}:
    attempt(method + " " + suffix, lambda: call(method, "{base}" + suffix))
""",
    )
    return {(m, s): int(seen[f"{m} {s}"].get("value", 0)) for m, s in calls}


async def _sweep_outside(house: House, token: str) -> dict[tuple[str, str], int]:
    found = {}
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        for method, suffix in AT_THE_HUB:
            url = f"{house.running.base}hub/api{suffix}"
            body = None if method == "GET" else {}
            async with session.request(method, url, json=body) as answer:
                found[method, suffix] = answer.status
    return found


@pytest.mark.proves("H01")
def test_h01_the_servers_token_opens_what_the_table_says(house: House, control: Control) -> None:
    """Through the door only the four calls pass; even at the hub the token reads its own user only."""
    house.server("bob")
    inside = _sweep_inside(house)
    control("the token is the server's own", inside["GET", "/user"] == 200)
    assert inside == {key: THROUGH_THE_DOOR.get(key, 403) for key in AT_THE_HUB}
    seen = house.attack("alice", 'attempt("token", lambda: os.environ["JUPYTERHUB_API_TOKEN"])')
    outside = house.wait(_sweep_outside(house, str(seen["token"]["value"])))
    refused = {key: status for key, status in outside.items() if AT_THE_HUB[key] != 200}
    allowed = {key: status for key, status in outside.items() if AT_THE_HUB[key] == 200}
    control("the same token is known to the hub", set(allowed.values()) == {200})
    assert {key: status for key, status in refused.items() if status not in {403, 404}} == {}
    assert house.sandbox("bob") is not None
    assert house.sandbox("alice") is not None


@pytest.mark.proves("H02")
def test_h02_pages_and_path_tricks_stop_at_the_door(house: House, control: Control) -> None:
    """Login, admin, metrics, other users and every path trick get 403; the proxy's API is unreachable."""
    base = house.site.base_url
    tricks = [
        f"{base}hub/login",
        f"{base}hub/admin",
        f"{base}hub/metrics",
        f"{base}hub/home",
        f"{base}hub/spawn",
        f"{base}hub/api/users/bob/activity",
        f"{base}hub/api/../login",
        f"{base}hub/api/user/../users",
        f"{base}hub/api/%2e%2e/login",
        f"{base}hub/api//user",
        f"{base}hub/api/user/",
        f"{base}hub/api/user%00",
        f"{base}hub/api/user;x",
        f"{base}hub/API/user",
        "/",
        "//hub/api/user",
        "/services/sandbox/api/self/../../hub",
        "http://127.0.0.1/hub/admin",
    ]
    seen = house.attack(
        "alice",
        CALL
        + f"""
attempt("allowed", lambda: call("GET", "{base}hub/api/user"))
for path in {tricks!r}:
    attempt("GET " + path, lambda: call("GET", path))
attempt("POST login", lambda: call("POST", "{base}hub/login"))
for port in ({house.site.proxy_api_port}, 8001):
    attempt(f"proxy api {{port}}", lambda: call("GET", "/api/routes", port))
""",
    )
    control("an allowed call passes", seen.pop("allowed").get("value") == 200)
    by_port = {name: seen.pop(name) for name in list(seen) if name.startswith("proxy api")}
    assert [name for name, found in by_port.items() if found["ok"]] == []
    assert {name: f for name, f in seen.items() if f.get("value") not in {400, 403, 404}} == {}
    denied = house.events("api.denied", "alice")
    assert denied


ODD_OPTIONS: dict[str, dict[str, Any]] = {
    "image": {"image": "evil:latest"},
    "environment": {"environment": {"LD_PRELOAD": "/tmp/x.so"}},
    "volumes": {"volumes": {"/": "/host"}},
    "uid": {"uid": 0},
    "devices": {"devices": ["/dev/mem"]},
    "profile": {"profile": "x" * (10 << 20)},
    "options": {"options": [{"image": "evil:latest"}]},
    "options.privileged": {"options": {"privileged": "true"}},
    "options.image": {"options": {"image": {"name": "evil:latest"}}},
    "options.size": {"options": {"size": "x" * (10 << 20)}},
}


@pytest.mark.filterwarnings("ignore:Sending a large body")
@pytest.mark.proves("H04")
@pytest.mark.parametrize("field", ODD_OPTIONS)
def test_h04_odd_options_are_refused_and_audited(house: House, field: str, control: Control) -> None:
    """Options beside a profile, and 10 MB of JSON, get 400 and a line in the audit; nothing starts."""
    if house.sandbox("bob") is not None:
        house.stop("bob")
    bob = house.visitor("bob")
    house.wait(bob.open(bob.hub("home")))
    server = bob.hub("api/users/bob/server")
    with pytest.raises(Refusal) as refused:
        house.wait(bob.call("POST", server, ODD_OPTIONS[field]))
    assert (refused.value.status, len(refused.value.reason) < 400) == (400, True)
    audit = house.ask_control(lambda client: client.audit(user="bob", limit=1))["items"]
    assert [(item["action"], item["outcome"], item["detail"]["field"]) for item in audit] == [
        ("admission.denied", "denied", field)
    ]
    assert house.sandbox("bob") is None
    control("without it bob's server starts", field != "profile" or bool(house.server("bob")))
