"""Do secrets of the house or of other people show anywhere? Attacks C01 to C04."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.conftest import CANARY_VARIABLE
from tests.support.house import House

Control = Callable[[str, bool], None]


def _token(house: House, name: str) -> str:
    """The server's own hub token, as a cell can read it."""
    seen = house.attack(name, 'attempt("token", lambda: os.environ["JUPYTERHUB_API_TOKEN"])')
    return str(seen["token"]["value"])


def _spellings(secret: str) -> tuple[bytes, ...]:
    """The secret as it is, in hex, and in base64 at each of the three offsets."""
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return (raw, raw.hex().encode(), *encoded)


def _files(place: Path) -> Iterator[tuple[Path, bytes]]:
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


@pytest.mark.proves("C01", "T3")
def test_c01_no_secret_of_the_house_is_readable_inside(house: House, canary: str, control: Control) -> None:
    """The canary of the hub's environment is in no environment, file or command line of a sandbox."""
    assert house.running.process is not None
    seen = house.attack(
        "alice",
        f"""
import glob
needle = "{canary[:14]}".encode() + b"{canary[14:]}"
token = os.environ["JUPYTERHUB_API_TOKEN"].encode()

def holding(word, places):
    found = []
    for path in places:
        try:
            with open(path, "rb") as stream:
                if word in stream.read(1 << 20):
                    found.append(path)
        except OSError:
            pass
    return found

environments = glob.glob("/proc/[0-9]*/environ")
others = glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/mountinfo")
others += [p for top in ("/run", "/etc", "/tmp", "/dev/shm") for p in glob.glob(top + "/**", recursive=True)
           if os.path.isfile(p)]
attempt("own token", lambda: holding(token, ["/proc/self/environ"]))
attempt("canary", lambda: holding(needle, environments + others))
attempt("token of pid 1", lambda: holding(token, ["/proc/1/environ"]))
attempt("pid 1", lambda: open("/proc/1/environ").read())
attempt("names", lambda: [n for n in os.environ if "CONFIGPROXY" in n or n == "{CANARY_VARIABLE}"])
""",
    )
    outside = Path(f"/proc/{house.running.process.pid}/environ").read_bytes()
    control("the canary is in the supervisor's environment", canary.encode() in outside)
    control("the search finds what is there", seen["own token"]["value"] == ["/proc/self/environ"])
    assert seen["canary"]["value"] == []
    assert seen["token of pid 1"].get("value", []) == []
    assert seen["names"]["value"] == []
    pid_1 = seen["pid 1"]
    # runc adds HOME by itself, Docker HOSTNAME; the last name keeps GPUs away.
    more = {"HOSTNAME"} if house.site.backend == "docker" else set()
    known = {"PATH", "HOME", "NVIDIA_VISIBLE_DEVICES"} | more
    assert {entry.partition("=")[0] for entry in pid_1["value"].split("\0") if entry} <= known


@pytest.mark.proves("C02", "T4")
def test_c02_another_local_user_sees_no_token(house: House, control: Control) -> None:
    """The uid nobody finds no server token and no proxy token in any command line or environment."""
    token = _token(house, "alice")
    assert house.running.process is not None
    marker = "marker-for-nobody"
    code = """
import glob, sys
words = sys.stdin.read().split()
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        text = open(path, "rb").read()
    except OSError:
        continue
    for number, word in enumerate(words):
        if word.encode() in text:
            print(number, path)
"""
    with subprocess.Popen(["/bin/sh", "-c", "read line", marker], stdin=subprocess.PIPE) as shown:
        found = subprocess.run(
            house.as_root(*_as_uid(house.stranger), "/usr/bin/python3", "-c", code),
            input=f"{marker} {token}",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        shown.communicate(b"\n")
    control("nobody can read command lines", f"0 /proc/{shown.pid}/cmdline" in found)
    assert [line for line in found if line.startswith("1 ")] == []


@pytest.mark.proves("C03", "T17")
def test_c03_no_secret_byte_lies_on_disk(house: House, control: Control) -> None:
    """Server token, passwords and canary are in no state, log, spool, bundle or home, in any spelling."""
    token = _token(house, "alice")
    secrets = {"token": token, **house.running.passwords}
    found = []
    known, sandbox = 0, house.server("alice").encode()
    for path, content in _files(house.running.root):
        known += sandbox in content
        for name, secret in secrets.items():
            if any(spelling in content for spelling in _spellings(secret)):
                found.append((name, str(path)))
    control("the search finds the sandbox's id", known > 0)
    assert found == []


@pytest.mark.proves("C04", "T7")
def test_c04_another_users_files_are_out_of_reach(house: House, control: Control) -> None:
    """Bob's file is absent from alice's sandbox, and her host uid may not open his home."""
    house.run("bob", "open('/home/jovyan/secret.txt', 'w').write('bob only')")
    house.run("alice", "open('/home/jovyan/secret.txt', 'w').write('alice only')")
    homes = {name: house.ask_launcher(lambda client, n=name: client.place(n)) for name in ("alice", "bob")}  # type: ignore[misc]
    seen = house.attack(
        "alice",
        f"""
attempt("own", lambda: open("/home/jovyan/secret.txt").read())
attempt("by path", lambda: open("{homes["bob"].home}/secret.txt").read())
attempt("by root", lambda: open("/proc/1/root{homes["bob"].home}/secret.txt").read())
attempt("homes", lambda: os.listdir("/home"))
attempt("mounts", lambda: open("/proc/self/mountinfo").read())
""",
    )
    control("alice reads her own file", seen["own"].get("value") == "alice only")
    assert seen["homes"]["value"] == ["jovyan"]
    assert not seen["by path"]["ok"]
    assert not seen["by root"]["ok"]
    assert homes["bob"].home not in seen["mounts"]["value"]
    assert homes["alice"].host_uid != homes["bob"].host_uid
    assert os.stat(homes["bob"].home).st_uid == homes["bob"].host_uid
    assert _read_as(house, homes["bob"].host_uid, f"{homes['bob'].home}/secret.txt") == "bob only"
    assert _read_as(house, homes["alice"].host_uid, f"{homes['bob'].home}/secret.txt") == "PermissionError"


def _as_uid(uid: int) -> tuple[str, ...]:
    return ("setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--")


def _read_as(house: House, uid: int, path: str) -> str:
    """What this uid reads there, entering the home's parent as root so that only the home's mode decides."""
    code = """
import os, sys
uid, path = int(sys.argv[1]), sys.argv[2]
home = os.open(os.path.dirname(path), os.O_PATH)
os.setgroups([]); os.setgid(uid); os.setuid(uid)
try:
    print(open(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=home)).read())
except OSError as error:
    print(type(error).__name__)
"""
    command = house.as_root("/usr/bin/python3", "-c", code, str(uid), path)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
