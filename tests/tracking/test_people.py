"""Is nobody let in whom the hub and the door do not both vouch for? Checks 26 and 27."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from jupyter_sandbox_spawner.clients.hub import TokenOwner
from jupyter_sandbox_spawner.errors import RefusedError, UnreachableError
from jupyter_sandbox_spawner.tracking.identity import People
from tests.tracking.server import API, MlflowServer

Control = Callable[[str, bool], None]
INFO = "/api/3.0/mlflow/server-info"
DOOR = {"x-sandbox-id": "sb-aaaaaaaaaaaaaaaaaaaa", "x-sandbox-user": "ada", "x-sandbox-server": ""}


class HubWithOneToken:
    """Knows ada's token `good` until it is told otherwise; `away` hubs do not answer."""

    def __init__(self) -> None:
        self.away = False
        self.good = "good"
        self.asked = 0

    async def whose(self, token: str) -> TokenOwner | None:
        self.asked += 1
        if self.away:
            raise UnreachableError("away", code="hub.unreachable")
        if token != self.good:
            return None
        return TokenOwner(name="ada", kind="user", scopes=("custom:sandbox:self!server=ada/",))


def _with(token: str) -> dict[str, str]:
    return {**DOOR, "authorization": f"Bearer {token}"}


async def test_the_hub_is_asked_once_in_45_seconds() -> None:
    """A thousand metrics of one cell cost one question; after 45 s it is asked again."""
    hub = HubWithOneToken()
    people = People(hub)
    for now in (0.0, 1.0, 44.0):
        assert (await people.visitor(_with("good"), now)).user == "ada"
    assert hub.asked == 1
    await people.visitor(_with("good"), 46.0)
    assert hub.asked == 2


async def test_a_hub_that_is_away_lets_nobody_in() -> None:
    """What was believed is believed to its end and no longer; an unknown token never."""
    hub = HubWithOneToken()
    people = People(hub)
    await people.visitor(_with("good"), 0.0)
    hub.away = True
    assert (await people.visitor(_with("good"), 44.0)).user == "ada"
    for token, now in (("good", 46.0), ("other", 1.0)):
        with pytest.raises(UnreachableError):
            await people.visitor(_with(token), now)


async def test_a_revoked_token_ends_with_its_minute() -> None:
    """A token that the hub has forgotten is refused 45 s later at the latest; a new one works at once."""
    hub = HubWithOneToken()
    people = People(hub)
    await people.visitor(_with("good"), 0.0)
    hub.good = "rotated"
    assert (await people.visitor(_with("rotated"), 1.0)).user == "ada"
    with pytest.raises(RefusedError) as caught:
        await people.visitor(_with("good"), 46.0)
    assert (caught.value.code, caught.value.status) == ("identity.unknown", 401)


@pytest.mark.proves("C09")
def test_only_the_doors_own_token_is_believed(mlflow: MlflowServer, control: Control) -> None:
    """No token, an unknown one, bob's, another server's of hers, a service's: each refused by its code."""
    hub, door = mlflow.hub, mlflow.door("alice")
    own = mlflow.call("alice", "GET", INFO)
    control("her own token is believed", own.status == 200)
    hub.owners["service"] = {"name": "alice", "kind": "service", "scopes": ["custom:sandbox:self!user=alice"]}
    hub.owners["narrow"] = {"name": "alice", "kind": "user", "scopes": ["access:servers!user=alice"]}
    attempts = {
        "": (401, "identity.missing"),
        "Bearer nonsense": (401, "identity.unknown"),
        f"Bearer {hub.give('bob')}": (403, "identity.mismatch"),
        f"Bearer {hub.give('alice', 'second')}": (403, "identity.mismatch"),
        "Bearer service": (403, "identity.mismatch"),
        "Bearer narrow": (403, "identity.mismatch"),
    }
    for header, expected in attempts.items():
        seen = mlflow.request("GET", INFO, door | ({"Authorization": header} if header else {}))
        assert (seen.status, seen.code) == expected, header


@pytest.mark.proves("C09")
def test_without_a_door_nobody_is_anybody(mlflow: MlflowServer, control: Control) -> None:
    """A request without the door's headers is refused whatever token it has; so is one that has two."""
    token = {"Authorization": f"Bearer {mlflow.hub.give('alice')}"}
    control(
        "with the door it is let in", mlflow.request("GET", INFO, mlflow.door("alice") | token).status == 200
    )
    assert mlflow.request("GET", INFO, token).code == "tracking.no_door"
    twice = mlflow.door("alice") | token | {"x-sandbox-user": "bob"}
    assert mlflow.request("GET", INFO, twice).code == "tracking.bad_header"


def test_the_real_server_denies_while_the_hub_is_away(mlflow: MlflowServer, control: Control) -> None:
    """With the hub away a new token gets a sentence that says what to do, within seconds; then it works."""
    token = mlflow.hub.give("carol", token="carols-first")
    headers = mlflow.door("carol") | {"Authorization": f"Bearer {token}"}
    mlflow.hub.away = True
    try:
        began = time.monotonic()
        seen = mlflow.request("POST", f"{API}/runs/search", headers, b"{}")
    finally:
        mlflow.hub.away = False
    assert (seen.status, seen.code) == (424, "hub.unreachable")
    assert "run the cell again" in seen.document["message"]
    assert time.monotonic() - began < 10
    control("with the hub back it is let in", mlflow.request("GET", INFO, headers).status == 200)
