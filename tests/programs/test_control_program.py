"""Does control as a program of its own survive kill -9 at any moment, and refuse to start where it must?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.control import (
    Admission,
    ControlAdminClient,
    ControlClient,
    control_socket,
)
from jupyter_sandbox_spawner.control.audit_files import AuditPaths, public_keys
from jupyter_sandbox_spawner.errors import ProgramError
from jupyter_sandbox_spawner.rules.audit import verify
from jupyter_sandbox_spawner.serving import listening_socket
from jupyter_sandbox_spawner.settings import Site, write_site
from tests.support.control_databases import KIND, ask

from .control_neighbours import TOKEN, asked, spec
from .control_street import Street, python_path, street


class Program:
    """`python -m jupyter_sandbox_spawner.control` beside its neighbours."""

    module = "jupyter_sandbox_spawner.control"

    def __init__(self, here: Street, database: str | None = None) -> None:
        self.here = here
        state = here.directory / "state"
        self.site = Site(
            run_dir=str(here.directory),
            state_dir=str(state),
            profiles="",
            public_port=1,
            hub_port=here.hub_port,
            proxy_api_port=1,
            front_port=9999,
            database=database if database is not None else here.database if KIND == "postgresql" else "",
        )
        self.database = self.site.database or str(state / "control/control.sqlite")
        self.site_file = here.directory / "site.json"
        write_site(self.site_file, self.site)
        self.token = here.directory / "control.token"
        self.token.touch(0o600)
        self.token.write_text(TOKEN)
        self.environment = {"PATH": os.environ["PATH"], "PYTHONPATH": python_path()}
        self.process: asyncio.subprocess.Process | None = None
        self.hub = ControlClient(control_socket(self.site, "hub"), 60.0)
        self.admin = ControlAdminClient(control_socket(self.site, "admin"), 60.0)

    async def start(self, *more: str, descriptors: tuple[int, ...] = ()) -> None:
        """Start it and wait until it answers."""
        await self.launch(*more, descriptors=descriptors)
        for _ in range(600):
            assert self.process is not None
            assert self.process.returncode is None, await self.output()
            with suppress(ProgramError):
                await self.admin.sandboxes()
                return
            await asyncio.sleep(0.05)
        raise AssertionError("control does not answer")

    async def launch(self, *more: str, descriptors: tuple[int, ...] = ()) -> None:
        """Start it."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.module,
            "--site",
            str(self.site_file),
            *more,
            env=self.environment,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
        )

    async def output(self) -> str:
        """What it said, after its end."""
        assert self.process is not None
        _, said = await self.process.communicate()
        return said.decode()

    async def end(self, number: signal.Signals = signal.SIGKILL) -> str:
        """End it and read what it said."""
        if self.process is None:
            return ""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        said = await self.output()
        self.process = None
        return said

    def findings(self) -> list[str]:
        """What `audit verify` would find."""
        paths = AuditPaths(Path(self.site.state_dir) / "audit")
        lines = paths.records.read_bytes().splitlines(keepends=True)
        heads = paths.heads.read_bytes().splitlines(keepends=True)
        return [finding.message for finding in verify(lines, heads, public_keys(paths)).findings]

    def audited(self, action: str, outcome: str) -> set[str]:
        """Sandboxes with such a line."""
        lines = (Path(self.site.state_dir) / "audit/audit.ndjson").read_bytes().splitlines()
        found = [json.loads(line) for line in lines]
        return {
            line["subject"]["sandbox"]
            for line in found
            if (line["action"], line["outcome"]) == (action, outcome)
        }

    def rows(self, condition: str) -> set[str]:
        """Ids in the database."""
        return {row[0] for row in ask(self.database, f"SELECT id FROM sandboxes WHERE {condition}")}


@pytest.fixture
async def program() -> AsyncIterator[Program]:
    """Not started yet; whatever runs at the end is ended."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cg", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        found = Program(here)
        stack.push_async_callback(found.end)
        stack.push_async_callback(found.hub.close)
        stack.push_async_callback(found.admin.close)
        yield found


@pytest.mark.proves("H08")
async def test_kill_9_in_the_middle_of_admissions_leaves_nothing_half_admitted(program: Program) -> None:
    """After kills amid a flood of admissions every answer is on record, and nothing unanswered is open."""
    answered: dict[str, Admission] = {}

    async def admit(number: int) -> None:
        wanted = spec(f"u{number}", ttl=86_400)
        with suppress(ProgramError):
            answered[wanted.id] = await program.hub.admit(asked(wanted))

    for turn in range(4):
        await program.start()
        flood = [asyncio.create_task(admit(turn * 100 + number)) for number in range(60)]
        goal = len(answered) + 5 + turn * 4
        for task in asyncio.as_completed(flood):
            await task
            if len(answered) >= goal:
                break
        await program.end()
        await asyncio.gather(*flood)
    await program.start()
    await program.end(signal.SIGTERM)
    admitted = {name for name, answer in answered.items() if answer.admitted}
    assert len(admitted) >= 20
    assert program.findings() == []
    assert admitted <= program.audited("admission", "allowed")
    assert admitted <= program.rows("status = 'admitted' AND audited")
    assert program.rows("NOT audited AND status != 'released'") == set()
    cut = program.rows("stop_code = 'admission.interrupted'")
    assert cut <= program.audited("admission", "failed")
    assert not cut & admitted


async def test_a_deadline_is_met_by_the_next_process(program: Program) -> None:
    """A server whose time ran out while control was dead is ended by the control that starts next."""
    wanted = spec(ttl=1)
    await program.start()
    assert (await program.hub.admit(asked(wanted))).admitted
    # Not before: a sandbox that runs without a record is adopted, with the TTL of today's profiles.
    program.here.running(wanted)
    await program.hub.ready(wanted.id, {"place": 0.1})
    await program.end()
    await program.start()
    for _ in range(200):
        if program.here.hub.deleted:
            break
        await asyncio.sleep(0.05)
    assert program.here.hub.deleted == [("alice", "")]
    last = await program.hub.last("alice", "")
    assert last is not None
    assert last.code == "stop.ttl"


async def test_it_ends_quickly_and_signs_its_audit(program: Program) -> None:
    """SIGTERM ends it within two seconds, with the last record under a signature and its sockets private."""
    await program.start()
    directory = Path(program.site.run_dir) / "control"
    assert directory.stat().st_mode & 0o777 == 0o700
    callers = ("hub", "gateway", "broker", "admin")
    assert {path.name for path in directory.iterdir()} == {f"{caller}.sock" for caller in callers}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())
    await program.hub.admit(asked(spec()))
    await asyncio.wait_for(program.end(signal.SIGTERM), 30)
    heads = (Path(program.site.state_dir) / "audit/heads.ndjson").read_bytes().splitlines()
    lines = (Path(program.site.state_dir) / "audit/audit.ndjson").read_bytes().splitlines()
    assert json.loads(heads[-1])["seq"] == json.loads(lines[-1])["seq"]


async def test_it_serves_sockets_that_a_supervisor_holds(program: Program) -> None:
    """Sockets come by descriptor; requests made while it is dead are answered by the next process."""
    directory = Path(program.site.run_dir) / "control"
    directory.mkdir(0o700)
    sockets = [listening_socket(str(directory / f"{name}.sock")) for name in ("hub", "gateway", "admin")]
    try:
        numbers = tuple(held.fileno() for held in sockets)
        options = [
            "--hub-fd",
            str(numbers[0]),
            "--gateway-fd",
            str(numbers[1]),
            "--admin-fd",
            str(numbers[2]),
        ]
        await program.start(*options, descriptors=numbers)
        await program.end()
        waiting = asyncio.create_task(program.hub.last("alice", ""))
        await program.start(*options, descriptors=numbers)
        assert await asyncio.wait_for(waiting, 60) is None
    finally:
        for held in sockets:
            held.close()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("no token", "cannot be read"),
        ("open token", "may be read by others (mode 644)"),
        ("newer schema", "of a newer version"),
        ("second control", "Another process writes"),
    ],
)
async def test_it_refuses_to_start_with_one_sentence(
    program: Program, trouble: str, words: str, control: Callable[[str, bool], None]
) -> None:
    """Where it cannot start it exits with 2 and one sentence that names the remedy."""
    await program.start()
    control("without the trouble it starts", True)
    other = None
    if trouble == "second control":
        other, program.process = program.process, None
    else:
        await program.end()
    if trouble == "no token":
        program.token.unlink()
    elif trouble == "open token":
        program.token.chmod(0o644)
    elif trouble == "newer schema":
        ask(program.database, "UPDATE alembic_version SET version_num = '0999'")
    await program.launch()
    said = await program.output()
    assert program.process is not None
    assert program.process.returncode == 2
    assert words in said.splitlines()[-1]
    assert "Traceback" not in said
    if other is not None:
        other.kill()
        await other.communicate()


async def test_a_corrupt_audit_tail_does_not_stop_it(program: Program) -> None:
    """A torn last line is set aside at start, said in log and audit, and control goes on."""
    await program.start()
    await program.end()
    with (Path(program.site.state_dir) / "audit/audit.ndjson").open("ab") as stream:
        stream.write(b'{"torn":')
    await program.start()
    said = await program.end(signal.SIGTERM)
    assert "audit.tail_quarantined" in said
    assert program.findings() == []
