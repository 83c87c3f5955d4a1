"""Do the commands about certificates keep keys to themselves, and does an admin read what is wrong?"""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_sandbox_spawner.admin.certificate_files import begin
from jupyter_sandbox_spawner.admin.certificate_findings import certificate_findings
from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.admin.exits import ExitStatus
from jupyter_sandbox_spawner.kubernetes_site import WiresSite
from jupyter_sandbox_spawner.rules.certificates import PROGRAMS
from jupyter_sandbox_spawner.settings import Site
from jupyter_sandbox_spawner.wires.tls import TlsFiles
from tests.support.certificates import HOST, made, moment

Control = Callable[[str, bool], None]
Capture = pytest.CaptureFixture[str]
KEY = "PRIVATE KEY"


def run(verb: str, place: Path, *more: str) -> int:
    """One command about this directory."""
    return main(["certificates", verb, "--directory", str(place), *more])


def test_what_is_made_is_closed_to_others(tmp_path: Path) -> None:
    """Keys are the owner's alone, no program gets the authority's, and a second run changes nothing."""
    place = tmp_path / "c"
    assert run("make", place, "--host", f"gateway={HOST}") == 0
    modes = {path.relative_to(place).as_posix(): path.stat().st_mode & 0o777 for path in place.rglob("*")}
    assert {name for name, mode in modes.items() if mode & 0o077} == {
        f"{program}/{name}" for program in PROGRAMS for name in ("ca.pem", "certificate.pem")
    }
    assert place.stat().st_mode & 0o777 == 0o700
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert run("make", place) == 0
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    key = (place / "authority.pem").read_text().partition("-----BEGIN CERT")[0]
    assert KEY in key
    assert all(key not in path.read_text() for path in place.rglob("*/*.pem"))


def test_show_says_what_ends(tmp_path: Path, capsys: Capture, control: Control) -> None:
    """Every certificate is listed with its names; the status tells a script that one ends soon."""
    fresh, old = made(tmp_path / "fresh"), made(tmp_path / "old", moment() - timedelta(days=390))
    assert run("show", fresh) == ExitStatus.OK
    shown = capsys.readouterr().out
    control("a fresh one is fine", "ENDING" not in shown)
    assert f"gateway.jupyter-sandbox.svc.cluster.local, {HOST}" in shown
    assert run("show", old, "--json") == ExitStatus.NOT_WELL
    found = {item["name"]: item["state"] for item in json.loads(capsys.readouterr().out)}
    assert found == {"authority": "ok", **dict.fromkeys(PROGRAMS, "ENDING")}
    assert run("show", fresh / "gateway") == ExitStatus.OK
    assert HOST in capsys.readouterr().out
    begin(fresh, moment())
    assert run("show", fresh) == ExitStatus.OK
    assert "Two authorities are trusted" in capsys.readouterr().out


def test_the_manifest_is_what_programs_read(tmp_path: Path, capsys: Capture) -> None:
    """Each program's Secret holds its three files, and none the authority's key; a warning goes with it."""
    place = made(tmp_path / "c")
    assert run("manifest", place, "--namespace", "ours") == 0
    output = capsys.readouterr()
    assert "private keys" in output.err
    secrets = list(yaml.safe_load_all(output.out))
    assert [item["metadata"]["name"] for item in secrets] == [f"certificates-{name}" for name in PROGRAMS]
    assert {item["metadata"]["namespace"] for item in secrets} == {"ours"}
    authority = (place / "authority.pem").read_bytes().partition(b"-----BEGIN CERT")[0]
    for program, secret in zip(PROGRAMS, secrets, strict=True):
        mounted = tmp_path / "mounted" / program
        mounted.mkdir(parents=True)
        for name, text in secret["data"].items():
            (mounted / name).write_bytes(base64.b64decode(text))
            assert authority not in base64.b64decode(text)
        assert TlsFiles(mounted).program == program


def at_a_terminal(place: Path, *more: str) -> tuple[int, str]:
    """The status and the output of `certificates manifest` at a real terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "jupyter_sandbox_spawner.admin", "certificates", "manifest"]
    done = subprocess.Popen([*command, "--directory", str(place), *more], stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 1 << 16):
            said += part
    except OSError:  # how a terminal ends
        pass
    os.close(ours)
    return done.wait(), said.decode()


def test_keys_are_not_shown_on_a_terminal_unasked(tmp_path: Path, control: Control) -> None:
    """The manifest goes to a pipe or to a file of mode 0600; a screen gets it only by its own option."""
    place = made(tmp_path / "c")
    status, said = at_a_terminal(place)
    assert (status, "stringData" in said or "key.pem" in said) == (ExitStatus.CONFIGURATION, False)
    assert "--output FILE" in said
    status, said = at_a_terminal(place, "--terminal")
    control("asked for, it is shown", (status, "key.pem" in said) == (0, True))
    file = tmp_path / "secrets.yaml"
    file.write_text("open to all before")
    file.chmod(0o644)
    assert run("manifest", place, "--output", str(file)) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(list(yaml.safe_load_all(file.read_text()))) == len(PROGRAMS)


@pytest.mark.parametrize(
    ("verb", "more", "words"),
    [
        ("make", ("--host", "prometheus=x"), "does not begin with a program"),
        ("make", ("--host", "gateway=*.x"), "neither a host name"),
        ("make", ("--namespace", "A b"), "--namespace"),
        ("rotate", ("--now",), "--now: goes with --finish"),
        ("rotate", ("--finish",), "nothing to finish"),
        ("show", (), "There is no"),
        ("manifest", (), "There is no"),
        ("manifest", ("--namespace", "A"), "--namespace"),
        ("rotate", (), "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, capsys: Capture, verb: str, more: tuple[str, ...], words: str
) -> None:
    """A wrong word and a directory that is not there give a sentence, a remedy, and status 2."""
    place = made(tmp_path / "c") if verb == "make" or more else tmp_path / "none"
    assert run(verb, place, *more) == ExitStatus.CONFIGURATION
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) >= 2


def test_certificates_without_their_authority_are_not_made_anew(tmp_path: Path, capsys: Capture) -> None:
    """Where authority.pem is lost, a new one would cut off every program that runs."""
    place = made(tmp_path / "c")
    (place / "authority.pem").unlink()
    assert run("make", place) == ExitStatus.CONFIGURATION
    assert "authority.pem is gone" in capsys.readouterr().err


def test_two_commands_at_once_do_not_mix(tmp_path: Path, capsys: Capture) -> None:
    """While one changes the directory another is told to come back."""
    import fcntl

    place = made(tmp_path / "c")
    descriptor = os.open(place, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert run("rotate", place) == ExitStatus.CONFIGURATION
    assert "changes" in capsys.readouterr().err
    os.close(descriptor)
    assert run("rotate", place) == 0


def findings(place: Path, days: float = 0, host: str = "") -> dict[str, Any]:
    """What doctor says of a program's certificate so many days from now."""
    ports = dict.fromkeys(("public_port", "hub_port", "proxy_api_port", "front_port"), 0)
    wires = WiresSite(certificates=str(place), hosts={"gateway": host} if host else {})
    site = Site(run_dir="/run/x", state_dir="/srv/x", profiles="", wires=wires, **ports)
    return {item.name: item for item in certificate_findings(site, moment() + timedelta(days=days))}


def test_doctor_sees_an_end_before_it_comes(tmp_path: Path, control: Control) -> None:
    """Weak for thirty days before its end, missing after it and before its begin, each with what to do."""
    place = made(tmp_path / "c") / "gateway"
    control("a fresh one is fine", findings(place)["certificate"].fine)
    soon, late = findings(place, 380)["certificate"], findings(place, 398)["certificate"]
    assert (soon.fine, soon.needed, late.fine, late.needed) == (False, False, False, True)
    assert "certificates rotate" in soon.remedy
    assert "ended on" in late.seen
    assert "clock" in findings(place, -1)["certificate"].seen
    assert "authority" in findings(place, 1830)["certificate"].seen
    assert not findings(tmp_path / "none")["certificate"].fine


def test_doctor_sees_a_wrong_name_and_an_open_key(tmp_path: Path, control: Control) -> None:
    """What others dial has to be in the certificate, and its key is not for everybody."""
    place = made(tmp_path / "c") / "gateway"
    control("its own name and a closed key are fine", set(findings(place, host=HOST)) == {"certificate"})
    (place / "key.pem").chmod(0o644)
    found = findings(place, host="elsewhere.example")
    assert "--host gateway=elsewhere.example" in found["certificate's name"].remedy
    assert (found["certificate's key"].fine, found["certificate's key"].needed) == (False, False)
