"""Do the admin's commands about sandboxes and the audit say what is so, with the right exit status?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.control.audit import AuditLog
from jupyter_sandbox_spawner.rules.audit import Entry

from .control_neighbours import SettableClock, asked, spec
from .test_control_program import Program, program

__all__ = ["program"]


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """A directory with a good audit of a few lines."""

    async def write() -> None:
        async with AuditLog(str(tmp_path / "audit"), SettableClock(), reserve=1 << 16) as log:
            for number in range(5):
                await log.write(Entry(actor="hub", action=f"a{number}", outcome="done", user="alice"))

    asyncio.run(write())
    return tmp_path / "audit"


def verify(directory: Path, *more: str) -> int:
    """The exit status of `audit verify`."""
    return main(["audit", "verify", "--directory", str(directory), *more])


def test_verify_tells_a_changed_audit_by_its_status(
    audit: Path, capsys: pytest.CaptureFixture[str], control: Callable[[str, bool], None]
) -> None:
    """Status 0 and "unchanged" for a good audit; 9 and the finding for an edited one."""
    control("the untouched audit is unchanged", verify(audit) == 0)
    assert "6 records, signed up to 6 of 6: unchanged." in capsys.readouterr().out
    path = audit / "audit.ndjson"
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo", 1))
    assert verify(audit) == 9
    assert "edit         Record 2 does not match its own hash." in capsys.readouterr().out


def test_verify_uses_heads_and_key_kept_elsewhere(
    audit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records and heads that were cut off together are shown by a copy of the heads."""
    copy, key = tmp_path / "heads", tmp_path / "key"
    copy.write_bytes((audit / "heads.ndjson").read_bytes())
    key.write_bytes((audit / "signing.pub").read_bytes())
    (audit / "heads.ndjson").write_bytes(b"")
    lines = (audit / "audit.ndjson").read_bytes().splitlines(keepends=True)
    (audit / "audit.ndjson").write_bytes(b"".join(lines[:3]))
    assert verify(audit) == 0
    assert verify(audit, "--heads", str(copy), "--key", str(key), "--json") == 9
    document = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert [finding["kind"] for finding in document["findings"]] == ["truncation"]


def test_verify_names_a_directory_without_an_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong directory is an error with a remedy, not an unchanged audit."""
    assert verify(tmp_path) == 2
    assert "holds no audit" in capsys.readouterr().err


async def test_the_commands_ask_the_running_control(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """ps lists, why explains, extend and stop act with a reason, reconcile compares, audit shows."""
    wanted = spec(ttl=3600)
    await program.start()
    assert (await program.hub.admit(asked(wanted))).admitted
    program.here.running(wanted)
    await program.hub.ready(wanted.id, {})
    site = ("--site", str(program.site_file))

    async def command(*words: str) -> str:
        assert await asyncio.to_thread(main, [*words, *site]) == 0
        return capsys.readouterr().out

    heading, line = (await command("ps")).splitlines()
    assert heading.split() == ["user", "server", "status", "profile", "left", "id"]
    assert [line.split()[0], line.split()[-1]] == ["alice", wanted.id]
    assert "keep.within_limits: It runs until its time is up" in await command("why", "alice")
    assert "alice ends at 20" in await command("extend", "alice", "--by", "2h", "--why", "Demo.")
    assert f"{wanted.id} ends at 20" in await command("extend", wanted.id, "--by", "3h")
    assert "An admin extended it: it ends at" in await command("why", "alice")
    assert "Everything agrees." in await command("reconcile")
    assert "is stopped: Maintenance." in await command("stop", "alice", "--why", "Maintenance.")
    assert "stop.by_admin: Maintenance. Decided by admin uid" in await command("why", "alice")
    shown = await command("audit", "show", "--user", "alice")
    assert [json.loads(line)["action"] for line in shown.splitlines()] == [
        "sandbox.stop",
        "sandbox.extend",
        "sandbox.extend",
        "admission",
    ]
