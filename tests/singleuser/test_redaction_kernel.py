"""How does redaction behave when it fails, when it has nothing to do, and beside a user's own ways?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.singleuser.brokerapi import CANARY, broker_answers, give
from tests.singleuser.notebook import play
from tests.singleuser.selfapi import SelfApi

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("userenv")
SHOWN = "[secret db/warehouse]"
READ = """
import os, subprocess, sys, threading, jupyter_sandbox
from jupyter_sandbox_spawner.singleuser import redaction
kernel = get_ipython().kernel
known = jupyter_sandbox.secrets("db/warehouse")["password"].reveal()
"""


@pytest.fixture
def broker() -> Iterator[SelfApi]:
    """A broker with db/warehouse."""
    server = broker_answers(SelfApi())
    yield server
    server.close()


@pytest.mark.proves("S19")
def test_what_cannot_be_searched_is_withheld_and_the_cell_says_so(broker: SelfApi, tmp_path: Path) -> None:
    """With a search that fails nothing but a notice goes out, in messages of the same types; cells go on."""
    breaks = "redaction.Redactor.is_in = redaction.Redactor.raw = lambda self, raw: 1 / 0"
    played = play(
        tmp_path,
        READ,
        breaks,
        "print(known)\nprint(known, file=sys.stderr)\nknown",
        "from IPython.display import HTML\ndisplay(HTML(known), display_id='i')\nraise ValueError(known)",
        {"code": "os.write(1, f'{known} ENDED\\n'.encode())", "until": "withheld", "logged": "withheld"},
        {"inspect": "known"},
        **broker.environment(),
    )
    notice = "[output is withheld: it could not be searched for secrets (ZeroDivisionError)]"
    _, _, printed, shown, _, inspected = played.cells
    assert {each["text"] for each in printed.contents("stream")} == {notice}
    assert [each["data"] for each in printed.contents("execute_result")] == [{"text/plain": notice}]
    (display,), (error,) = shown.contents("display_data"), shown.contents("error")
    assert (display["data"], display["transient"]) == ({"text/plain": notice}, {"display_id": "i"})
    assert (error["evalue"], error["traceback"]) == (notice, [notice])
    assert [each["status"] for each in inspected.contents("inspect_reply")] == ["ok"]
    assert CANARY not in "".join(cell.sent for cell in played.cells) + played.log


def test_a_kernel_that_read_nothing_is_left_alone(broker: SelfApi, tmp_path: Path) -> None:
    """Until a value is read no method is replaced, no thread started, no descriptor changed; then once."""
    look = (
        "print(sorted(t.name for t in threading.enumerate() if 'sandbox' in t.name),"
        " 'serialize' in vars(kernel.session), *(os.readlink(f'/proc/self/fd/{n}') for n in (1, 2)))"
    )
    before = READ.replace(READ.splitlines()[-1], "")
    again = "for _ in range(50): jupyter_sandbox.secrets('db/warehouse')"
    played = play(tmp_path, before, look, READ, look, again, look, **broker.environment())
    first, second, third = (played.cells[number].printed for number in (1, 3, 5))
    assert first.startswith("[] False")
    assert second.count("sandbox-redaction-") == 4
    assert "True" in second
    assert set(first.split()[-2:]).isdisjoint(second.split()[-2:])
    assert third == second


def test_a_capturing_cell_may_be_the_first_that_reads(broker: SelfApi, tmp_path: Path) -> None:
    """`%%capture` puts its own streams in place for a while; the log is guarded from the next read on."""
    direct = {
        "code": "subprocess.run(['sh', '-c', 'echo $0 ENDED', known], stdout=sys.stdout)",
        "logged": "ENDED",
    }
    played = play(tmp_path, f"%%capture\n{READ}", "print(known)", READ, direct, **broker.environment())
    assert played.cells[1].printed == f"{SHOWN}\n"
    assert f"{SHOWN} ENDED" in played.log
    assert CANARY not in played.log


def test_a_stream_of_the_users_own_is_left_alone(broker: SelfApi, tmp_path: Path) -> None:
    """A file that stands in for standard output while a secret is read gets all that is written to it."""
    code = (
        "import contextlib\n"
        f"with open({str(tmp_path / 'own')!r}, 'w') as file, contextlib.redirect_stdout(file):\n"
        "    known = jupyter_sandbox.secrets('db/warehouse')['password'].reveal()\n"
        "    print(known)\n"
    )
    play(tmp_path, "import jupyter_sandbox", code, **broker.environment())
    assert (tmp_path / "own").read_text() == f"{CANARY}\n"


def test_short_values_and_names_of_users_stay(broker: SelfApi, tmp_path: Path) -> None:
    """A value under six characters is not hidden, which is said once; a user's name stays."""
    give(broker, "db/pin", environment={}, fields={"user": "stdout-reader", "pin": "12345", "pass": "123456"})
    read = "import jupyter_sandbox\nfor _ in 'ab': s = jupyter_sandbox.secrets('db/pin')"
    shows = (
        "print(*(value.reveal() for value in s.values()))\ndisplay({'application/json': 123456}, raw=True)"
    )
    played = play(tmp_path, read, shows, **broker.environment())
    said = "The field 'pin' of the secret 'db/pin' has under 6 characters: it is not hidden.\n"
    assert played.cells[0].printed == said
    assert played.cells[1].printed == "stdout-reader 12345 [secret db/pin]\n"
    (display,) = played.cells[1].contents("display_data")
    assert display["data"] == {"application/json": "[secret db/pin]"}


def test_a_password_that_is_a_word_of_the_protocol_breaks_nothing(broker: SelfApi, tmp_path: Path) -> None:
    """Names of fields, streams and MIME types stay, whatever the value is; the text itself is searched."""
    fields = {str(number): word for number, word in enumerate(("stdout", "text/plain", "status", "evalue"))}
    give(broker, "db/words", environment={}, fields=fields)
    read = "import jupyter_sandbox\ns = jupyter_sandbox.secrets('db/words')"
    played = play(
        tmp_path, read, "print('to stdout')\n'status'", "raise ValueError('evalue')", **broker.environment()
    )
    _, printed, error = played.cells
    assert printed.contents("stream") == [{"name": "stdout", "text": "to [secret db/words]\n"}]
    assert printed.contents("execute_result")[0]["data"] == {"text/plain": "'[secret db/words]'"}
    assert error.contents("error")[0]["evalue"] == "[secret db/words]"


@pytest.mark.proves("S19")
def test_the_debugger_and_other_pages_get_names(broker: SelfApi, tmp_path: Path, control: Control) -> None:
    """The debugger's list of variables, an inspected name and the echo of a source are searched too."""
    cells = [
        f"typed = {CANARY!r}\nother = 'an-ordinary-word'",
        {"debug": "inspectVariables"},
        {"inspect": "typed"},
    ]
    _, typed, variables, inspected = play(tmp_path, READ, *cells, **broker.environment()).cells
    control("variables are listed", "an-ordinary-word" in variables.sent)
    for cell in (typed, variables, inspected):
        everything = str(cell.messages)
        assert SHOWN in everything
        assert CANARY not in everything


@pytest.mark.proves("S19")
def test_known_limit_of_a_worker_that_was_forked_before(broker: SelfApi, tmp_path: Path) -> None:
    """It does not know what its parent has read since, so what it prints itself is not searched."""
    before = "import multiprocessing\npool = multiprocessing.get_context('fork').Pool(1)\npool.map(abs, [1])"
    after = {"code": "pool.apply(print, (known, 'ENDED'))\npool.terminate()", "until": "ENDED"}
    played = play(tmp_path, before, READ, after, **broker.environment())
    assert f"{CANARY} ENDED" in played.cells[2].printed


def test_other_parts_may_register_what_they_hand_out(broker: SelfApi, tmp_path: Path) -> None:
    """`redaction.register(name, value)` hides a value that came another way."""
    code = READ + "redaction.register('git/lab', 'handed-by-a-helper')\nprint('handed-by-' + 'a-helper')"
    assert play(tmp_path, code, **broker.environment()).cells[0].printed == "[secret git/lab]\n"


def test_a_long_token_is_hidden_where_it_is_shown_shortened(
    broker: SelfApi, tmp_path: Path, control: Control
) -> None:
    """A traceback with variables shows a hundred characters of a token; no long piece of it is left."""
    token = "".join(f"{number * 7919:x}" for number in range(1, 80))
    give(broker, "s3/token", environment={}, fields={"token": token})
    code = (
        "import jupyter_sandbox, reprlib\n%xmode Verbose\ndef f(y): return 1/0\n"
        "x = jupyter_sandbox.secrets('s3/token')['token'].reveal()"
    )
    unknown = token[::-1]
    played = play(
        tmp_path, code, "f(x)", "reprlib.repr(x)", f"f({unknown!r})", f"reprlib.repr({unknown!r})",
        **broker.environment(),
    )  # fmt: skip
    control("such an error shows much of a token", unknown[:40] in played.cells[3].sent)
    for cell in played.cells[1:3]:
        assert not any(token[begin : begin + 16] in cell.sent for begin in range(len(token) - 16))
    assert "[secret s3/token]" in played.cells[1].sent


def test_workers_that_read_by_themselves_lose_no_output(broker: SelfApi, tmp_path: Path) -> None:
    """Of forked processes, each the first to read, all lines arrive, with names; also what came last."""
    work = (
        "import multiprocessing, os, subprocess, jupyter_sandbox\n"
        "def work(n):\n"
        "    value = jupyter_sandbox.secrets('db/warehouse')['password'].reveal()\n"
        "    print('said', value, flush=True)\n"
        "    subprocess.run(['sh', '-c', 'sleep 0.1; echo ran $0 $1', str(n), value])\n"
    )
    run = (
        "workers = [multiprocessing.get_context('fork').Process(target=work, args=(n,)) for n in range(4)]\n"
        "for each in workers: each.start()\n"
        "for each in workers: each.join()\n"
        "print('status', [each.exitcode for each in workers])\n"
        "os.write(1, b'ENDED\\n')"
    )
    step = {"code": run, "until": "ENDED", "logged": "ENDED"}
    played = play(tmp_path, work, step, **broker.environment())
    printed = played.cells[1].printed
    assert "status [0, 0, 0, 0]" in printed
    assert printed.count(SHOWN) == 8
    assert sorted(line for line in played.log.splitlines() if line.startswith("ran")) == [
        f"ran {number} {SHOWN}" for number in range(4)
    ]
    assert CANARY not in printed + played.log
