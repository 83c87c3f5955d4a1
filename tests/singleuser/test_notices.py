"""Does word of the end reach terminals, kernels, JupyterLab and the save, and can nothing hang it?"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jupyter_sandbox_spawner.clients.control import Notice as Told
from jupyter_sandbox_spawner.clients.control import Notices
from jupyter_sandbox_spawner.singleuser.inside import claims
from jupyter_sandbox_spawner.singleuser.inside import save as saving
from jupyter_sandbox_spawner.singleuser.inside.notices import (
    FILE,
    Heard,
    Notice,
    keep_for_kernels,
    next_wait,
    put_on_terminals,
    read_notices,
)
from jupyter_sandbox_spawner.singleuser.inside.reacting import SCHEMA_ID
from jupyter_sandbox_spawner.wire import encode
from tests.singleuser.sandbox import SECRET, Sandbox, eventually
from tests.singleuser.test_farewell import write_hook
from tests.singleuser.userserver import BASE_URL, CLAIMS, UserServer

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
WHY = "Ends at 12:10 UTC: it stops in 30 s because its time is up then; save your work."


def told(number: int, kind: str = "warning", why: str = WHY, ahead: float = 30) -> dict[str, Any]:
    """Control's answer with one notice."""
    at = datetime.now(timezone.utc) + timedelta(seconds=ahead)
    notices = (Told(id=number, kind=kind, code="warning.ttl", why=why, at=at),)
    document: dict[str, Any] = encode(Notices(notices=notices))
    return document


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[tuple[int, int, Path]]:
    """A real pseudo-terminal, and a directory in which it is the only one: master, slave, directory."""
    master, slave = pty.openpty()
    directory = tmp_path / "pts"
    directory.mkdir()
    (directory / "3").symlink_to(os.ttyname(slave))
    (directory / "ptmx").touch()
    yield master, slave, directory
    os.close(master)
    os.close(slave)


def shown(master: int) -> bytes:
    """What the terminal shows now."""
    seen = b""
    while select.select([master], [], [], 0.2)[0]:
        seen += os.read(master, 65536)
    return seen


def write(text: str, directory: Path) -> int:
    """As the teller does."""
    return put_on_terminals(text, {"JUPYTER_SANDBOX_TERMINALS": str(directory)})


def test_an_answer_about_a_host_hides_no_warning(terminal: tuple[int, int, Path], tmp_path: Path) -> None:
    """The terminal shows both, and however many answers come, what is kept has the warning."""
    answers = [Notice(2 + n, "egress_request", "egress_request.denied", f"No {n}.", None) for n in range(40)]
    warning = Notice(1, "warning", "warning.ttl", "It ends.", time.time() + 60)
    environment = {"JUPYTER_SANDBOX_TERMINALS": str(terminal[2]), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    saving.show([warning, answers[0]], [warning, answers[0]], environment)
    assert shown(terminal[0]) == b"\r\r\nSandbox: No 0.\r\r\n\r\r\nSandbox: It ends.\r\r\n"
    heard = Heard()
    for part in ([warning, *answers[:20]], answers[20:]):
        told_now = [
            {**one._asdict(), "at": None if one.at is None else "2099-01-01T00:00:00Z"} for one in part
        ]
        heard.take(OK + json.dumps({"notices": told_now}).encode())
    assert [one.kind for one in heard.kept] == ["warning", *["egress_request"] * 10]


def test_a_terminal_shows_one_line(terminal: tuple[int, int, Path]) -> None:
    """What is said stands on a line of its own in a real terminal."""
    assert write(WHY, terminal[2]) == 1
    assert shown(terminal[0]).replace(b"\r\r", b"\r") == f"\r\nSandbox: {WHY}\r\n".encode()


def test_no_commands_reach_a_terminal(terminal: tuple[int, int, Path]) -> None:
    """Escape sequences, line ends, 8-bit commands and endless text in a notice come out as harmless text."""
    answer = OK + json.dumps(told(1, why="\x1b]0;x\x07\r\n\x9b2Jé" + "a" * 10_000)).encode()
    (notice,) = read_notices(answer)
    assert write(notice.why, terminal[2]) == 1
    assert write("\x1b[2J\u009b", terminal[2]) == 1
    seen = shown(terminal[0]).replace(b"\r", b"").replace(b"\n", b"")
    assert all(32 <= sign < 127 for sign in seen)
    assert len(seen) < 400


@pytest.mark.timeout(20)
def test_a_stopped_terminal_hangs_nothing(terminal: tuple[int, int, Path], control: Any) -> None:
    """A full terminal that nobody reads is passed over at once, however often."""
    control("it takes what it can", write(WHY, terminal[2]) == 1)
    began, taken = time.monotonic(), 1
    while taken and time.monotonic() - began < 10:
        taken = write("x" * 300, terminal[2])
    assert taken == 0


@pytest.mark.timeout(20)
def test_what_only_looks_like_a_terminal_is_passed_over(tmp_path: Path) -> None:
    """FIFOs with and without a reader, files, directories and other devices get nothing and hang nothing."""
    os.mkfifo(tmp_path / "1")
    os.mkfifo(tmp_path / "2")
    reader = os.open(tmp_path / "2", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "3").write_text("")
    (tmp_path / "4").mkdir()
    (tmp_path / "5").symlink_to("/dev/null")
    (tmp_path / "6").symlink_to("6")
    assert write(WHY, tmp_path) == 0
    assert os.read(reader, 100) == b""
    os.close(reader)
    assert (tmp_path / "3").read_text() == ""
    assert write(WHY, tmp_path / "nowhere") == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        OK + b"{",
        OK + b'{"notices": 7}',
        OK + b'{"notices": [{}]}',
        OK + b'{"notices": [{"id": true, "at": "soon"}, {"id": "1"}]}',
        OK + b"[" * 100_000,
        b"HTTP/1.1 500 No\r\n\r\n" + json.dumps(told(1)).encode(),
    ],
)
def test_another_answer_is_no_notice(answer: bytes) -> None:
    """A control of before, an error and nonsense say nothing, and raise nothing."""
    assert Heard().take(answer) == []


def test_each_notice_is_taken_once() -> None:
    """What was heard is not heard again, and its number is what control is told."""
    heard, answer = Heard(), OK + json.dumps(told(7)).encode()
    assert [notice.id for notice in heard.take(answer)] == [7]
    assert heard.take(answer) == []
    assert (heard.number, len(heard.kept)) == (7, 1)


@pytest.mark.parametrize(
    ("left", "wait"), [([], 20), ([3600], 20), ([60, 3600], 6), ([9], 1), ([1, 90], 1), ([-5], 20)]
)
def test_the_nearer_the_end_the_sooner_is_asked(left: list[float], wait: float) -> None:
    """A tenth of what is left, at most the usual and at least a second; ends that are over do not count."""
    assert next_wait(20, [1000.0 + seconds for seconds in left], 1000.0) == wait


def test_kernels_find_a_private_file(tmp_path: Path) -> None:
    """What kernels read stands in the runtime directory, for this user alone, or nowhere."""
    heard = Heard()
    heard.take(OK + json.dumps(told(7)).encode())
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    keep_for_kernels(heard.kept, {"JUPYTER_RUNTIME_DIR": str(tmp_path)})
    found = tmp_path / FILE
    assert not (tmp_path / "elsewhere").exists()
    assert stat.S_IMODE(found.lstat().st_mode) == 0o600
    assert json.loads(found.read_text())["notices"][0]["why"] == WHY
    keep_for_kernels(heard.kept, {"JUPYTER_RUNTIME_DIR": str(tmp_path / "nowhere")})
    keep_for_kernels(heard.kept, {})


@pytest.fixture
def alice(place: Sandbox) -> Iterator[UserServer]:
    """Alice's server, not yet started."""
    server = UserServer(place)
    yield server
    server.close()


async def _open_notebook(server: UserServer, events: list[Any] | None, warn: Any) -> None:
    """Open a notebook, then `warn`; what JupyterLab hears on the event bus goes to `events`."""
    headers = {"Authorization": f"token {SECRET}"}
    address = f"http://127.0.0.1:{server.place.server_port}{BASE_URL}api"
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (server.home / "work").mkdir()
    (server.home / "work/a b.ipynb").write_text(json.dumps(notebook))
    session = {"path": "work/a b.ipynb", "type": "notebook", "name": "a", "kernel": {"name": "python3"}}
    async with aiohttp.ClientSession(headers=headers) as client:
        async with client.post(f"{address}/sessions", json=session) as answer:
            assert answer.status == 201, await answer.text()
        if events is None:
            warn()
            return
        async with client.ws_connect(f"{address}/events/subscribe") as bus:
            warn()
            while not any(item.get("kind") == "save" for item in events):
                message = await bus.receive_json(timeout=30)
                if message["schema_id"] == SCHEMA_ID:
                    events.append(message)


@pytest.mark.lane("userenv")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("hangs", ["sessions", "checkpoints"])
def test_a_server_that_hangs_costs_the_hook_no_time(hangs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a server that hangs all checkpoints together have one limit; then the save goes on."""
    made: list[Mapping[str, str]] = []
    monkeypatch.setattr(saving, "CHECKPOINT_LIMIT", 0.3)
    monkeypatch.setattr(saving, "show", lambda *_: None)
    monkeypatch.setattr(saving, "save", lambda _environment, _notice, notebooks: made.append(notebooks))
    if hangs == "checkpoints":
        sessions = [{"type": "notebook", "path": f"{number}.ipynb"} for number in range(9)]
        monkeypatch.setattr(claims, "_models", lambda *_: sessions)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = claims._Address("127.0.0.1", silent.getsockname()[1], "/")
        claims._act(server, "", [Notice(1, "save", "warning.ttl", WHY, 0.0)], Heard())
    assert time.monotonic() - began < 2
    assert [len(found) for found in made] == [9 if hangs == "checkpoints" else 0]
    assert all(made[0].values())


@pytest.mark.parametrize("lean", [pytest.param(True, id="lean"), pytest.param(False, id="ordinary")])
def test_a_real_server_warns_and_saves(
    alice: UserServer, terminal: tuple[int, int, Path], lean: bool
) -> None:
    """Both tellers: terminal, kernels' file, a checkpoint of the open notebook, the hook, the word about it;
    a lean server also tells JupyterLab on its own event bus."""
    write_hook(alice.home, 'echo "$SANDBOX_STOP_REASON" > "$HOME/ran"; env | grep -c TOKEN')
    alice.start(
        JUPYTER_SANDBOX_CLAIMS_EVERY="0.2",
        JUPYTER_SANDBOX_LEAN="1" if lean else "0",
        JUPYTER_SANDBOX_TERMINALS=str(terminal[2]),
    )
    events: list[Any] | None = [] if lean else None

    def warn() -> None:
        alice.hub.secrets[CLAIMS] = {"notices": [*told(3)["notices"], *told(4, "save")["notices"]]}

    asyncio.run(_open_notebook(alice, events, warn))
    word = alice.home / ".local/share/jupyter-sandbox/last-save.json"
    eventually(word.exists, "what was saved is told")
    saved = json.loads(word.read_text())
    assert saved["notebooks"] == [{"path": "work/a b.ipynb", "checkpoint": True, "error": ""}]
    assert (saved["hook"]["status"], saved["hook"]["error"]) == (1, "")  # grep has counted no token
    assert (alice.home / "ran").read_text() == "warning.ttl\n"
    assert (alice.home / "work/.ipynb_checkpoints/a b-checkpoint.ipynb").is_file()
    assert shown(terminal[0]).count(b"Sandbox: Ends at") == 1
    kept = alice.place.doors.directory / "runtime" / FILE
    assert [item["id"] for item in json.loads(kept.read_text())["notices"]] == [3, 4]
    eventually(lambda: alice.hub.claims[-1].get("heard") == 4, "control is told what was heard")
    if events is not None:
        assert [item["kind"] for item in events[-2:]] == ["warning", "save"]
        assert events[-1]["why"] == WHY
    began = time.monotonic()
    assert alice.stop() == 0
    print(f"stopped within {time.monotonic() - began:.1f} s")
