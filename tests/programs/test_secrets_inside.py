"""Do the commands of a sandbox and the real broker understand each other, verb by verb?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.broker.store import About, Ended, Secret
from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.rules.grants import Grant
from tests.programs.broker_door import broker_door, finished
from tests.programs.broker_street import CANARY, BrokerStreet, broker_street
from tests.programs.control_neighbours import spec

Control = Callable[[str, bool], None]
CAROL = spec("carol", nonce="4")
COMMAND = "import sys\nfrom jupyter_sandbox_spawner.singleuser.commands import main\nsys.exit(main())"
GRANTS = (
    "db/warehouse",
    "never/stored",
    Grant(name="team/git", kind="git", host="git.example.org"),
    Grant(name="own/vault", kind="vault"),
)
HOST = "protocol=https\nhost=git.example.org\n\n"


@pytest.fixture
async def place() -> AsyncIterator[BrokerStreet]:
    """A broker, and carol's server."""
    async with broker_street() as found:
        await found.store.put("team/git", {"user": "bot", "password": CANARY}, "x")
        await found.admit(CAROL, *GRANTS)
        yield found


@pytest.fixture
async def inside(place: BrokerStreet) -> AsyncIterator[dict[str, str]]:
    """What a process of carol's server has in its environment."""
    async with broker_door(place.here.path("b-gateway"), CAROL.id, "carol", "carol/") as environment:
        yield environment


async def run(inside: dict[str, str], *words: str, says: str = "", before: str = "") -> tuple[int, str, str]:
    """`jupyter sandbox ...` as a process in there; `before` is run in it first."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        before + COMMAND,
        *words,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **inside},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(says.encode())
    process.stdin.close()
    return await finished(process)


@pytest.mark.proves("S23")
async def test_the_list_is_understood(inside: dict[str, str]) -> None:
    """Every field that the broker sends is read; the table has all that is granted and no value."""
    status, out, err = await run(inside, "secrets", "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert [(item["name"], item["stored"]) for item in document["items"]] == [
        ("db/warehouse", True),
        ("never/stored", False),
        ("team/git", True),
        ("own/vault", False),
    ]
    assert document["store"] == {"kind": "embedded", "ok": True, "code": "", "message": "", "remedy": ""}
    _, table, _ = await run(inside, "secrets")
    assert "git, static" in table
    assert "git.example.org" in table
    assert CANARY not in out + table


async def test_git_is_answered_from_the_store(inside: dict[str, str], place: BrokerStreet) -> None:
    """The login of the granted host comes from the store, and the read is in the audit."""
    answered = await run(inside, "git-credential", "get", says=HOST)
    assert answered == (0, f"username=bot\npassword={CANARY}\n", "")
    (line,) = await place.audit("secret.read")
    assert (line["detail"]["secret"], line["detail"]["kind"]) == ("team/git", "git")
    other = await run(inside, "git-credential", "get", says=HOST.replace("git.", "evil."))
    assert other == (0, "", "")
    assert len(await place.audit("secret.read")) == 1


async def test_what_is_held_is_renewed_and_ended(
    inside: dict[str, str], place: BrokerStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """renew and revoke reach the store for this sandbox and this grant, and say what it says."""
    end = datetime.now(timezone.utc) + timedelta(minutes=30, seconds=30)
    asked: list[tuple[str, str, str]] = []

    async def renew(reader: Reader, grant: Grant) -> About:
        asked.append(("renew", reader.sandbox, grant.name))
        return About(stored=True, expires_at=end, renewed=True)

    async def revoke(reader: Reader, grant: Grant) -> Ended:
        asked.append(("revoke", reader.sandbox, grant.name))
        return Ended(ended=1, queued=1)

    monkeypatch.setattr(place.store, "renew", renew)
    monkeypatch.setattr(place.store, "revoke", revoke)
    status, out, _ = await run(inside, "secrets", "renew", "db/warehouse")
    assert (status, "in 30 min, renewed while this server runs" in out) == (0, True)
    status, out, _ = await run(inside, "secrets", "revoke", "db/warehouse")
    assert (status, out.splitlines()) == (
        0,
        [
            "1 credential of db/warehouse ended.",
            "1 of db/warehouse could not be ended yet; the broker goes on trying.",
        ],
    )
    assert asked == [("renew", CAROL.id, "db/warehouse"), ("revoke", CAROL.id, "db/warehouse")]


async def test_the_built_in_store_renews_nothing(inside: dict[str, str]) -> None:
    """A static value has nothing to renew, and revoking it ends nothing: both say so."""
    status, out, err = await run(inside, "secrets", "renew", "db/warehouse")
    assert (status, out) == (4, "")
    assert "nothing of 'db/warehouse' that could be renewed. Read it first" in err
    status, out, _ = await run(inside, "secrets", "revoke", "db/warehouse")
    assert (status, out.splitlines()[0]) == (0, "No credential of db/warehouse ended.")


@pytest.mark.parametrize("verb", ["renew", "revoke"])
async def test_what_is_not_granted_is_refused_for_every_verb(
    inside: dict[str, str], place: BrokerStreet, verb: str
) -> None:
    """A name of somebody else's gets the same refusal as a read, and a line in the audit."""
    status, out, err = await run(inside, "secrets", verb, "users/bob/token")
    assert (status, out) == (4, "")
    assert "grants this server no secret 'users/bob/token'" in err
    assert [line["code"] for line in await place.audit("secret.denied")] == ["secret.not_granted"]


@pytest.mark.proves("S14")
async def test_a_failed_unwrap_is_in_the_audit(
    inside: dict[str, str], place: BrokerStreet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm of a sandbox is a line of security with its secret and code, and no value."""
    from tests.singleuser.vaultapi import vault_api

    with vault_api() as vault:

        async def read(reader: Reader, grant: Grant) -> Secret:
            fields = {"wrapped_token": "hvs.gone", "address": vault.address, "expected_path": "auth/x/login"}
            return Secret(name=grant.name, fields=fields)

        monkeypatch.setattr(place.store, "read", read)
        status, out, err = await run(inside, "secrets", "vault", "own/vault", "--file", "/dev/shm/never-made")
    assert (status, out) == (4, "")
    assert "somebody else opened it" in err
    assert not await asyncio.to_thread(os.path.exists, "/dev/shm/never-made")
    (line,) = await place.audit("secret.alarm")
    assert (line["code"], line["outcome"], line["detail"]["secret"]) == (
        "wrapping.used",
        "denied",
        "own/vault",
    )
    assert line["subject"]["sandbox"] == CAROL.id
    assert "hvs." not in json.dumps(line)


@pytest.mark.proves("S14")
@pytest.mark.parametrize(
    ("name", "body", "token", "code"),
    [
        ("own/vault", '{"code": "wrapping.used"}', "bob/", "identity.mismatch"),
        ("own/vault", '{"code": "wrapping.used"}', "", "identity.missing"),
        ("own/vault", '{"code": "other.alarm"}', "carol/", "secret.alarm_unknown"),
        ("own/vault", '{"code": "wrapping.used", "note": "x"}', "carol/", "wire.invalid"),
        ("own/vault", '{"code": 3}', "carol/", "wire.invalid"),
        ("own/vault", "{}", "carol/", "wire.invalid"),
        ("own/vault", "", "carol/", "wire.invalid"),
        ("db/warehouse", '{"code": "wrapping.used"}', "carol/", "secret.not_granted"),
        ("users/bob/token", '{"code": "wrapping.used"}', "carol/", "secret.not_granted"),
    ],
)
async def test_only_a_known_alarm_about_an_own_token_is_written(
    place: BrokerStreet, control: Control, name: str, body: str, token: str, code: str
) -> None:
    """Other servers, codes, fields and secrets put nothing into the audit as an alarm."""
    line = f"POST /api/secrets/{name}/alarm"
    status, document, _ = await place.ask(line, token, CAROL.id, body)
    assert (status >= 400, document["code"]) == (True, code)
    assert await place.audit("secret.alarm") == []
    good = await place.ask(
        "POST /api/secrets/own/vault/alarm", "carol/", CAROL.id, '{"code": "wrapping.used"}'
    )
    control("the right one is written", good[0] == 200 and len(await place.audit("secret.alarm")) == 1)


async def test_alarms_are_paced(place: BrokerStreet) -> None:
    """A sandbox cannot fill the audit with alarms: after 30 at once it gets 429."""
    line, body = "POST /api/secrets/own/vault/alarm", '{"code": "wrapping.used"}'
    statuses = [(await place.ask(line, "carol/", CAROL.id, body))[0] for _ in range(50)]
    assert set(statuses) == {200, 429}
    assert len(await place.audit("secret.alarm")) == statuses.count(200) <= 40
