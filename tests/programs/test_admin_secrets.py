"""Can an admin store secrets by the command, with nothing on its command line, and is bad input refused?"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin import secrets as command
from jupyter_sandbox_spawner.admin.cli import parser
from jupyter_sandbox_spawner.clients.broker import BrokerAdminClient
from jupyter_sandbox_spawner.errors import ConfigurationError, ProgramError
from jupyter_sandbox_spawner.settings import write_site

from .control_street import python_path, street
from .test_control_program import Program

Control = Callable[[str, bool], None]
CANARY = "canary-2b77-value"
PROFILES = """
- display_name: A
  slug: a
  default: true
  sandbox:
    cpu: 1
    memory: 1G
    secrets: [db/warehouse, 'users/{user}/git']
- display_name: B
  slug: b
  allowed_groups: [research]
  sandbox: {cpu: 1, memory: 1G, secrets: [{name: s3/lab, kind: aws}]}
"""


class House:
    """Control and broker as programs of their own, and the admin's command beside them."""

    def __init__(self, control: Program, directory: Path) -> None:
        self.control, self.directory = control, directory
        self.broker: asyncio.subprocess.Process | None = None
        self.client = BrokerAdminClient(control.site.broker_socket("admin"))

    @property
    def environ(self) -> dict[str, str]:
        """What its programs get."""
        return {"PATH": os.environ["PATH"], "PYTHONPATH": python_path()}

    async def start_broker(self) -> None:
        """Start it and wait until it answers."""
        words = ("-m", "jupyter_sandbox_spawner.broker", "--site", str(self.control.site_file))
        self.broker = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=self.environ, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(600):
            assert self.broker.returncode is None, await self.end_broker()
            with suppress(ProgramError):
                await self.client.call("GET", "/health")
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the broker does not answer")

    async def end_broker(self, number: signal.Signals = signal.SIGKILL) -> str:
        """End it and read what it said."""
        if self.broker is None:
            return ""
        with suppress(ProcessLookupError):
            self.broker.send_signal(number)
        _, said = await self.broker.communicate()
        self.broker = None
        return said.decode()

    async def run(self, *words: str, given: bytes = b"") -> tuple[int, str]:
        """`jupyter-sandbox-admin secrets ...`: its status and everything it printed."""
        site = ("--site", str(self.control.site_file))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyter_sandbox_spawner.admin", "secrets", *words, *site),
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(given)
        return process.returncode or 0, said.decode()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Both programs, running."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="as", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        control = Program(here)
        (Path(name) / "profiles.yaml").write_text(PROFILES)
        object.__setattr__(control.site, "profiles", f"{name}/profiles.yaml")
        write_site(control.site_file, control.site)
        found = House(control, Path(name))
        stack.push_async_callback(control.end)
        stack.push_async_callback(found.end_broker)
        for client in (control.hub, control.admin, found.client):
            stack.push_async_callback(client.close)
        await control.start()
        await found.start_broker()
        yield found


@pytest.mark.timeout(180)
async def test_an_admin_puts_lists_explains_and_deletes(house: House, control: Control) -> None:
    """By standard input and by file; names are shown, no value anywhere; the audit has the verbs."""
    file = house.directory / "keys.json"
    file.write_text(json.dumps({"access_key_id": CANARY, "secret_access_key": CANARY}))
    said = [
        await house.run("put", "db/warehouse", given=f"{CANARY}\n".encode()),
        await house.run("put", "s3/lab", "--format", "json", "--file", str(file)),
        await house.run("list"),
        await house.run("explain"),
        await house.run("explain", "--user", "ada", "--json"),
        await house.run("delete", "s3/lab"),
        await house.run("list", "--json"),
    ]
    assert [status for status, _ in said] == [0] * 7, said
    text = "\n".join(words for _, words in said)
    assert CANARY not in text
    assert "db/warehouse  value" in said[2][1]
    assert f"access_key_id,secret_access_key  {2 * len(CANARY)}" in said[2][1]
    assert [line.split() for line in said[3][1].splitlines()] == [
        ["secret", "kind", "delivery", "profile", "groups", "stored"],
        ["db/warehouse", "kv", "value", "a", "everyone", "yes"],
        ["s3/lab", "aws", "value", "b", "research", "yes"],
        ["users/{user}/git", "kv", "value", "a", "everyone", "?"],
    ]
    assert {"secret": "users/ada/git", "stored": "no"}.items() <= json.loads(said[4][1])["granted"][
        -1
    ].items()
    assert [item["name"] for item in json.loads(said[6][1])] == ["db/warehouse"]
    audit = (house.directory / "state/audit/audit.ndjson").read_text()
    control("the audit has the verbs", audit.count('"secret.put"') == 2 and '"secret.delete"' in audit)
    assert CANARY not in audit
    assert house.control.findings() == []


@pytest.mark.timeout(180)
async def test_the_broker_as_a_program(house: House) -> None:
    """Its sockets are private, kill -9 loses nothing, SIGTERM ends it soon, and its log has no value."""
    assert (await house.run("put", "db/warehouse", given=CANARY.encode()))[0] == 0
    directory = house.directory / "broker"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {path.name for path in directory.iterdir()} == {"gateway.sock", "control.sock", "admin.sock"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in directory.iterdir())
    await house.end_broker()
    status, said = await house.run("list")
    assert (status, "The broker does not answer" in said, "Traceback" in said) == (2, True, False)
    await house.start_broker()
    assert "db/warehouse" in (await house.run("list"))[1]
    log = await asyncio.wait_for(house.end_broker(signal.SIGTERM), 5)
    assert CANARY not in log


@pytest.mark.proves("C05")
async def test_the_broker_leaves_no_core_dump(house: House, control: Control) -> None:
    """Neither limit nor kernel lets it, whatever takes dumps on this host: another program's is taken."""
    ask = "import ctypes, resource as r; print(ctypes.CDLL(None).prctl(3), r.getrlimit(r.RLIMIT_CORE)[1])"
    first = "from jupyter_sandbox_spawner.broker.app import forbid_dumps; forbid_dumps(); "
    said = []
    for code in (ask, first + ask):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code), env=house.environ, stdout=asyncio.subprocess.PIPE
        )
        said.append((await process.communicate())[0].decode().split())
    control("a program is dumpable by itself", said[0][0] == "1")
    assert said[1] == ["0", "0"]
    assert house.broker is not None
    limits = await asyncio.to_thread(Path(f"/proc/{house.broker.pid}/limits").read_text)
    assert re.search(r"Max core file size +0 +0 ", limits)


async def test_a_broker_without_its_key_does_not_start(house: House) -> None:
    """It ends with status 2 and the remedy, and makes no new key over stored secrets."""
    assert (await house.run("put", "a", given=b"x"))[0] == 0
    await house.end_broker()
    (house.directory / "state/broker/key").unlink()
    words = ("-m", "jupyter_sandbox_spawner.broker", "--site", str(house.control.site_file))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env=house.environ, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, b"secret.key_missing" in said, b"Traceback" in said) == (2, True, False)
    assert not (house.directory / "state/broker/key").exists()


@pytest.mark.parametrize(
    ("raw", "form", "words"),
    [
        (b"\xff\xfe\x00", "text", "it is binary"),
        (b"{", "json", "it is not JSON"),
        (b"[1]", "json", "it is not an object of texts"),
        (b'{"a": 1}', "json", "it is not an object of texts"),
    ],
)
def test_what_is_no_text_is_refused(raw: bytes, form: str, words: str) -> None:
    """Binary and broken input get a sentence with a way out that quotes none of it."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        command.fields_of(raw, form)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b"x\n", {"value": "x"}),
        (b"x\r\n", {"value": "x"}),
        (b"x\n\n", {"value": "x\n"}),
        (b" x ", {"value": " x "}),
    ],
)
def test_one_line_break_at_the_end_is_no_part_of_it(raw: bytes, fields: dict[str, str]) -> None:
    """`echo` and editors add one; anything else is the value's own."""
    assert command.fields_of(raw, "text") == fields


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("../x", b"x", "is not a secret's name"),
        ("Db", b"x", "is not a secret's name"),
        ("a", b"", "the field 'value' is empty"),
        ("a", b"\n", "the field 'value' is empty"),
        ("a", b"\x00\x01", "is binary"),
        ("a", b"\xff", "is binary"),
        ("a", b"x" * 1_000_000, "at most 65536 are kept"),
        ("a", b"x" * 2_000_000, "larger than 1 MiB"),
    ],
)
async def test_bad_input_is_refused_before_anybody_is_asked(name: str, given: bytes, words: str) -> None:
    """Name, empty, binary, 1 MB: status 2, one sentence and a remedy; no site is needed for that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyter_sandbox_spawner.admin", "secrets", "put", name),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path()},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, error = await process.communicate(given)
    assert (process.returncode, said) == (2, b"")
    assert words in error.decode()
    assert len(error.decode().splitlines()) == 2
    assert b"xxx" not in error


def test_values_are_asked_for_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """--field asks once for each; with --file or json it is refused."""
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "v"

    monkeypatch.setattr(command, "getpass", answer)
    options = parser().parse_args(["secrets", "put", "a", "--field", "user", "--field", "pw"])
    assert command.read_fields(options) == {"user": "v", "pw": "v"}
    assert asked == ["user: ", "pw: "]
    for words in (["--file", "x"], ["--format", "json"]):
        with pytest.raises(ConfigurationError, match="--field asks"):
            command.read_fields(parser().parse_args(["secrets", "put", "a", "--field", "f", *words]))


def test_no_option_takes_a_value() -> None:
    """The help says the limits, and no argument of `put` could hold a secret."""
    top = parser()
    (verbs,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    (below,) = (a for a in verbs.choices["secrets"]._actions if isinstance(a, argparse._SubParsersAction))
    put = below.choices["put"]
    assert {action.dest for action in put._actions} == {"help", "site", "name", "field", "file", "format"}
    text = put.format_help()
    for words in ("64 KiB", "binary", "base64", "1 to 32", "200 characters", "not empty"):
        assert words in text
