"""Is `%sandbox` in every IPython inside a sandbox, in none outside, and never in a user's way?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.singleuser import magic
from tests.lanes import CHECKOUT, VENVS
from tests.singleuser.selfapi import DENIED, SELF, SelfApi

USER = VENVS / "user"
STARTUP = CHECKOUT / "jupyter_sandbox_spawner/singleuser/startup/20-jupyter-sandbox.py"
userenv = pytest.mark.lane("userenv")


def ipython(code: str, home: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a cell in the user image's own IPython."""
    environment = {**os.environ, "HOME": str(home), "IPYTHONDIR": str(home / "ipython"), **changes}
    return subprocess.run(
        [USER / "bin/ipython", "--no-banner", "--colors=NoColor", "-c", code],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@userenv
def test_it_is_there_without_asking(api: SelfApi, tmp_path: Path) -> None:
    """Inside a sandbox the magic is loaded at start, and its answer can be kept."""
    done = ipython("left = %sandbox ttl\nprint(left.kind, left)", tmp_path)
    assert done.stdout.startswith("ttl Stops at 16:00 UTC, in 41 min"), done.stderr
    assert done.stderr == ""


@userenv
def test_outside_it_is_not_there(tmp_path: Path) -> None:
    """On a laptop IPython is left alone; who loads the magic by hand reads why it has nothing to show."""
    code = "shell = get_ipython()\nprint('sandbox' in shell.magics_manager.magics['line'], 'os' in dir())"
    assert ipython(code, tmp_path).stdout == "False False\n"
    done = ipython("%load_ext jupyter_sandbox_spawner\n%sandbox status", tmp_path)
    assert done.stdout + done.stderr == (
        "This is not a sandbox, so there is nothing to show. "
        "Run it in a notebook or terminal of a server that the hub started.\n"
    )


@userenv
def test_it_can_be_unloaded(api: SelfApi, tmp_path: Path) -> None:
    """`%unload_ext` takes the magic and the hint away."""
    code = (
        "%unload_ext jupyter_sandbox_spawner\nprint('sandbox' in get_ipython().magics_manager.magics['line'])"
    )
    assert ipython(code, tmp_path).stdout == "False\n"


@userenv
def test_import_gives_typed_answers(api: SelfApi, tmp_path: Path) -> None:
    """`import jupyter_sandbox` has functions whose answers show themselves as HTML."""
    code = (
        "import jupyter_sandbox as js\n"
        "print(js.__all__, js.status().quota.memory, js.egress().denied[0].host)\n"
        "print(js.ttl()._repr_html_())"
    )
    first, second = ipython(code, tmp_path).stdout.splitlines()
    names = ["ask_for_access", "egress", "extend", "forward", "keep", "secrets", "status", "ttl", "withdraw"]
    assert first == f"{names} {2 << 30} example.com"
    assert second.startswith("<p>Stops at 16:00 UTC")


@userenv
def test_json_is_a_dictionary(api: SelfApi, tmp_path: Path) -> None:
    """`%sandbox egress --json` gives what a program can use."""
    done = ipython("d = %sandbox egress --json\nprint(d['denied'][0]['port'])", tmp_path)
    assert done.stdout == "443\n"


@userenv
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("statsu", "invalid choice: 'statsu'"),
        ("ttl extend 'half", "No closing quotation"),
        ("ttl extend soon", "'soon' is not a duration"),
    ],
)
def test_a_typing_error_is_a_sentence(api: SelfApi, tmp_path: Path, line: str, words: str) -> None:
    """A wrong line shows what is wrong without a traceback, and does not end the kernel."""
    done = ipython(f"%sandbox {line}", tmp_path)
    shown = done.stdout + done.stderr
    assert words in shown
    assert "Traceback" not in shown
    assert 'File "' not in shown


@userenv
def test_help_is_the_commands_help(api: SelfApi, tmp_path: Path) -> None:
    """`%sandbox ttl --help` prints help with the magic's own name, and the cell goes well."""
    done = ipython("%sandbox ttl --help\nprint('goes on')", tmp_path)
    assert done.stdout.startswith("usage: %sandbox ttl")
    assert done.stdout.endswith("goes on\n")


@userenv
def test_a_blocked_cell_gets_one_line(api: SelfApi, tmp_path: Path) -> None:
    """A cell that failed because of a denial is followed by one line that names host and code."""
    item = {**DENIED, "last_at": "2099-01-01T00:00:00Z"}
    api.answers[f"GET {SELF}/egress"] = (200, {"allowed": [], "denied": [item]})
    done = ipython(
        "import socket\nraise socket.gaierror(-3, 'Temporary failure in name resolution')", tmp_path
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Blocked by sandbox:")]
    assert "example.com:443 (egress.not_allowed); see %sandbox egress, or ask for it: " in line
    assert "%sandbox egress ask example.com:443 --why" in line


@userenv
def test_an_ordinary_cell_asks_nobody(api: SelfApi, tmp_path: Path) -> None:
    """Neither a cell that goes well nor one with an ordinary mistake costs a question."""
    ipython("1 + 1", tmp_path)
    ipython("1 / 0", tmp_path)
    assert api.asked == []
    ipython("raise ConnectionError()", tmp_path)
    assert [what for what, _, _ in api.asked] == [f"GET {SELF}/egress"]


@userenv
def test_a_broken_package_stops_no_kernel(api: SelfApi, tmp_path: Path) -> None:
    """With a package that cannot be imported the start-up file says so in a line, and IPython starts."""
    broken = tmp_path / "jupyter_sandbox_spawner"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('half an update')\n")
    done = ipython("print('works')", tmp_path, PYTHONPATH=str(tmp_path))
    assert done.stdout == "works\n"
    assert done.stderr == "%sandbox is not available: half an update\n"


def test_outside_the_start_up_file_imports_nothing(tmp_path: Path) -> None:
    """Without JUPYTER_SANDBOX the file needs neither IPython nor this package."""
    copy = shutil.copy(STARTUP, tmp_path)
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"exec(open({copy!r}).read()); print(sorted(set(dir()) - set(dir(__builtins__))))",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert "sandbox" not in done.stdout
    assert "__all__" not in done.stdout


class Event:
    """What IPython hands to a completer."""

    def __init__(self, line: str, symbol: str) -> None:
        self.line, self.symbol = line, symbol


@pytest.mark.parametrize(
    ("line", "symbol", "word"),
    [
        ("%sandbox ", "", "status"),
        ("%sandbox eg", "eg", "egress"),
        ("%sandbox ttl ", "", "extend"),
        ("%sandbox keep ", "", "off"),
    ],
)
def test_the_words_complete(line: str, symbol: str, word: str) -> None:
    """After the magic its commands are offered, after `ttl` its own."""
    assert word in magic._complete(None, Event(line, symbol))
    assert "--json" in magic._complete(None, Event(line, symbol))
