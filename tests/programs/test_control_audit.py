"""Does the audit lose nothing: not in a crash, not with a broken file, not on a full disk?"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.control.audit import AuditLog
from jupyter_sandbox_spawner.control.audit_files import AuditPaths, public_keys
from jupyter_sandbox_spawner.errors import ConfigurationError, ProgramError
from jupyter_sandbox_spawner.rules.audit import Entry, Report, verify

from .control_neighbours import SettableClock

ENTRY = Entry(actor="hub", action="admission", outcome="allowed", user="alice", detail={"why": "x" * 200})


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory."""
    with tempfile.TemporaryDirectory(prefix="ca", dir="/tmp") as name:
        yield Path(name)


def log_in(place: Path, **more: int) -> AuditLog:
    """An audit there."""
    return AuditLog(str(place / "audit"), SettableClock(), **{"reserve": 1 << 16, **more})


def check(place: Path) -> Report:
    """What `audit verify` would say."""
    paths = AuditPaths(place / "audit")
    lines = paths.records.read_bytes().splitlines(keepends=True)
    return verify(lines, paths.heads.read_bytes().splitlines(keepends=True), public_keys(paths))


def actions(place: Path) -> list[str]:
    """The actions on file."""
    lines = (place / "audit/audit.ndjson").read_bytes().splitlines()
    return [json.loads(line)["action"] for line in lines]


async def test_the_chain_goes_on_over_a_restart(place: Path) -> None:
    """Two runs of control write one chain, signed to its end."""
    for _ in range(2):
        async with log_in(place) as audit:
            await audit.write(ENTRY, ENTRY)
    report = check(place)
    assert report.findings == ()
    assert (report.records, report.signed_seq) == (6, 6)


async def test_lines_written_at_once_are_one_chain(place: Path) -> None:
    """Fifty writers at once do not break the chain."""
    async with log_in(place, head_every=10) as audit:
        await asyncio.gather(*(audit.write(ENTRY) for _ in range(50)))
    assert check(place).findings == ()
    assert check(place).records == 51


@pytest.mark.parametrize("broken", [b'{"v":1,"seq":99', b"\x00" * 4096, b"{}\n", b'{"v":1}\n\xff\xfe'])
async def test_a_broken_end_is_set_aside_and_said(place: Path, broken: bytes) -> None:
    """What a crash left half written goes into a file of its own, byte for byte, and the audit says so."""
    async with log_in(place) as audit:
        await audit.write(ENTRY)
    with (place / "audit/audit.ndjson").open("ab") as stream:
        stream.write(broken)
    async with log_in(place):
        pass
    assert check(place).findings == ()
    assert "audit.tail_quarantined" in actions(place)
    (aside,) = (place / "audit").glob("audit.ndjson.corrupt-*")
    assert aside.read_bytes() == broken
    assert aside.stat().st_mode & 0o777 == 0o600


async def test_a_truncated_file_is_said_and_numbers_never_come_back(place: Path) -> None:
    """Records cut off after they were signed are missed at the next start, and verify shows them."""
    async with log_in(place) as audit:
        await audit.write(ENTRY, ENTRY, ENTRY)
    path = place / "audit/audit.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    async with log_in(place) as audit:
        assert await audit.write(ENTRY) == 4 + 3
    assert "audit.truncated" in actions(place)
    assert {finding.kind for finding in check(place).findings} == {"delete"}


async def test_two_controls_cannot_write_one_audit(place: Path) -> None:
    """A second writer is refused by name."""
    async with log_in(place):
        with pytest.raises(ConfigurationError) as caught:
            await log_in(place).__aenter__()
    assert caught.value.code == "audit.in_use"


async def test_the_key_is_private(place: Path) -> None:
    """The signing key is 0600 in a 0700 directory."""
    async with log_in(place):
        assert (place / "audit/signing.key").stat().st_mode & 0o777 == 0o600
        assert (place / "audit").stat().st_mode & 0o777 == 0o700


async def test_users_read_their_own_lines(place: Path) -> None:
    """A question by user gives that user's lines, newest first, page by page."""
    async with log_in(place) as audit:
        for number in range(30):
            user = "alice" if number % 2 else "bob"
            await audit.write(Entry(actor="hub", action=f"a{number}", outcome="done", user=user))
        first = await audit.lines(user="alice", limit=10)
        second = await audit.lines(user="alice", limit=10, before=first[-1]["seq"])
    assert [line["action"] for line in first + second] == [f"a{n}" for n in range(29, 0, -2)]


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    target = place / "disk"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", target], check=True)
    yield target
    subprocess.run(["umount", target], check=True)


def fill(disk: Path) -> Path:
    """Take every free byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (4096, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return filler


async def write_until_refused(audit: AuditLog, security: bool) -> None:
    """Write more than the disk can hold."""
    for _ in range(10_000):
        await audit.write(ENTRY, security=security)


@pytest.mark.lane("root")
@pytest.mark.proves("Q10", "T21")
async def test_a_full_disk_refuses_admissions_and_keeps_security_records(
    small_disk: Path, control: Callable[[str, bool], None]
) -> None:
    """On a full disk denials are dropped, security records use the reserve, and nobody is admitted."""
    async with log_in(small_disk) as audit:
        audit.check()
        control("there is room: denials are written", await audit.write(ENTRY, security=False) == 2)
        filler = fill(small_disk)
        with pytest.raises(ProgramError) as caught:
            await write_until_refused(audit, security=False)
        assert caught.value.code == "audit.full"
        before = audit.paths.records.stat().st_size
        for _ in range(10):
            await audit.write(Entry(actor="control", action="sandbox.stop", outcome="decided"))
        assert audit.paths.records.stat().st_size > before
        with pytest.raises(ProgramError):
            audit.check()
        filler.unlink()
        await audit.recover()
        audit.check()
    assert check(small_disk).findings == ()
    assert actions(small_disk).count("sandbox.stop") == 10
    assert actions(small_disk)[-1] == "audit.restored"


@pytest.mark.lane("root")
async def test_a_disk_without_even_the_reserve_fails_loudly(small_disk: Path) -> None:
    """When the reserve is used up too, a write is an error and the file stays whole."""
    async with log_in(small_disk) as audit:
        filler = fill(small_disk)
        with pytest.raises(ProgramError):
            await write_until_refused(audit, security=True)
        filler.unlink()
        await audit.recover()
    assert check(small_disk).findings == ()


async def test_a_descriptor_is_not_inherited(place: Path) -> None:
    """Programs that control starts do not get the audit's file."""
    async with log_in(place) as audit:
        held = [name for name in os.listdir("/proc/self/fd") if leads_to(name, audit.paths.records)]
        assert held
        assert not any(os.get_inheritable(int(name)) for name in held)


def leads_to(descriptor: str, path: Path) -> bool:
    """Does this descriptor of ours lead to that file?"""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == str(path)
    except FileNotFoundError:
        return False
