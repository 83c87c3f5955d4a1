"""Does every store of secrets keep the contract of the broker's port? One suite, each store (Vault too)."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.broker.file_store import FileStore
from jupyter_sandbox_spawner.broker.store import LARGEST, Secret, SecretStore, check_fields
from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.errors import ConfigurationError, ProgramError, RefusedError
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.secret_names import check_name

from ..support.vault_server import VaultServer
from .control_street import python_path
from .vault_street import opened_vault

Control = Callable[[str, bool], None]
CANARY = "canary-5fd1-Gr\u00fc\u00dfe"
STORES = ("file", pytest.param("vault", marks=pytest.mark.lane("vault")))
READER = Reader(sandbox="sb-" + "a" * 20, user="alice", server="", profile="small")


async def read(store: SecretStore, name: str) -> Secret:
    """The values, as Alice's sandbox would read them."""
    return await store.read(READER, Grant(name=name))


async def names(store: SecretStore) -> list[str]:
    """What is stored."""
    return [item.name for item in await store.describe()]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SecretStore]:
    """Each store, empty."""
    if request.param == "file":
        async with FileStore(str(tmp_path / "broker")) as opened:
            yield opened
        return
    server: VaultServer = request.getfixturevalue("vault")
    # A prefix of its own makes it empty.
    async with opened_vault(server, tmp_path, kv_prefix=f"shared/{tmp_path.name}") as place:
        yield place.parts.store


async def test_what_was_put_is_read(store: SecretStore) -> None:
    """Fields come back as they were, under their name alone."""
    await store.put("db/warehouse", {"user": "u", "password": CANARY}, "admin uid 0")
    secret = await read(store, "db/warehouse")
    assert secret.name == "db/warehouse"
    assert dict(secret.fields) == {"user": "u", "password": CANARY}
    assert await names(store) == ["db/warehouse"]


async def test_a_new_value_replaces_the_old_one(store: SecretStore) -> None:
    """Fields of before are gone."""
    await store.put("a", {"one": "1", "two": "2"}, "x")
    await store.put("a", {"three": "3"}, "y")
    assert dict((await read(store, "a")).fields) == {"three": "3"}
    assert [item.changed_by for item in await store.describe()] == ["y"]


async def test_names_are_told_without_values(store: SecretStore) -> None:
    """Names in order, fields, bytes, who and when; a value is neither there nor in any repr."""
    before = datetime.now(timezone.utc)
    for name in ("b/c", "a"):
        await store.put(name, {"password": CANARY}, "admin uid 0")
    first, second = await store.describe()
    assert (first.name, second.name, first.fields) == ("a", "b/c", ("password",))
    assert (first.size, first.changed_by) == (len(CANARY.encode()), "admin uid 0")
    assert first.changed_at >= before
    assert CANARY not in repr((first, second, await read(store, "a"), store))


async def test_a_missing_one_is_refused_with_whom_to_ask(store: SecretStore) -> None:
    """Names that are prefixes or continuations of others are others."""
    await store.put("a/b", {"x": "1"}, "x")
    for name in ("a", "a/b/c", "b"):
        with pytest.raises(RefusedError) as caught:
            await read(store, name)
        assert (caught.value.code, caught.value.status) == ("secret.missing", 404)
        assert "jupyter-sandbox-admin secrets put" in caught.value.remedy


async def test_a_deleted_one_is_gone(store: SecretStore) -> None:
    """Deleting is told apart from deleting nothing."""
    await store.put("a", {"x": "1"}, "x")
    assert await store.delete("a") is True
    assert await store.delete("a") is False
    assert await names(store) == []


async def test_many_at_once_are_each_whole(store: SecretStore) -> None:
    """Concurrent writers of one name leave one of their values, and readers see whole ones only."""
    await store.put("a", {"x": "0", "y": "0"}, "x")

    async def write(number: int) -> None:
        await store.put("a", {"x": str(number), "y": str(number)}, "x")

    async def look() -> None:
        fields = (await read(store, "a")).fields
        assert fields["x"] == fields["y"]

    await asyncio.gather(*(task for number in range(20) for task in (write(number), look())))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "it has 0 fields"),
        ({"a": ""}, "the field 'a' is empty"),
        ({"a": "x\0y"}, "the field 'a' is binary"),
        ({"a": "\udcff"}, "the field 'a' is binary"),
        ({"a b": "x"}, "'a b' is not a field's name"),
        ({"a": "x" * (LARGEST + 1)}, f"it has {LARGEST + 1} bytes; at most {LARGEST} are kept"),
        ({"a": "\u00fc" * (LARGEST // 2), "b": "x"}, f"it has {LARGEST + 1} bytes"),
        ({"a": "x" * 1_000_000}, "it has 1000000 bytes"),
        ({f"f{number}": "x" for number in range(33)}, "it has 33 fields"),
    ],
)
def test_bad_values_are_refused_without_being_shown(fields: dict[str, str], words: str) -> None:
    """Empty, binary, too large, too many: a sentence with a way out and no value in it."""
    with pytest.raises(ConfigurationError) as caught:
        check_fields(fields)
    assert words in caught.value.message
    assert caught.value.remedy
    assert "xxx" not in str(caught.value)


def test_the_largest_is_taken() -> None:
    """64 KiB in all are kept, and a bad name is refused with the rule."""
    assert check_fields({"a": "x" * LARGEST})
    with pytest.raises(ConfigurationError, match=r"'\.\./x' is not a secret's name"):
        check_name("../x")


async def test_nothing_readable_is_on_disk(tmp_path: Path, control: Control) -> None:
    """Neither values nor names are in the files; directory 0700, files and key 0600."""
    directory = tmp_path / "broker"
    async with FileStore(str(directory)) as store:
        await store.put("db/needle", {"password": CANARY}, "x")
    found = {path: path.read_bytes() for path in directory.iterdir()}
    control("there are a key and a secret", {path.suffix for path in found} == {"", ".secret"})
    for path, raw in found.items():
        assert CANARY.encode() not in raw
        assert b"needle" not in raw
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_another_process_reads_it(tmp_path: Path) -> None:
    """The key is kept, so that secrets outlive the broker."""
    async with FileStore(str(tmp_path)) as store:
        await store.put("a", {"x": "1"}, "x")
    async with FileStore(str(tmp_path)) as again:
        assert dict((await read(again, "a")).fields) == {"x": "1"}


@pytest.mark.parametrize("what", ["cut", "changed", "exchanged"])
async def test_a_tampered_file_is_an_error(tmp_path: Path, what: str) -> None:
    """A file that was cut, changed, or put in another's place gives no value; the others go on."""
    async with FileStore(str(tmp_path)) as store:
        for name in ("a", "b", "c"):
            await store.put(name, {"x": name}, "x")
        path = {name: store._path(name) for name in ("a", "b")}
        raw = path["a"].read_bytes()
        tampered = {
            "cut": raw[:-9],
            "changed": raw[:40] + (b"B" if raw[40:41] == b"A" else b"A") + raw[41:],
            "exchanged": path["b"].read_bytes(),
        }
        path["a"].write_bytes(tampered[what])
    async with FileStore(str(tmp_path)) as store:
        with pytest.raises(ProgramError) as caught:
            await read(store, "a")
        assert (caught.value.code, caught.value.status) == ("secret.store_damaged", 503)
        assert await names(store) == ["b", "c"]
        assert dict((await read(store, "c")).fields) == {"x": "c"}


@pytest.mark.parametrize("what", ["missing", "exposed", "invalid"])
async def test_a_bad_key_stops_the_start(tmp_path: Path, what: str) -> None:
    """A key that is gone, open to others or broken is never replaced by a new one."""
    async with FileStore(str(tmp_path)) as store:
        await store.put("a", {"x": "1"}, "x")
    key = tmp_path / "key"
    if what == "missing":
        key.unlink()
    elif what == "exposed":
        key.chmod(0o644)
    else:
        key.write_bytes(b"short")
    with pytest.raises(ConfigurationError) as caught:
        await FileStore(str(tmp_path)).__aenter__()
    assert caught.value.code == f"secret.key_{what}"
    assert caught.value.remedy


def test_a_kill_in_the_middle_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """After SIGKILL amid a flood of writes the secret is whole, and the store opens."""
    code = (
        "import asyncio, sys\n"
        "from jupyter_sandbox_spawner.broker.file_store import FileStore\n"
        "async def main():\n"
        "    async with FileStore(sys.argv[1]) as store:\n"
        "        for number in range(10**9):\n"
        "            await store.put('a', {'x': str(number) * 5000, 'y': str(number) * 5000}, 'x')\n"
        "            print(number, flush=True)\n"
        "asyncio.run(main())\n"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path()},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()

        async def look() -> dict[str, str]:
            async with FileStore(str(tmp_path)) as store:
                return dict((await read(store, "a")).fields)

        fields = asyncio.run(look())
        assert fields["x"] == fields["y"]
