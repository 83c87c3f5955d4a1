"""Does `%sandbox mlflow` say where runs go, whatever answers, and is mlflow never imported for it?"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from jupyter_sandbox_spawner.errors import RefusedError, UnreachableError
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from jupyter_sandbox_spawner.singleuser.mlflow_auth import SandboxAuth
from jupyter_sandbox_spawner.singleuser.tracking import tracking
from tests.lanes import CHECKOUT
from tests.singleuser.selfapi import TOKEN, SelfApi


class Proxy:
    """What answers at the relay's port: `answer` is sent to whatever is asked, `asked` is remembered.

    `answers` are documents by what a path holds; the first that fits is taken before `answer`.
    """

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.answer: tuple[int, bytes] = (200, b'{"user": "ada", "workspace": "u-ada-x"}')
        self.asked: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """One question."""

            def do_GET(self) -> None:
                """Answer it."""
                proxy.asked.append((self.path, self.headers.get("Authorization", "")))
                status, body = proxy.answer
                for part, document in proxy.answers.items():
                    if part in self.path:
                        unknown = isinstance(document, dict) and "error_code" in document
                        status, body = 404 if unknown else 200, json.dumps(document).encode()
                        break
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                """Answer it."""
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def proxy(api: SelfApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A relay with MLflow behind it, and the preset environment."""
    made = Proxy()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{made.server.server_address[1]}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.sandbox.internal")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def test_it_says_where_runs_go(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """Server, workspace, person and experiment, by one question with the server's token."""
    assert main(["mlflow"]) == ExitStatus.OK
    printed = capsys.readouterr().out
    assert "u-ada-x, of ada alone" in printed
    assert "http://mlflow.sandbox.internal, answers" in printed
    assert proxy.asked == [("http://mlflow.sandbox.internal/sandbox/self", f"Bearer {TOKEN}")]


def test_a_hub_without_mlflow_says_so(api: SelfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the preset it is one sentence; another server of the user's own is named."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert str(tracking()).startswith("This hub has no MLflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mine.example")
    assert "http://mine.example, which is not this hub's" in str(tracking())


@pytest.mark.parametrize(
    ("status", "body"),
    [(424, b'{"code": "tracking.away"}'), (424, b'{"code": "hub.unreachable"}'), (502, b"{}")],
)
def test_mlflow_away_is_one_sentence(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], status: int, body: bytes
) -> None:
    """Down, starting or without its hub: what it is and what to do, with the status for "no answer"."""
    proxy.answer = (status, body)
    assert main(["mlflow"]) == ExitStatus.NO_ANSWER
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert "in a minute" in printed.err


def test_a_relay_that_refuses_is_the_same(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listening at the relay's port is an MLflow that does not answer."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError) as caught:
        tracking()
    assert caught.value.code == "tracking.away"


def test_a_refusal_is_shown_as_it_stands(proxy: Proxy) -> None:
    """What the guard says to the person is what she reads."""
    proxy.answer = (403, json.dumps({"code": "identity.mismatch", "message": "Another server's."}).encode())
    with pytest.raises(RefusedError, match="Another server's"):
        tracking()


def test_the_token_goes_to_this_hubs_mlflow_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in adds the token of now to requests to our name by http, and to no other address."""
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "first")
    sign = SandboxAuth().get_auth()

    def header(url: str) -> object:
        return sign(SimpleNamespace(url=url, headers={})).headers.get("Authorization")

    assert header("http://mlflow.sandbox.internal/api/2.0/mlflow/runs/create") == "Bearer first"
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "rotated")
    assert header("http://mlflow.sandbox.internal/x") == "Bearer rotated"
    for url in (
        "http://mlflow.example/x",
        "https://mlflow.sandbox.internal/x",
        "http://mlflow.sandbox.internal:5000/x",
        "http://mlflow.sandbox.internal.example/x",
        "http://mlflow.sandbox.internal@evil.example/x",
    ):
        assert header(url) is None


def test_nothing_here_imports_mlflow() -> None:
    """The magic, its answers and the plug-in leave mlflow and requests unimported."""
    code = (
        "import sys; import jupyter_sandbox_spawner.singleuser.magic as magic;"
        "magic._parser(); import jupyter_sandbox_spawner.singleuser.tracking;"
        "print(sorted({'mlflow', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert done.stdout == "[]\n"
