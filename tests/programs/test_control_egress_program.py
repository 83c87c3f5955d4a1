"""Do the admin's words about hosts act on the running control, and does a kill in the middle lose nothing?"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.clients.control import control_socket
from jupyter_sandbox_spawner.control.people import SANDBOX_HEADER
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.support.waiting import until

from .control_neighbours import asked, spec
from .test_control_program import Program, program

__all__ = ["program"]
Control = Callable[[str, bool], None]
ALICE = spec()
ESCAPE = "\x1b]0;owned\x07"


async def running(program: Program, wanted: SandboxSpec = ALICE) -> None:
    """Control, with alice's server."""
    await program.start()
    assert (await program.hub.admit(asked(wanted))).admitted
    program.here.running(wanted)
    await program.hub.ready(wanted.id, {})
    scope = f"custom:sandbox:self!server={wanted.user}/"
    program.here.hub.tokens["alice-token"] = {"name": "alice", "kind": "user", "scopes": [scope]}


async def wished(program: Program, host: str = "data.test", why: str = "the census") -> dict[str, Any]:
    """Alice's request, as the gateway would pass it on."""
    headers = {SANDBOX_HEADER: ALICE.id, "Authorization": "token alice-token"}
    connector = aiohttp.UnixConnector(control_socket(program.site, "gateway"))
    body = {"host": host, "port": 443, "why": why}
    async with (
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
        session.post("/api/self/egress/ask", headers=headers, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.proves("H06")
async def test_the_commands_show_and_answer_requests(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """What waits is shown without what a terminal obeys; each answer says what was done."""
    await running(program)
    site = ("--site", str(program.site_file))

    async def command(*words: str, status: int = 0) -> str:
        assert await asyncio.to_thread(main, ["egress", *words, *site]) == status
        said = capsys.readouterr()
        return said.out if status == 0 else said.err

    assert await command("requests") == "There is no such request.\n"
    first = await wished(program, why=f"<b>the census</b>{ESCAPE}")
    second = await wished(program, "other.test")
    heading, newest, oldest = (await command("requests")).splitlines()
    assert heading.split() == ["id", "status", "user", "server", "sandbox", "host", "asked", "until", "why"]
    assert newest.split()[:6] == [str(second["id"]), "waiting", "alice", "-", ALICE.id, "other.test:443"]
    moved = await command("approve", str(first["id"]), "--for", "8h", "--sandbox", "sb-other", status=2)
    assert f"waits for another sandbox now: {ALICE.id}" in moved
    assert "<b>the census</b>" in oldest
    assert "\x1b" not in oldest
    said = await command("approve", str(first["id"]), "--for", "8h", "--why", "For the census.")
    assert said.startswith(f"data.test:443 is open to sandbox {ALICE.id} until 20")
    assert said.endswith("(grant 1).\nRunning sandboxes that have it now: 1.\n")
    assert "is denied; alice reads why." in await command("deny", str(second["id"]), "--why", "No.")
    assert json.loads(await command("grants", "--json"))["items"][0]["pattern"] == "data.test"
    said = await command("revoke", "1", "--why", "Done.")
    assert said.endswith("is taken back.\nRunning sandboxes that have lost it now: 1.\n")
    assert await command("grants") == "Nothing is given.\n"
    assert "taken back at 20" in await command("grants", "--all")
    found = json.loads(await command("requests", "--status", "all", "--json"))
    assert [item["status"] for item in found["items"]] == ["denied", "revoked"]
    assert "does not wait: it is revoked" in await command("approve", "1", "--for", "1h", status=2)
    assert "'1x' is not a number" in await command("deny", "1x", "--why", "No.", status=2)


async def test_control_killed_as_it_tells_the_gateway_opens_it_after_its_restart(
    program: Program, control: Control
) -> None:
    """Recorded, audited and killed before the gateway took it over: the next control brings it there; the
    same when it is taken back."""
    await running(program)
    gateway = program.here.gateway

    def kill() -> None:
        assert program.process is not None
        program.process.send_signal(signal.SIGKILL)

    async def killed(work: Any) -> None:
        gateway.on_egress = kill
        answer = (await asyncio.gather(work, return_exceptions=True))[0]
        assert isinstance(answer, Exception)
        await program.end()
        gateway.on_egress = None
        await program.start()

    number = (await wished(program))["id"]
    await killed(program.admin.approve_egress(number, {"for": 3600}))
    control("the gateway had not taken it over", ALICE.id in gateway.told)
    await until(lambda: bool(gateway.policies.get(ALICE.id) and gateway.policies[ALICE.id].rules))
    (rule,) = gateway.policies[ALICE.id].rules
    assert (rule.pattern, rule.ports, rule.text) == ("data.test", (443,), f"data.test:443 (request {number})")
    await killed(program.admin.revoke_egress(1))
    await until(lambda: gateway.policies[ALICE.id].rules == ())
    assert program.audited("egress_grant.applied", "decided") == {ALICE.id}
    await program.end(signal.SIGTERM)
    assert program.findings() == []
