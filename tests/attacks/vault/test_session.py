"""Is any value of a real Vault left anywhere after a whole session? The canary hunt: C01 to C05, check 2."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub_config.demo.kernel import Output
from hub_config.vault.own_postgres import DATABASE
from tests.attacks.vault.place import LEASED, VaultPlace
from tests.support import small_postgres
from tests.support.hunt import Find, Place, hunt, places_of

Control = Callable[[str, bool], None]
# As people work: list, read, show, use for a cell and for a program, an error with a value near it.
READ = """
import jupyter_sandbox, logging, pickle, subprocess, sys
listed = %sandbox secrets
print(listed)
for name in ("warehouse/reader", "users/alice/token", "storage/lab", "code/forge"):
    with jupyter_sandbox.secrets(name) as secret:
        shown = [secret, repr(secret), f"{secret}", list(secret.items())]
        print(name, shown)
        logging.getLogger().warning("read %s", secret["password"] if "password" in secret else secret)
secret
"""
QUERY = f"""
with jupyter_sandbox.secrets("{LEASED}") as secret:
    login = secret["username"].reveal(), secret["password"].reveal()
    print(login[0])
    place = "warehouse.sandbox.internal:5432"
    print(ask(("127.0.0.1", 3128), place, login, "{DATABASE}", "select count(*) from visits"))
    del login
"""
USED = "%%sandbox secrets use warehouse/reader\nimport os\nprint(len(os.environ['WAREHOUSE_PASSWORD']))"
FAILED = "%%sandbox secrets use warehouse/reader\nimport os\nraise ValueError('my own mistake')"
PROGRAM = """
words = ["jupyter", "sandbox", "secrets", "use", "warehouse/reader", "--", sys.executable, "-c"]
program = "import os; print(len(os.environ['WAREHOUSE_PASSWORD']))"
print(subprocess.run([*words, program], capture_output=True, text=True).stdout)
"""
TOKEN = re.compile(rb"\bhv[sbr]\.[A-Za-z0-9_-]{20,}")
REFUSED = "jupyter_sandbox.secrets('research/model')"


@dataclass(frozen=True)
class Session:
    """What was played: the sandbox, what its cells showed, and every value that must be nowhere."""

    sandbox: str
    cells: Mapping[str, Output]
    values: Mapping[str, str]

    @property
    def shown(self) -> str:
        """All that her cells showed."""
        return "\n".join(f"{cell}\n" + "\n".join(cell.traceback) for cell in self.cells.values())


@pytest.fixture(scope="module")
def session(place: VaultPlace) -> Iterator[Session]:
    """Alice works with every kind of secret and saves the notebook; her server runs on."""
    house = place.house
    sandbox = house.fresh("alice")
    protocol = Path(small_postgres.__file__).read_text()
    sources = {"read": READ, "protocol": protocol, "query": QUERY, "used": USED, "failed": FAILED}
    sources |= {"program": PROGRAM, "refused": REFUSED}
    cells = {name: house.run("alice", code) for name, code in sources.items()}
    _save(place, sources, cells)
    values = {
        f"{name} {field}": value
        for name, fields in house.running.secrets.items()
        for field, value in fields.items()
        if field not in ("user", "access_key_id")
    }
    values["database password"] = place.read("alice", LEASED)["password"]
    yield Session(sandbox, cells, values)
    house.stop("alice")


def _save(place: VaultPlace, sources: Mapping[str, str], cells: Mapping[str, Output]) -> None:
    """As the page does: the sources with what they showed."""
    document = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": name,
                "metadata": {},
                "source": sources[name],
                "outputs": [{"output_type": "stream", "name": "stdout", "text": f"{cell}{cell.traceback}"}],
            }
            for name, cell in cells.items()
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    alice = place.house.visitor("alice")
    url = alice.server("api/contents/session.ipynb")
    place.house.wait(alice.call("PUT", url, {"type": "notebook", "content": document}))


def test_the_session_worked(place: VaultPlace, session: Session) -> None:
    """Every kind was read and used, and the database answered its own user of this sandbox."""
    assert {name for name, cell in session.cells.items() if not cell.ok} == {"failed", "refused"}, session
    assert session.cells["query"].stdout.splitlines()[1] == "['2']"
    assert session.cells["query"].stdout.splitlines()[0] in place.postgres.users()
    length = len(place.house.running.secrets["warehouse/reader"]["password"])
    assert [session.cells[name].stdout.strip() for name in ("used", "program")] == [str(length)] * 2
    assert "my own mistake" in "\n".join(session.cells["failed"].traceback)
    kinds = re.findall(r"^(\S+) +(kv|aws|git|database)", session.cells["read"].stdout, re.MULTILINE)
    assert {kind for _, kind in kinds} == {"kv", "aws", "git", "database"}


@pytest.mark.proves("C01", "C02", "C03", "C05", "S02")
def test_c03_the_hunt_finds_no_value_while_she_works(
    place: VaultPlace, session: Session, control: Control
) -> None:
    """Outputs, notebook, logs, databases, audit, bundle, every process: no value in any spelling."""
    marker = {"marker": f"marker-{secrets.token_hex(12)}"}
    _plant(place, marker["marker"])
    with _process_with(marker["marker"]):
        places = [*places_of(place.house), Place("output", "cells", session.shown.encode())]
    found = {find.kind for find in hunt(marker, places)}
    for kind in ("log", "hub", "homes", "notebook", "audit", "cmdline", "environ"):
        control(f"the hunt finds what was planted: {kind}", kind in found)
    named = {find.kind for find in hunt({"sandbox": session.sandbox}, places)}
    for kind in ("launcher", "control", "broker", *_on_docker(place, "docker inspect")):
        control(f"the hunt looks where the sandbox is named: {kind}", kind in named)
    control("tokens look like this", TOKEN.search(place.server.root_token.encode()) is not None)
    control("the cells' output was looked at", b"my own mistake" in places[-1].content)
    assert hunt(session.values, places) == set()
    assert _tokens(place, places) == set()


def _on_docker(place: VaultPlace, kind: str) -> tuple[str, ...]:
    return (kind,) if "DOCKER_HOST" in place.house.running.variables else ()


def _plant(place: VaultPlace, marker: str) -> None:
    """Bring a marker by ordinary ways into each kind of place."""
    house, alice = place.house, place.house.visitor("alice")
    house.wait(alice.open(alice.hub(marker)))
    house.wait(alice.token(marker))
    house.run("alice", f"open('{marker}', 'w').write('{marker}')")
    house.run("alice", f"jupyter_sandbox.secrets('{marker}')")
    note = {"cell_type": "markdown", "id": "note", "metadata": {}, "source": marker}
    document = {"cells": [note], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    url = alice.server("api/contents/marked.ipynb")
    house.wait(alice.call("PUT", url, {"type": "notebook", "content": document}))


def _process_with(marker: str) -> subprocess.Popen[bytes]:
    """A process that has the marker as its argument and in its environment; it ends with the block."""
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", marker]
    shown = subprocess.Popen(
        words, env={"MARKER": marker}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True
    )
    assert shown.stdout is not None
    shown.stdout.readline()
    return shown


def _tokens(place: VaultPlace, places: list[Place]) -> set[Find]:
    """Tokens of Vault, which all begin alike: they are in the broker's memory and nowhere else.

    Of processes those of this house count: others on this machine may be somebody's at another Vault.
    """
    root = str(place.house.running.root).encode()
    return {
        Find("a token of Vault", "plain", found.kind, found.name)
        for found in places
        if TOKEN.search(found.content) and (found.kind not in ("cmdline", "environ") or root in found.content)
    }


@pytest.mark.proves("C03")
def test_c03_error_pages_tell_no_value(place: VaultPlace, session: Session, control: Control) -> None:
    """What hub, gateway and broker answer to wrong requests, as page or JSON, tells no value."""
    house, alice = place.house, place.house.visitor("alice")
    urls = [alice.hub("nowhere"), alice.hub("user/bob/lab"), alice.hub("api/users/bob")]
    urls += [alice.server("api/contents/nothing"), alice.server("nowhere"), alice.server("lab", owner="bob")]
    urls += [alice.service("sandbox/api/secrets"), alice.service("sandbox/nowhere")]
    pages = [house.wait(alice.open(url)) for url in urls]
    control("they are errors", sum(page.status >= 400 for page in pages) >= 6)
    place.server.seal()
    try:
        failed = house.run("alice", USED)
    finally:
        place.server.unseal()
    control("the cell failed for it", "sealed" in failed.error)
    texts = [Place("page", page.url, page.text.encode()) for page in pages]
    texts.append(Place("page", "a cell's", f"{failed}{failed.traceback}".encode()))
    assert hunt(session.values, texts) == set()


@pytest.mark.proves("C05")
def test_c05_no_program_writes_a_core_dump(place: VaultPlace, control: Control) -> None:
    """Programs and everything in the sandbox have a core limit of 0, though who started them had none."""
    mine = Path("/proc/self/limits").read_text()
    control(
        "the house was started without a limit", re.search(r"^Max core file size +0 ", mine, re.M) is None
    )
    house = place.house
    house.server("alice")
    pids = {name: house.programs.pid(name) for name in ("launcher", "gateway", "control", "broker")}
    pids |= {name: house.programs.pid(name) for name in ("proxy", "hub")}
    limits = {name: Path(f"/proc/{pid}/limits").read_text() for name, pid in pids.items()}
    open_ones = [
        name for name, text in limits.items() if not re.search(r"^Max core file size +0 +0 ", text, re.M)
    ]
    assert open_ones == []
    inside = (
        'attempt("core", lambda: list(__import__("resource").getrlimit(__import__("resource").RLIMIT_CORE)))'
    )
    assert house.attack("alice", inside)["core"]["value"] == [0, 0]


@pytest.mark.proves("C03", "S02")
def test_c03_nothing_is_left_after_the_stop(place: VaultPlace, session: Session, control: Control) -> None:
    """The server has stopped: still no value in a file, a database, a log or a process."""
    place.house.stop("alice")
    places = list(places_of(place.house))
    control("the places were read", bool(hunt({"sandbox": session.sandbox}, places)))
    assert hunt(session.values, places) == set()
    assert _tokens(place, places) == set()


@pytest.mark.proves("C05")
def test_vault_itself_and_the_database_tell_no_value(
    place: VaultPlace, session: Session, control: Control
) -> None:
    """Vault's audit has who read what under which accessor, values as HMACs; no log has one plainly."""
    logs = {"vault": place.server.log, "audit": place.server.read_audit()}
    logs["postgres"] = (place.postgres.directory / "log").read_text()
    places = [Place("vault", name, text.encode()) for name, text in logs.items()]
    read = [line for line in map(json.loads, logs["audit"].splitlines()) if line["type"] == "response"]
    paths = {
        line["request"]["path"] for line in read if line["auth"].get("metadata", {}).get("role") == "sandbox"
    }
    control("the audit has her reads", f"database/creds/{DATABASE}" in paths)
    assert hunt(session.values, places) == set()
