"""Can an admin cut servers off from secrets, and does a required secret decide a start?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from jupyter_sandbox_spawner.broker.store import Secret
from jupyter_sandbox_spawner.clients.broker import BrokerControlClient, Whom
from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.rules.grants import Grant
from tests.programs.broker_street import ALICE, BOB, GPU, BrokerStreet, broker_street
from tests.programs.control_neighbours import asked, spec

Control = Callable[[str, bool], None]
READ = "POST /api/secrets/db/warehouse/read"


@pytest.fixture
async def place() -> AsyncIterator[BrokerStreet]:
    """Alice's two servers and bob's one."""
    async with broker_street() as found:
        yield found


async def test_the_kill_switch(place: BrokerStreet, control: Control) -> None:
    """One user's servers get nothing more, whatever they ask; another's do; a new server may read again."""
    control("alice may read", (await place.ask(READ))[0] == 200)
    found = await place.admin.revoke(Whom(user="alice"))
    assert found["sandboxes"] == sorted([ALICE.id, GPU.id])
    for line in (READ, READ.replace("/read", "/renew"), READ.replace("/read", "/revoke")):
        status, document, _ = await place.ask(line)
        assert (status, document["code"]) == (403, "secret.blocked")
    assert (await place.ask("POST /api/secrets/users/bob/token/read", "bob/", BOB.id))[0] == 200
    assert [line["detail"]["secret"] for line in await place.audit("secret.cut_off")] == ["alice"]
    again = spec("alice", nonce="9")
    await place.admit(again, "db/warehouse")
    assert (await place.ask(READ, sandbox=again.id))[0] == 200


async def test_a_read_on_its_way_is_refused_too(place: BrokerStreet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin's word counts from the moment it was given, also where the store had been asked already."""
    read = place.store.read

    async def slow(reader: Reader, grant: Grant) -> Secret:
        secret = await read(reader, grant)
        await place.admin.revoke(Whom(user="alice"))
        return secret

    monkeypatch.setattr(place.store, "read", slow)
    status, document, _ = await place.ask(READ)
    assert (status, document["code"]) == (403, "secret.blocked")


async def test_one_sandbox_or_everybody_can_be_cut_off(place: BrokerStreet) -> None:
    """By its id, which must run; and all that run."""
    with pytest.raises(AnswerError) as caught:
        await place.admin.revoke(Whom(sandbox="sb-" + "z" * 20))
    assert caught.value.code == "sandbox.unknown"
    with pytest.raises(AnswerError) as caught:
        await place.admin.revoke(Whom())
    assert caught.value.code == "secret.revoke_whom"
    assert (await place.admin.revoke(Whom(sandbox=GPU.id)))["sandboxes"] == [GPU.id]
    assert (await place.ask(READ))[0] == 200
    everybody = await place.admin.revoke(Whom(everybody=True))
    assert set(everybody["sandboxes"]) == {ALICE.id, GPU.id, BOB.id}
    assert (await place.ask(READ))[0] == 403
    assert set((await place.admin.state())["cut_off"]) == {ALICE.id, GPU.id, BOB.id}


async def test_a_required_secret_decides_a_start(place: BrokerStreet) -> None:
    """What cannot be given ends the start before anything runs, with the secret's name; then it is closed."""
    needy = spec("carol", nonce="7")
    secrets = (Grant(name="nobody/stored", required=True), Grant(name="db/warehouse"))
    answer = await Admissions(place.parts, lambda _: None).admit(asked(needy, secrets=secrets))
    assert (answer.admitted, answer.code) == (False, "secret.required")
    assert "starts no server without nobody/stored" in answer.message
    assert "secrets put nobody/stored" in answer.remedy
    (line,) = await place.audit("sandbox.released")
    assert (line["subject"]["sandbox"], line["code"]) == (needy.id, "secret.required")
    await place.store.put("nobody/stored", {"value": "x"}, "x")
    again = await Admissions(place.parts, lambda _: None).admit(
        asked(spec("carol", nonce="8"), secrets=secrets)
    )
    assert again.admitted


async def test_without_the_broker_only_those_start_that_need_it_not(place: BrokerStreet) -> None:
    """A server with grants starts with a notice, one that requires a secret does not."""
    async with BrokerControlClient("/nowhere/broker.sock") as nobody:
        parts = replace(place.parts, broker=nobody)
        for required in (False, True):
            wanted = spec("dora", nonce=str(required))
            secrets = (Grant(name="db/warehouse", required=required),)
            answer = await Admissions(parts, lambda _: None).admit(asked(wanted, secrets=secrets))
            assert answer.admitted is not required
            if not required:
                assert "Secrets cannot be read at present" in answer.notices[-1]
