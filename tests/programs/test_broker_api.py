"""Does a secret reach exactly the server it was granted to, and only after the audit knows?"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Callable

import pytest

from jupyter_sandbox_spawner.control import audit as audit_module
from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.names import sandbox_id
from tests.programs.broker_street import ALICE, BOB, CANARY, GPU, BrokerStreet, broker_street

Control = Callable[[str, bool], None]
READ = "POST /api/secrets/db/warehouse/read"


@pytest.fixture
async def place() -> AsyncIterator[BrokerStreet]:
    """Alice's two servers and bob's one."""
    async with broker_street() as found:
        yield found


@pytest.mark.proves("S23")
async def test_the_list_names_what_is_granted_and_no_value(place: BrokerStreet) -> None:
    """Names, kinds, ends, whether stored and by whom; nobody else's names, no value; not to be cached."""
    status, document, headers = await place.ask("GET /api/secrets")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert [(item["name"], item["stored"]) for item in document["items"]] == [
        ("db/warehouse", True),
        ("users/alice/token", True),
        ("never/stored", False),
    ]
    first = document["items"][0]
    assert (first["kind"], first["static"], first["expires_at"]) == ("kv", True, None)
    assert first["granted_by"] == "profile cpu-small"
    text = json.dumps(document)
    assert CANARY not in text
    assert "bob" not in text


@pytest.mark.proves("S23")
async def test_a_server_without_grants_has_an_empty_list(place: BrokerStreet) -> None:
    """It gets no names at all, though the same person's other server has some."""
    status, document, _ = await place.ask("GET /api/secrets", "alice/gpu", GPU.id)
    assert (status, document["profile"], document["items"]) == (200, "cpu-small", [])
    assert document["store"]["ok"] is True


async def test_a_granted_secret_is_given_and_audited_as_static(place: BrokerStreet) -> None:
    """The value comes with its label; the audit has who, which server, which secret, and no value."""
    status, document, headers = await place.ask(READ)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert document["fields"] == {"password": f"{CANARY} of db/warehouse"}
    assert document["static"] is True
    (line,) = await place.audit("secret.read")
    assert (line["actor"], line["outcome"], line["subject"]["sandbox"]) == ("alice", "allowed", ALICE.id)
    assert line["detail"] == {
        "secret": "db/warehouse",
        "kind": "kv",
        "static": True,
        "delivery": "value",
        "profile": "cpu-small",
    }


@pytest.mark.proves("S03", "S04", "C08", "C10")
@pytest.mark.parametrize(
    ("line", "token", "sandbox", "code"),
    [
        ("POST /api/secrets/users/bob/token/read", "alice/", ALICE.id, "secret.not_granted"),
        ("POST /api/secrets/research/model/read", "alice/", ALICE.id, "secret.not_granted"),
        (READ, "bob/", BOB.id, "secret.not_granted"),
        (READ, "alice/gpu", GPU.id, "secret.not_granted"),
        (READ, "alice/gpu", ALICE.id, "identity.mismatch"),
        (READ, "bob/", ALICE.id, "identity.mismatch"),
        (READ, "minted", ALICE.id, "identity.mismatch"),
        (READ, "unknown", ALICE.id, "identity.unknown"),
        (READ, "", ALICE.id, "identity.missing"),
        ("GET /api/secrets", "", ALICE.id, "identity.missing"),
        ("GET /api/secrets", "bob/", ALICE.id, "identity.mismatch"),
    ],
)
async def test_anything_else_is_refused_and_audited(
    place: BrokerStreet, control: Control, line: str, token: str, sandbox: str, code: str
) -> None:
    """Another's secret, another's token, another server's, one minted without the scope: no value, a line."""
    place.here.hub.tokens["minted"] = {"name": "alice", "kind": "user", "scopes": ["self", "access:servers"]}
    status, document, _ = await place.ask(line, token, sandbox)
    assert (status in (401, 403), document["code"]) == (True, code)
    assert CANARY not in json.dumps(document)
    (denied,) = await place.audit("secret.denied")
    assert (denied["outcome"], denied["code"], denied["subject"]["sandbox"]) == ("denied", code, sandbox)
    control("the allowed twin is given", (await place.ask(READ))[0] == 200)


async def test_the_same_refusal_whether_it_exists_or_not(place: BrokerStreet) -> None:
    """Who has no grant cannot tell a secret that is stored from one that is not."""
    _, existing, _ = await place.ask("POST /api/secrets/users/bob/token/read")
    _, absent, _ = await place.ask("POST /api/secrets/users/eve/token/read")
    assert existing["code"] == absent["code"]
    assert existing["message"].replace("bob", "eve") == absent["message"]
    assert existing["remedy"] == absent["remedy"]


async def test_a_granted_secret_that_nobody_stored_says_so(place: BrokerStreet) -> None:
    """404 with the command for the admin; the audit has that nothing was given."""
    status, document, _ = await place.ask("POST /api/secrets/never/stored/read")
    assert (status, document["code"]) == (404, "secret.missing")
    assert "secrets put never/stored" in document["remedy"]
    lines = await place.audit("secret.read")
    assert [(line["outcome"], line.get("code", "")) for line in lines] == [
        ("allowed", ""),
        ("failed", "secret.missing"),
    ]


@pytest.mark.proves("C06", "S04")
async def test_a_release_ends_reading_at_once(place: BrokerStreet, control: Control) -> None:
    """The next read fails, with a token that the hub still knows; and so from the decision to stop on."""
    control("it was read before", (await place.ask(READ))[0] == 200)
    now = place.parts.clock.now()

    def decide(connection: object) -> bool:
        return records.decide_stop(connection, BOB.id, "stop.by_admin", "Why.", "admin", now)  # type: ignore[arg-type]

    await place.parts.store.run(decide)
    stopping = await place.ask("POST /api/secrets/users/bob/token/read", "bob/", BOB.id)
    await place.release(ALICE)
    released = await place.ask(READ)
    for status, document, _ in (stopping, released):
        assert (status, document["code"]) == (404, "sandbox.unknown")
        assert CANARY not in json.dumps(document)


@pytest.mark.proves("S04")
async def test_a_new_start_does_not_revive_the_old_id(place: BrokerStreet, control: Control) -> None:
    """After the same server started again the old sandbox's id reads nothing, the new one's does."""
    from tests.programs.control_neighbours import spec

    again = spec("alice", nonce="again")
    await place.admit(again, "db/warehouse")
    assert (await place.ask(READ))[1]["code"] == "sandbox.unknown"
    control("the new one reads", (await place.ask(READ, sandbox=again.id))[0] == 200)


@pytest.mark.proves("S41")
async def test_what_cannot_be_audited_is_not_given(
    place: BrokerStreet, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full audit disk no value goes out, and reads go on by themselves when there is room again."""
    control("it was read before", (await place.ask(READ))[0] == 200)

    def full(descriptor: int, raw: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(audit_module, "_write_whole", full)
        for _ in range(2):
            status, document, _ = await place.ask(READ)
            assert (status, document["code"]) == (503, "audit.full")
            assert CANARY not in json.dumps(document)
    await place.parts.audit.recover()
    control("it is read again", (await place.ask(READ))[0] == 200)


@pytest.mark.parametrize("away", ["hub", "control"])
async def test_without_hub_or_control_nothing_is_given(place: BrokerStreet, away: str) -> None:
    """Who cannot be known, or may not be known, gets a 503 with a code within seconds."""
    if away == "hub":
        await place.here.close("hub")
    else:
        os.unlink(place.here.path("c-broker"))
    status, document, _ = await asyncio.wait_for(place.ask(READ), 12)
    assert (status, document["code"]) == (503, f"{away}.unreachable")


@pytest.mark.proves("S03")
@pytest.mark.parametrize(
    "name",
    ["..", "a/../db/warehouse", "%2e%2e/db", "db%2fwarehouse", "db//warehouse", "DB/warehouse"],
)
async def test_the_broker_trusts_no_spelling_either(place: BrokerStreet, name: str) -> None:
    """Were the door ever to let one through, the broker refuses what is not a name."""
    import http.client
    import socket

    def raw() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(place.here.path("b-gateway"))
            head = f"POST /api/secrets/{name}/read HTTP/1.1\r\nHost: x\r\nX-Sandbox-Id: {ALICE.id}\r\n"
            head += "Authorization: token alice/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return str(answer.status).encode() + answer.read()

    answer = await asyncio.to_thread(raw)
    assert answer[:3] in (b"400", b"403", b"404")
    assert CANARY.encode() not in answer


@pytest.mark.parametrize("sandbox", ["", "sb-1", "../x", sandbox_id("eve", "", "9")])
async def test_only_an_open_sandbox_reads(place: BrokerStreet, sandbox: str) -> None:
    """Without the gateway's header, or with an id that is not open, there is nothing."""
    status, document, _ = await place.ask(READ, sandbox=sandbox)
    assert (status, document["code"]) == (404, "sandbox.unknown")


@pytest.mark.proves("T21")
async def test_a_flood_of_reads_is_slowed_down(place: BrokerStreet, control: Control) -> None:
    """A sandbox reads 30 times at once and then gets 429; its neighbour reads on; the audit stays small."""
    answers = [await place.ask(READ) for _ in range(60)]
    statuses = {status for status, _, _ in answers}
    assert statuses == {200, 429}
    refused = next(document for status, document, _ in answers if status == 429)
    assert refused["code"] == "secret.too_many"
    assert len(await place.audit("secret.read")) <= 45
    neighbour = await place.ask("POST /api/secrets/users/bob/token/read", "bob/", BOB.id)
    control("bob reads meanwhile", neighbour[0] == 200)


async def test_an_admin_puts_and_deletes_with_a_line_before(place: BrokerStreet) -> None:
    """By the admin's socket; the list has no value; the audit names the uid and has no value."""
    await place.admin.put("new/one", {"a": CANARY})
    listed = await place.admin.secrets()
    assert "new/one" in [item["name"] for item in listed["items"]]
    assert CANARY not in json.dumps(listed)
    await place.admin.delete("new/one")
    with pytest.raises(AnswerError) as caught:
        await place.admin.delete("new/one")
    assert caught.value.code == "secret.missing"
    lines = await place.audit("secret.put", "secret.delete")
    assert [(line["action"], line["detail"]["secret"]) for line in lines][:2] == [
        ("secret.put", "new/one"),
        ("secret.delete", "new/one"),
    ]
    assert lines[0]["actor"].startswith("admin uid ")
    assert CANARY not in json.dumps(lines)


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        ("A", {"a": "x"}, "secret.name_invalid"),
        ("a", {}, "secret.value_invalid"),
        ("a", {"a": ""}, "secret.value_invalid"),
        ("a", {"a": "x" * 1_000_000}, "secret.value_invalid"),
        ("a", {"a": 3}, "wire.invalid"),
    ],
)
async def test_the_broker_checks_what_an_admin_puts(
    place: BrokerStreet, name: str, fields: dict[str, str], code: str
) -> None:
    """Also without the command's own checks nothing odd gets into the store, and no value into an answer."""
    with pytest.raises(AnswerError) as caught:
        await place.admin.call("PUT", f"/api/secrets/{name}", {"fields": fields})
    assert caught.value.code in (code, "program.answered")
    assert "xxx" not in str(caught.value)
    assert await place.audit("secret.put") == []


async def test_no_change_without_the_audit(place: BrokerStreet, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be written down, not even into the reserve, an admin's put is refused."""

    def broken(descriptor: int, raw: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(audit_module, "_write_whole", broken)
    with pytest.raises(AnswerError) as caught:
        await place.admin.put("new/one", {"a": "x"})
    assert caught.value.code == "audit.unwritable"
    assert "new/one" not in [item.name for item in await place.store.describe()]


async def test_logs_have_names_and_no_values(place: BrokerStreet, caplog: pytest.LogCaptureFixture) -> None:
    """What broker and control log about reads, refusals and puts holds no value."""
    with caplog.at_level("DEBUG"):
        await place.ask(READ)
        await place.ask(READ, "bob/")
        await place.admin.put("new/one", {"a": CANARY})
    assert "db/warehouse" in caplog.text
    assert CANARY not in caplog.text
