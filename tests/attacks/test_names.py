"""Is everybody somebody else, whatever they are called? Attacks O05 and O06."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.models import UserPlace
from tests.support.house import House

Control = Callable[[str, bool], None]
NAMES = ("a-b", "a_b", "a--b", "a.b", "ä", "x" * 200)


def _user(admin: Visitor, name: str, below: str = "") -> URL:
    return admin.hub(f"api/users/{quote(name, safe='')}" + (f"/{below}" if below else ""))


def _place(house: House, name: str) -> UserPlace:
    return house.ask_launcher(lambda client: client.place(name))


async def _as_admin(admin: Visitor, method: str, path: str, body: Any = None) -> Any:
    return await admin.call(method, admin.hub(f"api/{path}"), body)


async def _wait_for_servers(admin: Visitor, names: tuple[str, ...], running: bool) -> None:
    # The hub has no event for this that its API offers to an admin; its own pages poll as well.
    for _ in range(600):
        users = {user["name"]: user for user in await _as_admin(admin, "GET", "users")}
        states = [users[name]["servers"].get("", {}).get("ready", False) for name in names]
        pending = [users[name]["servers"].get("", {}).get("pending") for name in names]
        if all(state == running for state in states) and not any(pending):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"{names}: {states} {pending}")


@pytest.mark.proves("O05")
def test_o05_names_that_look_alike_share_nothing(house: House, control: Control) -> None:
    """Each of six names that look alike has a sandbox, a uid, a home and a path of its own."""
    admin = house.visitor("admin")

    async def play() -> None:
        await admin.open(admin.hub("home"))
        for name in NAMES:
            await admin.call("POST", _user(admin, name), {})
        for name in NAMES:
            await admin.call("POST", _user(admin, name, "server"), {"profile": "small"})
        await _wait_for_servers(admin, NAMES, True)

    house.wait(play(), 200)
    found = [item for item in house.inventory() if item.user in NAMES]
    control("every one of them runs", {item.user for item in found} == set(NAMES))
    places = [_place(house, name) for name in NAMES]
    assert len({place.host_uid for place in places}) == len(NAMES)
    assert len({place.home for place in places}) == len(NAMES)
    assert len({item.id for item in found}) == len(NAMES)
    prefixes = [item.prefix for item in house.ask_gateway(lambda client: client.inventory())]
    assert len(set(prefixes)) == len(prefixes)

    async def end() -> None:
        for name in NAMES:
            await admin.call("DELETE", _user(admin, name, "server"))
        await _wait_for_servers(admin, NAMES, False)
        for name in NAMES:
            await admin.call("DELETE", _user(admin, name))

    house.wait(end(), 200)


@pytest.mark.proves("O06")
def test_o06_a_new_user_of_an_old_name_gets_nothing_old(house: House, control: Control) -> None:
    """After a delete the same name has another uid and an empty home, and the old token opens nothing."""
    admin, name = house.visitor("admin"), "carol"

    async def make() -> str:
        await admin.open(admin.hub("home"))
        await admin.call("POST", _user(admin, name), {})
        made = await admin.call("POST", _user(admin, name, "tokens"), {"note": "old"})
        await admin.call("POST", _user(admin, name, "server"), {"profile": "small"})
        await _wait_for_servers(admin, (name,), True)
        return str(made["token"])

    async def stop() -> None:
        await admin.call("DELETE", _user(admin, name, "server"))
        await _wait_for_servers(admin, (name,), False)

    async def opens(token: str) -> int:
        headers = {"Authorization": f"token {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(admin.hub("api/user")) as answer,
        ):
            return answer.status

    old = house.wait(make(), 120)
    control("the old token opens the hub", house.wait(opens(old)) == 200)
    first = _place(house, name)
    secret = Path(first.home, f"secret-{secrets.token_hex(4)}.txt")
    subprocess.run(house.as_root("tee", str(secret)), input=b"of the first carol", check=True)
    there = subprocess.run(house.as_root("test", "-e", str(secret)), check=False)
    control("the first carol's file is there", there.returncode == 0)
    house.wait(stop())
    house.wait(_as_admin(admin, "DELETE", f"users/{name}"))
    new = house.wait(make(), 120)
    second = _place(house, name)
    control("the new token opens the hub", house.wait(opens(new)) == 200)
    assert second.host_uid != first.host_uid
    kept = subprocess.run(house.as_root("test", "-e", f"{second.home}/{secret.name}"), check=False)
    assert kept.returncode == 1
    assert house.wait(opens(old)) in {401, 403}
    house.wait(stop())
    house.wait(_as_admin(admin, "DELETE", f"users/{name}"))
