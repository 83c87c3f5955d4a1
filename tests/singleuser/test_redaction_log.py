"""Does the output of a whole server, which is its container's log, hold a value that its kernels read?"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from tests.singleuser.brokerapi import ABOUT, CANARY
from tests.singleuser.sandbox import Sandbox, eventually
from tests.singleuser.test_kernel import AUTHORIZATION, Kernel
from tests.singleuser.userserver import BASE_URL, UserServer

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("userenv")
UNKNOWN = "nobody-registered-93"
READ = "import jupyter_sandbox\nx = jupyter_sandbox.secrets('db/warehouse')['password'].reveal()"
WRITTEN = 7  # of each value: below Python, so that it is in the log
PRINTS = f"""
import os, subprocess, sys
for x in (x, {UNKNOWN!r}):
    print(x); print(x, file=sys.stderr); print(x, file=sys.__stderr__, flush=True)
    os.write(1, x.encode() + b"\\n"); os.write(2, x.encode() + b"\\n")
    subprocess.run(["sh", "-c", "echo $0; echo $0 >&2", x])
    subprocess.run(["sh", "-c", "echo $0", x], stdout=sys.stdout)
    get_ipython().kernel.log.error("%s", x)
os.write(1, b"LAST\\n"); os.write(2, b"LAST\\n")
"""


@pytest.fixture
def alice(place: Sandbox) -> Iterator[UserServer]:
    """Alice's server, whose API door leads to a broker with db/warehouse."""
    server = UserServer(place)
    document = {**ABOUT, "fields": {"user": "reader", "password": CANARY}}
    server.hub.secrets["/services/sandbox/api/secrets/db/warehouse/read"] = document
    server.start(JUPYTER_SANDBOX="1")
    yield server
    server.close()


class Log:
    """Standard output and error of pid 1 and all below it."""

    def __init__(self, server: UserServer) -> None:
        process = server.place.process
        assert process is not None
        assert process.stdout is not None
        self._server = server
        self._output: list[str] = []
        self._reader = threading.Thread(target=self._output.extend, args=(process.stdout,), daemon=True)
        self._reader.start()

    def wait_for(self, line: str) -> None:
        """Until both streams have the line."""
        eventually(
            lambda: f"{line}\n" in self._output and f"{line}\n" in self._server.log, f"{line} is logged"
        )

    def whole(self) -> str:
        """All of it; the server is ended for that."""
        self._server.stop()
        self._reader.join()
        return "".join(self._output + self._server.log)


@pytest.mark.proves("S20", "S02")
async def test_the_log_of_a_server_holds_no_value(alice: UserServer, control: Control) -> None:
    """Descriptors, programs, a cell with variables and the kernel's log: names, not values, in the log."""
    log = Log(alice)
    kernel = await Kernel.started(alice)
    try:
        shown = await kernel.run(READ)
        shown += await kernel.run(
            "%%sandbox secrets use db/warehouse\nimport os; os.system('echo $DB_PASSWORD')"
        )
        shown += await kernel.run("raise ValueError(x)")
        shown += await kernel.run(PRINTS)
        log.wait_for("LAST")
    finally:
        kernel.close()
    logged = log.whole()
    control("what was not read is shown", UNKNOWN in shown)
    control("what was not read is logged", logged.count(UNKNOWN) == WRITTEN)
    assert logged.count("[secret db/warehouse]") == WRITTEN + 1  # and that of the cell with variables
    assert "[secret db/warehouse]" in shown
    assert CANARY not in logged + shown


@pytest.mark.proves("S20")
async def test_a_terminal_shows_a_value_and_no_log_has_it(alice: UserServer, control: Control) -> None:
    """A program that prints its secret to its terminal does so; nothing of a terminal is in the log."""
    log = Log(alice)
    address = f"127.0.0.1:{alice.place.server_port}{BASE_URL}"
    answer = await AsyncHTTPClient().fetch(
        HTTPRequest(f"http://{address}api/terminals", method="POST", body="{}", headers=AUTHORIZATION)
    )
    name = json.loads(answer.body)["name"]
    terminal = await websocket_connect(
        HTTPRequest(f"ws://{address}terminals/websocket/{name}", headers=AUTHORIZATION)
    )
    line = f"jupyter sandbox secrets use db/warehouse -- printenv DB_PASSWORD; echo {UNKNOWN} E''ND\n"
    await terminal.write_message(json.dumps(["stdin", line]))
    printed = ""
    while "END" not in printed:
        kind, *rest = json.loads(await terminal.read_message() or "null")
        printed += rest[0] if kind == "stdout" else ""
    terminal.close()
    logged = log.whole()
    control("the terminal shows it", CANARY in printed)
    control("the log is the server's", "/user/alice/" in logged)
    assert UNKNOWN not in logged
    assert CANARY not in logged
