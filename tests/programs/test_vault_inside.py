"""Do a sandbox's commands, the broker, a real Vault and a real PostgreSQL belong together?"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub_config.vault.own_vault import Refused
from jupyter_sandbox_spawner.broker.blocks import Blocks
from jupyter_sandbox_spawner.broker.parts import Parts
from jupyter_sandbox_spawner.broker.secrets_api import SecretsApi
from jupyter_sandbox_spawner.broker.vault_parts import open_vault
from jupyter_sandbox_spawner.clients.grants import ControlBrokerClient
from jupyter_sandbox_spawner.clients.hub import HubClient
from jupyter_sandbox_spawner.rules.grants import Grant
from tests.programs.broker_door import broker_door
from tests.programs.broker_street import BrokerStreet, broker_street, serve
from tests.programs.control_neighbours import spec
from tests.programs.test_secrets_inside import run
from tests.programs.vault_street import site_of
from tests.support.vault_server import DATABASE, Warehouse

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("vault", "postgresql")
CAROL = spec("carol", nonce="5")
GRANTS = (
    Grant(name="users/{username}/notes"),
    Grant(name="db/live", kind="database", path=f"database/creds/{DATABASE}"),
    Grant(name="own/vault", kind="vault"),
)
# What a cell does: it reads, and prints what is no secret; the password goes to a file for the test.
READ = """
import sys
from jupyter_sandbox_spawner.singleuser.secret_values import secrets
with secrets("db/live") as secret:
    print(secret["username"].reveal())
    open(sys.argv[1], "w").write(secret["password"].reveal())
"""
# Between the look at a wrapping token and its opening somebody else opens it.
THIEF = """
from jupyter_sandbox_spawner.singleuser.vault_wrapping import Wrapping
look = Wrapping.creation_path
def stolen(self, token):
    found = look(self, token)
    self.unwrap(token)
    return found
Wrapping.creation_path = stolen
"""


@dataclass
class Place:
    """A broker at a real Vault, and what a process in carol's sandbox has in its environment."""

    street: BrokerStreet
    inside: dict[str, str]
    warehouse: Warehouse

    async def command(self, *words: str) -> tuple[int, str, str]:
        """`jupyter sandbox ...` in there."""
        return await run(self.inside, *words)

    async def document(self, *words: str) -> dict[str, Any]:
        """Its answer as JSON."""
        status, out, err = await self.command(*words, "--json")
        assert (status, err) == (0, ""), err + out
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
async def place(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[Place]:
    """Carol's server with a secret of its own, a database, and a Vault token."""
    async with AsyncExitStack() as stack:
        street = await stack.enter_async_context(broker_street())
        await street.admit(CAROL, *GRANTS)
        hub = await stack.enter_async_context(HubClient(street.here.hub_url, "", timeout=4))
        control = await stack.enter_async_context(ControlBrokerClient(street.here.path("c-broker")))
        blocks = Blocks(str(tmp_path))
        vault = await open_vault(
            stack, site_of(warehouse.vault), str(tmp_path / "broker"), control, blocks, street.store
        )
        warehouse.vault.set_jwt_keys(vault.signer.pems())
        parts = Parts(store=vault.store, blocks=blocks, control=control, vault=vault)
        socket = street.here.path("b-vault")
        await serve(stack, socket, SecretsApi(parts, hub))
        inside = await stack.enter_async_context(broker_door(socket, CAROL.id, "carol", "carol/"))
        yield Place(street, inside, warehouse)


@pytest.fixture
def file() -> Iterator[Path]:
    """Where a token may go: a place in memory."""
    directory = tempfile.mkdtemp(dir="/dev/shm")
    yield Path(directory) / "token"
    shutil.rmtree(directory)


async def test_what_is_held_is_listed_renewed_and_ended(
    place: Place, tmp_path: Path, control: Control
) -> None:
    """A database user comes by reading, is renewed by its command and gone by revoke; the list follows."""
    place.warehouse.vault.put("users/carol/notes", {"value": "x" * 20})
    listed = {item["name"]: item for item in (await place.document("secrets"))["items"]}
    assert listed["users/carol/notes"]["version"] == 1
    assert (listed["db/live"]["static"], listed["db/live"]["expires_at"]) == (False, None)
    assert (await place.document("secrets", "status"))["held"] == []
    kept = tmp_path / "password"
    name = await user_of(place, kept)
    count = await asyncio.to_thread(ask, place, name, kept.read_text())
    control("the user works", count == ["2"])
    (held,) = (await place.document("secrets", "status"))["held"]
    assert (held["name"], held["renewed"], held["expires_at"] is not None) == ("db/live", True, True)
    renewed = (await place.document("secrets", "renew", "db/live"))["secret"]
    assert renewed["expires_at"] >= held["expires_at"]
    status, out, _ = await place.command("secrets", "revoke", "db/live")
    assert (status, out) == (0, "1 credential of db/live ended.\n")
    assert name not in await asyncio.to_thread(place.warehouse.users)
    again = await user_of(place, kept)
    assert again != name


async def user_of(place: Place, kept: Path) -> str:
    """Read db/live as a notebook does; the user's name."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        READ,
        str(kept),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **place.inside},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return out.decode().strip()


def ask(place: Place, user: str, password: str) -> list[str]:
    """Count the visits as this database user."""
    found: list[str] = place.warehouse.postgres.sql_as(user, password, "SELECT count(*) FROM visits")
    return found


@pytest.mark.proves("S14")
async def test_a_token_of_its_own_reads_its_own(place: Place, file: Path, control: Control) -> None:
    """The file holds a token that reads carol's secret, which the broker renews and `revoke` ends."""
    vault = place.warehouse.vault
    vault.put("users/carol/notes", {"value": "hers"})
    told = await place.document("secrets", "vault", "own/vault", "--file", str(file))
    assert (told["file"], told["address"], told["renewed"]) == (str(file), vault.address, True)
    token = await asyncio.to_thread(file.read_text)
    control("it reads", vault.read("users/carol/notes", token) == {"value": "hers"})
    assert token not in json.dumps(told)
    status, out, _ = await place.command("secrets", "revoke", "own/vault")
    assert (status, out) == (0, "1 credential of own/vault ended.\n")
    with pytest.raises(Refused):
        vault.read("users/carol/notes", token)
    read, *_ = await place.street.audit("secret.read")
    assert (read["detail"]["kind"], read["outcome"]) == ("vault", "allowed")
    assert token not in json.dumps(await place.street.audit("secret.read", "secret.issued", "secret.revoked"))


@pytest.mark.proves("S14")
async def test_a_token_opened_on_the_way_is_in_the_audit(place: Place, file: Path, control: Control) -> None:
    """Who opens the wrapped token before the sandbox does leaves a security event and no file."""
    status, out, err = await run(
        place.inside, "secrets", "vault", "own/vault", "--file", str(file), before=THIEF
    )
    assert (status, out, await asyncio.to_thread(file.exists)) == (4, "", False)
    assert "somebody else opened it" in err
    (line,) = await place.street.audit("secret.alarm")
    assert (line["code"], line["subject"]["sandbox"]) == ("wrapping.used", CAROL.id)
    status, _, _ = await place.command("secrets", "vault", "own/vault", "--file", str(file))
    control("the next one opens", status == 0)
