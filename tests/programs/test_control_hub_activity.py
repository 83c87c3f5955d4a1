"""What does a real hub take of activity, from control and from a server, and does our door answer alike?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest

from jupyter_sandbox_spawner.rules.activity_report import reply_to
from tests.programs.gateway_house import entry, gateway_house
from tests.programs.streams import connected
from tests.programs.test_control_hub import RealHub, hub, hub_url  # noqa: F401 fixtures

Control = Callable[[str, bool], None]
PAST = "2026-11-01T00:00:00.5Z"
BODIES = [
    {"last_activity": PAST, "servers": {"": {"last_activity": PAST}}},
    {"last_activity": PAST},
    {"servers": {"": {"last_activity": "2026-11-01T02:00:00+02:00"}}},
    {"last_activity": "2099-01-01T00:00:00Z"},
    {"servers": {"": {"last_activity": "2099-01-01T01:00:00+01:00"}}},
    {"servers": {"of-bob": {"last_activity": PAST}}},
    {"servers": {"": PAST}},
    {"servers": {"": {}}},
    {"servers": ["x"]},
    {"last_activity": "yesterday-ish"},
    {"last_activity": 7},
    {"last_activity": "", "servers": {}},
    {},
    [PAST],
    None,
]


@pytest.mark.proves("H03")
async def test_the_door_answers_as_the_hub_does(hub: RealHub) -> None:  # noqa: F811
    """For each of these bodies status and sentence are those of a real hub."""
    await hub.start("alice")
    made = await hub.admin("POST", "/users/alice/tokens", {"scopes": ["users:activity!user"]})
    headers = {"Authorization": f"token {made['token']}"}
    raws = [json.dumps(body).encode() for body in BODIES] + [b"{", b""]
    async with aiohttp.ClientSession(headers=headers) as session:
        for raw in raws:
            async with session.post(f"{hub.url}/users/alice/activity", data=raw) as answer:
                expected = answer.status, _message(await answer.read())
            ours = reply_to(raw, "alice", "", datetime.now(timezone.utc))
            assert (ours.status, _message(ours.body)) == expected, raw


@pytest.mark.proves("H03")
async def test_faked_activity_changes_nothing_at_the_hub(hub: RealHub, control: Control) -> None:  # noqa: F811
    """Posts through the door of a real gateway move no time at a real hub; what control tells does."""
    await hub.start("alice")
    await hub.start("bob")
    before = await _times(hub)
    port = int(hub.url.partition("127.0.0.1:")[2].partition("/")[0])
    ahead = (datetime.now(timezone.utc) + timedelta(minutes=50)).isoformat()
    async with gateway_house(hub_port=port) as house:
        _, directory = await house.open(entry("alice"))
        for user, server, at in (
            ("alice", "", ahead),
            ("alice", "", "2099-01-01T00:00:00Z"),
            ("alice", "of-bob", ahead),
            ("bob", "", ahead),
        ):
            body = json.dumps({"last_activity": at, "servers": {server: {"last_activity": at}}})
            for _ in range(5):
                await _post(f"{directory}/api.sock", user, body)
    assert await _times(hub) == before
    used = datetime.now(timezone.utc) + timedelta(seconds=1)
    await hub.client.tell_activity("alice", {"": used})
    after = await _times(hub)
    control("what control tells moves it", after["alice"] > before["alice"] and after["bob"] == before["bob"])


def _message(raw: bytes) -> str:
    return str(json.loads(raw)["message"]) if raw else ""


async def _times(hub: RealHub) -> dict[str, tuple[str, Any]]:  # noqa: F811
    users = await hub.admin("GET", "/users")
    return {user["name"]: (user["last_activity"], user["servers"][""]["last_activity"]) for user in users}


async def _post(door: str, user: str, body: str) -> None:
    head = f"POST /hub/api/users/{user}/activity HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    async with connected(door) as (reader, writer):
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 ")
