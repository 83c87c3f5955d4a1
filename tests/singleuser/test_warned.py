"""Where does a user read warnings and what was saved? In `%sandbox`, and above the next cell's output."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser import questions
from jupyter_sandbox_spawner.singleuser.inside.hook import places
from jupyter_sandbox_spawner.singleuser.inside.notices import FILE
from jupyter_sandbox_spawner.singleuser.notices import NewsForKernel
from tests.singleuser.selfapi import SelfApi
from tests.singleuser.test_magic import ipython

GIVEN = {
    "id": 9,
    "told_at": "2026-11-25T15:17:00Z",
    "at": "2026-11-25T16:00:00Z",
    "code": "warning.ttl",
    "why": "Ends at 16:00 UTC: it stops in 43 min because its time is up then; save your work.",
}
SAVED = {
    "at": "2026-11-25T07:48:50+00:00",
    "server": "",
    "code": "warning.idle",
    "why": "",
    "notebooks": [{"path": "a.ipynb", "checkpoint": True, "error": ""}],
    "hook": {"status": 0, "seconds": 0.1, "error": "", "output": "/h/before-stop.log"},
}


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This sandbox's own runtime directory."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def tell(directory: Path, *notices: dict[str, Any]) -> None:
    """As the teller does: another file under the same name, with another time."""
    fresh = directory / "fresh"
    fresh.write_text(json.dumps({"notices": notices}))
    os.utime(fresh, ns=(time.time_ns(), time.time_ns()))
    fresh.rename(directory / FILE)


def notice(number: int, kind: str = "warning", why: str = "Ends soon.", ahead: float = 60) -> dict[str, Any]:
    """One notice of the file."""
    return {"id": number, "kind": kind, "code": "warning.ttl", "why": why, "at": time.time() + ahead}


def test_ttl_shows_the_warnings_that_were_given(api: SelfApi) -> None:
    """`%sandbox ttl` says when a warning was given and why, and so does its JSON."""
    api.me["warnings"] = [GIVEN]
    answer = questions.ttl()
    assert f"Warned at 15:17 UTC: {GIVEN['why']}" in repr(answer).splitlines()
    assert answer.as_document()["warnings"][0]["told_at"] == "2026-11-25T15:17:00Z"


def test_status_says_what_the_last_request_to_save_did(
    api: SelfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next server tells what was saved, and where files are; a save of long before is not told."""
    monkeypatch.setenv("HOME", str(tmp_path))
    stop = {"code": "stop.idle", "why": "It was not used.", "decided_at": None}
    last = {"server": "", "admitted_at": "2026-11-25T07:00:00Z", "released_at": None, "stop": stop}
    api.me["last"] = last
    path = Path(places(os.environ)[0])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(SAVED))
    *_, saved, files = repr(questions.status()).splitlines()
    assert saved == (
        "Saved at 07:48 UTC, 7 h 30 min ago: checkpoints of 1 of 1 open notebooks;"
        " your before-stop hook: ended with status 0 (its output: /h/before-stop.log)."
    )
    assert str(tmp_path) in files
    last["admitted_at"] = "2026-11-25T07:49:00Z"
    assert "Saved at" not in repr(questions.status())


@pytest.mark.parametrize(
    "content", ["", "[]", '{"at": 1}', '{"at": "2026-11-25T07:48:50+00:00", "notebooks": 1}']
)
def test_a_strange_file_says_nothing(
    api: SelfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """A file that is none of ours is no error."""
    monkeypatch.setenv("HOME", str(tmp_path))
    stop = {"code": "stop.idle", "why": "It was not used.", "decided_at": None}
    api.me["last"] = {"server": "", "admitted_at": "2026-11-25T07:00:00Z", "released_at": None, "stop": stop}
    path = Path(places(os.environ)[0])
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert questions.status().last is not None


def test_a_warning_stands_above_one_cell(runtime: Path) -> None:
    """Each is shown once per kernel: the newest, if its end is still to come and was not moved."""
    news = NewsForKernel()
    assert news.line(time.time()) == ""
    tell(runtime, notice(1), notice(2, why="Ends at 16:00 UTC.\x1b[2J"))
    assert news.line(time.time()) == "Sandbox: Ends at 16:00 UTC.?[2J"
    assert news.line(time.time()) == ""
    assert NewsForKernel().line(time.time()) != ""
    tell(runtime, notice(2), notice(3, "extended"))
    assert news.line(time.time()) == ""
    tell(runtime, notice(4, ahead=-1))
    assert news.line(time.time()) == ""


def test_an_answer_about_a_host_hides_no_warning(runtime: Path) -> None:
    """Both stand above the cell, each on its line, and the answer also where it has no end."""
    answer = {**notice(3, "egress_request", why="Access to a.test:443 was denied."), "at": None}
    tell(runtime, notice(1), notice(2, why="Ends at 16:00 UTC."), answer)
    wanted = "Sandbox: Access to a.test:443 was denied.\nSandbox: Ends at 16:00 UTC."
    assert NewsForKernel().line(time.time()) == wanted


@pytest.mark.timeout(20)
def test_a_hostile_file_hangs_no_kernel(runtime: Path) -> None:
    """A FIFO, a huge file and nonsense in its place are passed over."""
    os.mkfifo(runtime / FILE)
    assert NewsForKernel().line(0) == ""
    (runtime / FILE).unlink()
    for content in (
        "[" * 200_000,
        '{"notices": []}',
        '{"notices": [{"id": "a"}]}',
        '{"notices": [{"id": 1}]}',
    ):
        (runtime / FILE).write_text(content)
        assert NewsForKernel().line(0) == ""


def test_no_news_cost_a_cell_next_to_nothing(runtime: Path) -> None:
    """A look at a file that did not change takes some microseconds."""
    tell(runtime, notice(1))
    news = NewsForKernel()
    news.line(time.time())
    began = time.perf_counter()
    for _ in range(1000):
        news.line(0)
    took = (time.perf_counter() - began) / 1000
    print(f"{took * 1e6:.1f} microseconds a cell")
    assert took < 0.001


@pytest.mark.lane("userenv")
def test_a_real_cell_shows_it(api: SelfApi, tmp_path: Path, control: Any) -> None:
    """In the user image's own IPython the line comes once, before what the cell prints, and asks nobody."""
    tell(tmp_path, notice(1, why="Ends at 16:00 UTC."))
    again = "get_ipython().run_cell('1');" * 2
    done = ipython(again + "print('done')", tmp_path, JUPYTER_RUNTIME_DIR=str(tmp_path))
    control("the cell ran", done.stdout.endswith("done\n"))
    assert done.stderr.count("Sandbox: Ends at 16:00 UTC.") == 1
    assert api.asked == []
