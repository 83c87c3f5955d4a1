"""In a real kernel: is the environment put back, and does no way of looking at a secret show its value?

These kernels do not search their output, so that the object itself is tried.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lanes import VENVS
from tests.singleuser.brokerapi import CANARY, broker_answers
from tests.singleuser.notebook import Cell, Played, play
from tests.singleuser.selfapi import SelfApi

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("userenv")
USE = "%%sandbox secrets use db/warehouse\n"
BEFORE = "import os\nos.environ['DB_USER'] = 'mine'\nos.environ.pop('DB_PASSWORD', None)"
HAD = "import os\nprint('had', os.environ['DB_USER'], len(os.environ['DB_PASSWORD']), flush=True)\n"
LEFT = "print('left', os.environ['DB_USER'], os.environ.get('DB_PASSWORD'))"
ENDINGS: dict[str, tuple[str, str]] = {  # what ends the cell, and the error that is shown
    "success": ("", ""),
    "error": ("raise KeyError('mine')", "KeyError"),
    "interrupt": ("import time\ntime.sleep(60)", "KeyboardInterrupt"),
    "interrupt of a program": ("import subprocess\nsubprocess.run(['sleep', '60'])", "KeyboardInterrupt"),
    "interrupt of a shell": ("!sleep 60", ""),
    "exit of a thread": ("raise SystemExit(3)", "SystemExit"),
}
FORGET = "from jupyter_sandbox_spawner.singleuser import redaction\nredaction.register = lambda *words: None"


@pytest.fixture(scope="module")
def broker() -> Iterator[SelfApi]:
    """A broker with db/warehouse."""
    server = broker_answers(SelfApi())
    yield server
    server.close()


@pytest.fixture(scope="module")
def used(broker: SelfApi, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """For each ending three cells in one kernel: before, the cell itself, what is left; then the history."""
    steps: list[str | dict[str, object]] = [FORGET]
    for ending, (code, _) in ENDINGS.items():
        cell = {"code": USE + HAD + code, **({"interrupt": "had"} if ending.startswith("interrupt") else {})}
        steps += [BEFORE, cell, LEFT]
    steps.append("%history -g\nprint(get_ipython().history_manager.input_hist_raw, In)")
    return play(tmp_path_factory.mktemp("home"), *steps, **broker.environment())


@pytest.mark.proves("S17")
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_environment_is_put_back(used: Played, control: Control, ending: str) -> None:
    """After success, an error, and a kernel's real interrupt message, variables are as they were before."""
    place = 2 + 3 * list(ENDINGS).index(ending)
    cell, left = used.cells[place : place + 2]
    control("the cell had the values", f"had reader {len(CANARY)}" in cell.printed)
    assert left.printed == "left mine None\n"
    error = ENDINGS[ending][1]
    assert error in cell.sent
    if error:
        assert "Its secrets are out of the environment again." in cell.sent


@pytest.mark.proves("S17")
def test_neither_source_nor_history_holds_a_value(used: Played, control: Control) -> None:
    """What IPython keeps of the cells, in memory and in its database, and what it echoed, has names only."""
    control("the history has the cells", used.cells[-1].printed.count("secrets use db/warehouse") >= 12)
    everything = [message for cell in used.cells for message in cell.messages]
    assert CANARY not in json.dumps(everything, ensure_ascii=False)


START = f"""
import copy, json, logging, pickle, pprint, sys, traceback
import jupyter_sandbox
from IPython.display import display
{FORGET}
secret = jupyter_sandbox.secrets("db/warehouse")
value = secret["password"]
def attempt(act):
    try:
        print(act())
    except Exception as error:
        print(type(error).__name__, error)
"""
# Of `it`, which is the value, the whole secret, and in the control the plain text.
LOOKS = {
    "print": "print(it)",
    "repr": "print(repr(it), ascii(it))",
    "f-string": "print(f'{it} {it!r} {it!s} {it:>30}', '%s %r' % (it, it), '{}'.format(it))",
    "result": "it",
    "result in containers": "[{'a': (it,)}, {1: it}]",
    "rich display": "display(it, {'a': it})",
    "pprint": "pprint.pprint([it])",
    "copy": "copy.copy(it), copy.deepcopy([it])",
    "pickle": "attempt(lambda: pickle.dumps(it).decode('latin-1').encode('latin-1').decode(errors='ignore'))",
    "json": "attempt(lambda: json.dumps({'a': it}, ensure_ascii=False))",
    "json of anything": "attempt(lambda: json.dumps({'a': it}, default=str, ensure_ascii=False))",
    "logging": "logging.warning('%s %r', it, it)",
    "dir": "attempt(lambda: [(n, getattr(it, n)) for n in dir(it) if n != 'reveal'] + [str(it)])",
    "vars": "attempt(lambda: (vars(it) if hasattr(it, '__dict__') else 'none', it))",
    "help of a notebook": "get_ipython().run_line_magic('pinfo', 'it')",
    "who": "get_ipython().run_line_magic('whos', '')",
    "error": "raise ValueError(it)",
    "plain traceback": "get_ipython().run_line_magic('xmode', 'Plain')\ndef f(y): return 1/0\nf(it), it",
    "verbose traceback": "get_ipython().run_line_magic('xmode', 'Verbose')\ndef f(y): return 1/0\nf(it)",
    "traceback with variables": "try:\n  1/0\nexcept Exception as error:\n"
    "  print(''.join(traceback.TracebackException.from_exception(error, capture_locals=True).format()), it)",
    "after a mistake of adding": "attempt(lambda: it + 1)\nprint(it)",
    "store": "get_ipython().run_line_magic('store', 'it')\nattempt(lambda: it)",
}
WHAT = {"value": "value", "the whole secret": "secret", "the plain text": "value.reveal()"}


@pytest.fixture(scope="module")
def looked(broker: SelfApi, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Every look at every thing."""
    cells = [f"it = {what}\n{code}" for what in WHAT.values() for code in LOOKS.values()]
    return play(tmp_path_factory.mktemp("home"), START, *cells, **broker.environment())


def _cell(looked: Played, look: str, what: str) -> Cell:
    return looked.cells[1 + list(WHAT).index(what) * len(LOOKS) + list(LOOKS).index(look)]


@pytest.mark.proves("S18")
@pytest.mark.parametrize("look", LOOKS)
def test_no_look_at_a_secret_shows_a_value(looked: Played, control: Control, look: str) -> None:
    """The object itself keeps it back, also where nothing searches the output; plain text is seen."""
    plain = ("plain traceback",)  # it shows no variables by nature
    shown = CANARY in _cell(looked, look, "the plain text").sent
    control("the plain text is shown", shown or look in plain)
    for what in ("value", "the whole secret"):
        assert CANARY not in _cell(looked, look, what).sent
        assert CANARY[:9] not in _cell(looked, look, what).sent


@pytest.mark.proves("S18")
def test_a_debugger_shows_none_either(broker: SelfApi, tmp_path: Path, control: Control) -> None:
    """`%debug` after an error: the object, the arguments and all variables of the frame have no value."""
    words = ["p it", "pp locals()", "args", "p it.__class__", "up", "pp secret", "quit"]
    code = "def fails(it): return 1 / 0\nfails({})"
    cells = []
    for what in ("value", "value.reveal()"):
        cells += [code.format(what), {"code": "%debug", "answers": words}]
    played = play(tmp_path, START, *cells, **broker.environment())
    control("it shows plain text", CANARY in played.cells[4].printed)
    assert "<secret>" in played.cells[2].printed
    assert "<secret db/warehouse: user, password>" in played.cells[2].printed
    assert CANARY not in played.cells[2].sent


@pytest.mark.proves("S19")
def test_a_saved_notebook_holds_no_value(broker: SelfApi, tmp_path: Path, control: Control) -> None:
    """A notebook that a program runs and saves, as `jupyter execute` does, has names in its outputs."""
    code = [
        "import jupyter_sandbox, os\nx = jupyter_sandbox.secrets('db/warehouse')['password'].reveal()",
        "print(x)\nx",
        "from IPython.display import HTML\ndisplay(HTML(x))\nraise ValueError(x)",
        "print('an-ordinary-' + 'output')",
    ]
    cells = [
        {
            "cell_type": "code",
            "id": str(n),
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": text,
        }
        for n, text in enumerate(code)
    ]
    notebook = tmp_path / "run.ipynb"
    notebook.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    environment = {**os.environ, **broker.environment(), "HOME": str(tmp_path)}
    command = [VENVS / "user/bin/jupyter-execute", "--inplace", "--allow-errors", notebook]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    saved = notebook.read_text()
    control("outputs are saved", "an-ordinary-output" in saved)
    assert saved.count("[secret db/warehouse]") >= 4
    assert CANARY not in json.dumps(json.loads(saved), ensure_ascii=False) + done.stdout + done.stderr
