"""Do the three sockets answer those they are for, and only about what is theirs?"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from jupyter_sandbox_spawner.clients.control import ControlAdminClient, ControlClient
from jupyter_sandbox_spawner.control.adopting import Adopted, adopt
from jupyter_sandbox_spawner.control.api_admin import AdminApi
from jupyter_sandbox_spawner.control.api_hub import HubApi
from jupyter_sandbox_spawner.control.api_self import SelfApi
from jupyter_sandbox_spawner.control.lifetime import Lifetime
from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.people import SANDBOX_HEADER, People
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.control.signals import Watcher
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.serving import application, listening_socket

from .control_neighbours import asked, spec
from .control_street import Street, parts_of, street

ALICE = spec("alice", ttl=3600, idle_timeout=1800)
BOB = spec("bob", ttl=3600)
EXTEND = {"extend_by": 3600, "extend_at_most": 7200}


class Control:
    """Control's three sockets on a street, without its loops."""

    def __init__(self, here: Street, parts: Parts) -> None:
        self.here, self.parts = here, parts
        self.watcher, self.stopper = Watcher(parts), Stopper(parts)
        self.lifetime = Lifetime(parts, self.watcher, self.stopper)
        self.people = People(parts)
        self.hub = ControlClient(here.path("c-hub"))
        self.admin = ControlAdminClient(here.path("c-admin"))

    async def serve(self, stack: AsyncExitStack) -> None:
        """Open all three."""
        reconciler = Reconciler(self.parts, self.stopper, self.lifetime)
        apis: dict[str, Any] = {
            "hub": HubApi(self.parts, self.lifetime, self.stopper, self.watcher, self.people),
            "self": SelfApi(self.parts, self.people, self.lifetime, self.stopper, self.watcher),
            "admin": AdminApi(self.parts, self.lifetime, reconciler, self.watcher),
        }
        for name, api in apis.items():
            app = application(frozenset())
            api.add_to(app)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening_socket(self.here.path(f"c-{name}"))).start()
        stack.push_async_callback(self.hub.close)
        stack.push_async_callback(self.admin.close)

    async def start(self, wanted: SandboxSpec, **terms: int) -> None:
        """Admit it, let it run, and give its user a token."""
        assert (await self.hub.admit(asked(wanted, **terms))).admitted
        self.here.running(wanted, self.here.clock.now())
        await self.hub.ready(wanted.id, {"place": 0.1})
        scope = f"custom:sandbox:self!server={wanted.user}/{wanted.server}"
        self.here.hub.tokens[f"{wanted.user}-token"] = {
            "name": wanted.user,
            "kind": "user",
            "scopes": [scope],
        }

    async def ask(
        self, method: str, path: str, sandbox: str = ALICE.id, token: str = "", body: Any = None
    ) -> tuple[int, Any]:
        """One request as the gateway would pass it on."""
        headers = {SANDBOX_HEADER: sandbox} if sandbox else {}
        if token:
            headers["Authorization"] = f"token {token}"
        connector = aiohttp.UnixConnector(self.here.path("c-self"))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as session,
            session.request(method, path, headers=headers, json=body) as answer,
        ):
            return answer.status, await answer.json() if answer.status != 204 else None


@pytest.fixture
async def control_program() -> AsyncIterator[Control]:
    """Control with alice's and bob's servers running."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cp", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        parts = await stack.enter_async_context(parts_of(here, Tuning(settle=0, tick=0.05)))
        program = Control(here, parts)
        await program.serve(stack)
        await program.start(ALICE, **EXTEND)
        await program.start(BOB)
        yield program


async def test_a_retried_admission_is_one_record(control_program: Control) -> None:
    """The same request again gets the same deadline, and there is one line in the audit."""
    again = await control_program.hub.admit(asked(ALICE, **EXTEND))
    assert again.admitted
    assert again.repeated
    lines = await control_program.parts.audit.lines(user="alice")
    assert [line["action"] for line in lines] == ["admission"]


async def test_soft_limits_are_told_everywhere(control_program: Control) -> None:
    """What the host does not enforce is in the audit, in a server's own answer and on the hub's pages."""
    hard, soft = ALICE, spec("carol", "soft")
    program = control_program
    assert (await program.ask("GET", "/api/self", hard.id, "alice-token"))[1]["soft_limits"] == []
    program.here.launcher.limits.update(cpu=False, memory=False)
    program.parts.limits._soft = None  # as after a restart of control
    await program.start(soft)
    (line,) = await program.parts.audit.lines(user="carol")
    assert (line["detail"]["isolation"], line["detail"]["soft_limits"]) == ("soft", ["cpu", "memory"])
    (first,) = await program.parts.audit.lines(user="alice")
    assert first["detail"]["isolation"] == "hard"
    answer = await program.ask("GET", "/api/self", soft.id, "carol-token")
    assert answer[1]["soft_limits"] == ["cpu", "memory"]
    (shown,) = await program.hub.servers("carol")
    assert shown.soft == ("cpu", "memory")


async def test_a_denial_has_its_reason_and_a_line(control_program: Control) -> None:
    """A third server where one more is allowed is denied with code and remedy, and audited."""
    answer = await control_program.hub.admit(asked(spec("alice", "b"), servers_per_user=1))
    assert (answer.admitted, answer.code) == (False, "quota.servers.user")
    assert answer.remedy
    (line,) = await control_program.parts.audit.lines(user="alice", limit=1)
    assert (line["action"], line["outcome"], line["code"]) == (
        "admission.denied",
        "denied",
        "quota.servers.user",
    )


async def test_nobody_is_admitted_without_an_audit(control_program: Control) -> None:
    """While the audit cannot be written an admission is denied with the reason and a time to try again."""
    control_program.parts.audit.trouble = "The audit cannot be written: its disk is full (/x)."
    answer = await control_program.hub.admit(asked(spec("carol")))
    assert (answer.admitted, answer.code) == (False, "audit.full")
    assert answer.retry_at is not None
    control_program.parts.audit.trouble = ""
    assert (await control_program.hub.admit(asked(spec("carol")))).admitted


async def test_a_sandbox_sees_itself(control_program: Control) -> None:
    """Status gives time left, when and why it would end, usage and what an extension would give."""
    status, me = await control_program.ask("GET", "/api/self")
    assert status == 200
    assert (me["user"], me["time_left"]) == ("alice", 3600)
    assert me["lifetime"]["why"].startswith("It runs until it counts as unused at")
    assert me["usage"]["memory"] == 1
    assert me["extension"]["code"] == "extend.not_yet"


async def test_a_sandbox_that_asks_all_the_time_costs_the_gateway_little(control_program: Control) -> None:
    """Its status takes the gateway's figures of the last seconds, which are those of all sandboxes."""
    for _ in range(20):
        assert (await control_program.ask("GET", "/api/self"))[0] == 200
        control_program.here.clock.pass_time(0.2)
    assert control_program.here.gateway.looks == 1
    control_program.here.clock.pass_time(6)
    await control_program.ask("GET", "/api/self")
    assert control_program.here.gateway.looks == 2


async def test_another_zones_end_tells_nothing_that_was_chosen_there(control_program: Control) -> None:
    """An exit code and words about an end stay in their zone; what ended and when is told."""
    for zone, nonce in (("phi", "1"), ("", "2")):
        ended = spec("carol", "", nonce, zone=zone)
        await control_program.start(ended)
        await control_program.hub.released(ended.id, "ended.exit", f"said in {zone}", 41, "its log")
        control_program.here.clock.pass_time(60)
        following = spec("carol", "", f"{nonce}b")
        await control_program.start(following)
        _, me = await control_program.ask("GET", "/api/self", following.id)
        stop = me["last"]["stop"]
        assert stop["code"] == "ended.exit"
        assert ("said" in stop["why"], stop["exit_code"]) == ((False, None) if zone else (True, 41))
        assert me["last"]["lines"] == ("" if zone else "its log")
        await control_program.hub.released(following.id, "ended.exit", "", 0)
        control_program.here.clock.pass_time(60)


async def test_an_adopted_server_is_answered(control_program: Control) -> None:
    """One whose record was lost hears its zone and its end; what it mounts nobody knows."""
    found, now = spec("carol", "", "9").id, control_program.here.clock.now()
    lost = Adopted(
        id=found, user="carol", server="", profile="cpu-small", ttl=60, idle_timeout=None, zone="phi"
    )
    await control_program.parts.store.run(lambda db: adopt(db, lost, now))
    status, me = await control_program.ask("GET", "/api/self", found)
    assert (status, me["zone"], me["datasets"], me["time_left"]) == (200, "phi", [], 60)
    for path in ("audit", "egress", "events"):
        assert (await control_program.ask("GET", f"/api/self/{path}", found))[0] == 200


async def test_the_last_reason_is_told_to_the_next_server(control_program: Control) -> None:
    """The next sandbox of a server reads why the one before was stopped, and so does the hub's page."""
    await control_program.admin.stop(ALICE.id, "The machine is needed.")
    await control_program.hub.released(ALICE.id, "ended.stopped", "The hub stopped it.", 0)
    last = await control_program.hub.last("alice", "")
    assert last is not None
    assert (last.status, last.code, last.why) == ("released", "stop.by_admin", "The machine is needed.")
    control_program.here.clock.pass_time(5)
    following = spec("alice", nonce="2")
    await control_program.start(following)
    _, me = await control_program.ask("GET", "/api/self", following.id)
    assert me["last"]["stop"]["why"] == "The machine is needed."


@pytest.mark.proves("X04")
async def test_identity_is_the_gateways_word_and_the_servers_own_token(
    control_program: Control, control: Callable[[str, bool], None]
) -> None:
    """No header, an unknown id, no token, a stranger's and another server's token are each refused."""
    ask = control_program.ask
    control_program.here.clock.pass_time(1800)
    tokens = control_program.here.hub.tokens
    tokens["minted"] = {"name": "alice", "kind": "user", "scopes": ["custom:sandbox:self!server=alice/b"]}
    refusals = {
        "no sandbox": await ask("GET", "/api/self", ""),
        "odd id": await ask("GET", "/api/self", "../../x"),
        "unknown": await ask("GET", "/api/self", spec("nobody").id),
        "no token": await ask("POST", "/api/self/extend"),
        "no such token": await ask("POST", "/api/self/extend", token="nonsense"),
        "bob's": await ask("POST", "/api/self/extend", token="bob-token"),
        "bob's, to read": await ask("GET", "/api/self", token="bob-token"),
        "another server's": await ask("POST", "/api/self/stop", token="minted"),
    }
    codes = {name: answer["code"] for name, (_, answer) in refusals.items()}
    assert codes == {
        "no sandbox": "sandbox.unknown",
        "odd id": "sandbox.unknown",
        "unknown": "sandbox.unknown",
        "no token": "identity.missing",
        "no such token": "identity.unknown",
        "bob's": "identity.mismatch",
        "bob's, to read": "identity.mismatch",
        "another server's": "identity.mismatch",
    }
    control(
        "alice's own token extends", (await ask("POST", "/api/self/extend", token="alice-token"))[0] == 200
    )
    lines = await control_program.parts.audit.lines(sandbox=ALICE.id)
    assert [line["code"] for line in lines if line["action"] == "identity.denied"] == [
        "identity.mismatch"
    ] * 3


async def test_a_released_sandbox_is_nobody(control_program: Control) -> None:
    """Nothing is believed past a release: the same header and token are refused at once."""
    assert (await control_program.ask("GET", "/api/self", token="alice-token"))[0] == 200
    await control_program.hub.released(ALICE.id, "ended.exit", "It ended.", 0)
    status, answer = await control_program.ask("GET", "/api/self", token="alice-token")
    assert (status, answer["code"]) == (404, "sandbox.unknown")


async def test_an_extension_counts_from_now_up_to_its_cap(control_program: Control) -> None:
    """Extensions are granted until the profile's cap, and the refusal says the cap and is audited."""
    here = control_program.here
    here.clock.pass_time(3000)
    status, answer = await control_program.ask("POST", "/api/self/extend", token="alice-token")
    assert (status, answer["deadline"]) == (200, "2026-11-25T13:50:00Z")
    here.clock.pass_time(3500)
    await control_program.ask("POST", "/api/self/extend", token="alice-token")
    here.clock.pass_time(3500)
    await control_program.ask("POST", "/api/self/extend", token="alice-token")
    status, answer = await control_program.ask("POST", "/api/self/extend", token="alice-token")
    assert (status, answer["code"]) == (409, "extend.at_cap")
    assert "2 h" in answer["message"]
    actions = [line["action"] for line in await control_program.parts.audit.lines(sandbox=ALICE.id)]
    assert actions[:4] == ["extension.denied", "sandbox.extend", "sandbox.extend", "sandbox.extend"]


async def test_an_extension_may_be_smaller(control_program: Control) -> None:
    """The user may ask for less than the profile offers, not for nonsense."""
    control_program.here.clock.pass_time(3000)
    path = "/api/self/extend"
    status, answer = await control_program.ask("POST", path, token="alice-token", body={"by": "soon"})
    assert (status, answer["code"]) == (400, "wire.invalid")
    status, answer = await control_program.ask("POST", path, token="alice-token", body={"by": 1800})
    assert (status, answer["deadline"]) == (200, "2026-11-25T13:20:00Z")


async def test_a_user_stops_from_inside(control_program: Control) -> None:
    """A stop asked for inside ends the server through the hub and names the person."""
    status, answer = await control_program.ask("POST", "/api/self/stop", token="alice-token")
    assert (status, answer["stop"]["code"], answer["stop"]["actor"]) == (202, "stop.by_user", "alice")
    assert control_program.here.hub.deleted == [("alice", "")]


async def test_status_is_readable_while_the_hub_is_away(control_program: Control) -> None:
    """Without the hub a sandbox still reads its own state; changing it waits for the hub."""
    await control_program.here.close("hub")
    assert (await control_program.ask("GET", "/api/self", token="alice-token"))[0] == 200
    status, answer = await control_program.ask("POST", "/api/self/extend", token="alice-token")
    assert (status, answer["code"]) == (503, "hub.unreachable")


async def test_why_answers_for_running_and_ended_servers(control_program: Control) -> None:
    """The admin reads why a server still runs, and later why it was stopped."""
    running = await control_program.admin.why("alice", "")
    assert running["lifetime"]["signals"]["door_used_at"] is not None
    await control_program.admin.stop(ALICE.id, "Maintenance.")
    await control_program.hub.released(ALICE.id, "ended.stopped", "x", 0, "a line of its log")
    ended = await control_program.admin.why("alice", "")
    assert ended["stop"]["why"] == "Maintenance."
    assert ended["stop"]["actor"].startswith("admin uid")
    assert [event["kind"] for event in ended["events"]] == ["stopping", "ended"]
    assert "a line of its log" not in str(ended)
    with pytest.raises(AnswerError) as caught:
        await control_program.admin.why("nobody", "x")
    assert caught.value.code == "sandbox.unknown"


async def test_the_admins_list_has_pages_and_users(control_program: Control) -> None:
    """The list holds open sandboxes, of one user if asked."""
    everyone = await control_program.admin.sandboxes()
    assert {item["user"] for item in everyone["items"]} == {"alice", "bob"}
    assert everyone["next"] is None
    mine = await control_program.admin.sandboxes(user="bob")
    assert [item["id"] for item in mine["items"]] == [BOB.id]


async def test_a_dry_run_changes_nothing(control_program: Control) -> None:
    """Reconcile without apply says what it would do; with apply it does it."""
    control_program.here.gateway.entries.pop(ALICE.id)
    dry = await control_program.admin.reconcile()
    assert [(item["verb"], item["sandbox"]) for item in dry["due"]] == [("reopen", ALICE.id)]
    assert control_program.here.gateway.opened == []
    await control_program.admin.reconcile(apply=True)
    assert control_program.here.gateway.opened == [ALICE.id]


@pytest.mark.parametrize("user", ["a-b", "a_b", "a--b", "ä", "x" * 200, "o'neil@example.org"])
@pytest.mark.proves("O05")
async def test_names_stay_apart(control_program: Control, user: str) -> None:
    """Names that look alike or are odd have records of their own and are found by exactly their name."""
    wanted = spec(user, "x--y")
    await control_program.hub.admit(asked(wanted))
    last = await control_program.hub.last(user, "x--y")
    assert last is not None
    assert last.sandbox == wanted.id
    assert await control_program.hub.last(user + "-", "x--y") is None
    assert len(await control_program.hub.servers(user)) == 1


async def test_a_foreign_field_is_refused(control_program: Control) -> None:
    """An unknown field in a body is refused by name, not ignored."""
    with pytest.raises(AnswerError) as caught:
        await control_program.hub.call("POST", f"/api/sandboxes/{ALICE.id}/ready", {"stages": {}, "x": 1})
    assert caught.value.code == "wire.invalid"
