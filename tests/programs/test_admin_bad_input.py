"""What does the admin read when something is wrong? One sentence, the command that helps, its own status."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.admin_run import AdminRun, admin, site_directory


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory for one attempt."""
    path = site_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def bin_directory(top: Path) -> Path:
    """A PATH with everything that a run needs, to take one thing away from."""
    path = top / "bin"
    path.mkdir()
    for name in ("runc", "setpriv", "prlimit", "node", "configurable-http-proxy"):
        program = path / name
        program.write_text("#!/bin/sh\necho v20.0.0\n")
        program.chmod(0o755)
    return path


def refused(run: AdminRun, **more: str) -> tuple[int, str]:
    """Exit status and stderr of a run that cannot start."""
    done = admin("run", "-f", str(run.config), **more)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("node", "apt-get install nodejs npm"),
        ("configurable-http-proxy", "npm install -g 'configurable-http-proxy@^5.3'"),
    ],
)
def test_a_missing_program_comes_with_its_command(
    top: Path, bin_directory: Path, program: str, command: str
) -> None:
    """Without the program nothing starts, and the sentence has the command that installs it."""
    (bin_directory / program).unlink()
    status, text = refused(AdminRun(top), PATH=str(bin_directory))
    assert (status, f"{program} is not installed" in text, command in text) == (3, True, True), text


def test_a_missing_runtime_comes_with_its_command(top: Path, bin_directory: Path) -> None:
    """Without the OCI runtime nothing starts: there is no weaker way to run a sandbox."""
    run = AdminRun(top)
    run.config.write_text(
        run.config.read_text().replace("public_port", 'runtime="crun-of-mars", public_port')
    )
    status, text = refused(run, PATH=str(bin_directory))
    assert (status, "crun-of-mars is not installed" in text) == (3, True), text


def test_an_old_node_is_refused(top: Path, bin_directory: Path) -> None:
    """A node that the proxy cannot run on is named with its version."""
    (bin_directory / "node").write_text("#!/bin/sh\necho v12.22.9\n")
    status, text = refused(AdminRun(top), PATH=str(bin_directory))
    assert (status, "node is version 12" in text) == (3, True), text


@pytest.mark.lane("root")
def test_a_foreign_run_directory_is_refused(top: Path, bin_directory: Path) -> None:
    """A run directory that another uid owns could be watched by it."""
    (top / "run").mkdir()
    os.chown(top / "run", 12345, 12345)
    status, text = refused(AdminRun(top), PATH=str(bin_directory))
    assert (status, "belongs to uid 12345" in text, "chown" in text) == (5, True, True), text


def test_a_path_too_long_for_a_socket_is_refused(top: Path, bin_directory: Path) -> None:
    """A run directory whose sockets would not fit in sun_path is refused with the numbers."""
    status, text = refused(AdminRun(top, run=str(top / ("d" * 90))), PATH=str(bin_directory))
    assert (status, "too long for a socket path" in text) == (5, True), text


def test_a_directory_that_cannot_be_made_is_named(top: Path, bin_directory: Path) -> None:
    """A state directory below a file cannot be made."""
    (top / "file").write_text("")
    status, text = refused(AdminRun(top, state=str(top / "file/state")), PATH=str(bin_directory))
    assert (status, "state_dir: " in text, "install -d -m 7" in text) == (5, True, True), text


@pytest.mark.lane("root")
def test_a_full_disk_is_named(top: Path, bin_directory: Path) -> None:
    """A state directory on a full disk is refused before anything is written there."""
    full = top / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full], check=True)
    try:
        status, text = refused(AdminRun(top, state=str(full / "state")), PATH=str(bin_directory))
    finally:
        subprocess.run(["umount", full], check=True)
    assert (status, "MiB left" in text, "df -h" in text) == (5, True, True), text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("c = get_config()\nthis is no python\n", ":2: SyntaxError"),
        ("c = get_config()\n\nraise RuntimeError('no database')\n", ":3: RuntimeError: no database"),
        ("c = get_config()\n", "does not call setup_hub"),
    ],
)
def test_a_broken_configuration_file_names_its_line(top: Path, text: str, shown: str) -> None:
    """An error in the admin's file is told with file and line, not with a traceback."""
    run = AdminRun(top)
    run.config.write_text(text)
    status, told = refused(run)
    assert (status, shown in told) == (2, True), told


def test_a_configuration_file_that_is_not_there_is_named(top: Path) -> None:
    """A path with a typing error is told as such."""
    done = admin("run", "-f", str(top / "missing.py"))
    assert (done.returncode, "missing.py" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  sandbox: {memory: 2 gigs}", "memory"),
        ("  sandbox: {egres: []}", "egres"),
        ('  sandbox: {egress: ["*"]}', "*"),
    ],
)
def test_broken_profiles_are_told_by_line_and_field(top: Path, line: str, shown: str) -> None:
    """`profiles check` names file, line and field of what is wrong."""
    file = top / "profiles.yaml"
    file.write_text(f"- display_name: Small\n  slug: small\n{line}\n")
    done = admin("profiles", "check", str(file))
    assert (done.returncode, f"{file}:3" in done.stderr, shown in done.stderr) == (2, True, True), done.stderr


def test_right_profiles_are_listed(top: Path) -> None:
    """`profiles check` prints the slugs of a file that is right."""
    file = top / "profiles.yaml"
    file.write_text(
        "- display_name: Small\n  slug: small\n  default: true\n  sandbox: {cpu: 1, memory: 1G}\n"
    )
    done = admin("profiles", "check", str(file))
    assert (done.returncode, "small" in done.stdout) == (0, True), done.stderr


def test_doctor_says_what_is_missing(bin_directory: Path) -> None:
    """doctor names a missing proxy with its remedy and exits with 3; what is there is fine."""
    (bin_directory / "configurable-http-proxy").unlink()
    done = admin("doctor", "--json", PATH=str(bin_directory))
    findings = {item["name"]: item for item in json.loads(done.stdout)}
    assert done.returncode == 3
    assert findings["proxy"]["fine"] is False
    assert "npm install" in findings["proxy"]["remedy"]
    assert findings["node"]["fine"] is True


def test_help_lists_the_exit_statuses() -> None:
    """`--help` tells what each exit status means."""
    done = admin("--help")
    assert "exit status:" in done.stdout
    assert "4  a port is taken" in done.stdout
