"""Does a kernel hide what it has read in everything that it sends and logs, and say what it cannot hide?"""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.singleuser.brokerapi import CANARY, broker_answers, give
from tests.singleuser.notebook import Cell, Played, play
from tests.singleuser.selfapi import SelfApi

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("userenv")
SHOWN = "[secret db/warehouse]"
ODD = "q7\"x'<&> \\/+%\u00e9-canary"  # what every way of escaping changes
KEY = "-----BEGIN KEY-----\nAbCdEfGhIjKlMnOpQrStUvWx\nYz0123456789+/AbCdEfGhIj\n-----END KEY-----\n"
UNKNOWN = "nobody-registered-93"
START = f"""
import base64, json, logging, os, re, subprocess, sys, threading, urllib.parse, warnings, html
import jupyter_sandbox, comm
from IPython.display import HTML, JSON, display, update_display
def read(name): return jupyter_sandbox.secrets(name)["password"].reveal()
known, odd, key, unknown = read("db/warehouse"), read("db/odd"), read("db/key"), {UNKNOWN!r}
"""
# Each is run with x = the value that was read, and with x = one that was not, which must be seen.
WAYS = {
    "print": "print(x)",
    "standard error": "print(x, file=sys.stderr)",
    "result": "x",
    "result in a container": "[{'a': (x,)}]",
    "display": "display(x)",
    "html": "display(HTML(f'<b>{x}</b>'))",
    "json": "display(JSON({'a': [x]}))",
    "key of a json object": "display({'application/json': {'a': {x: 1}}}, raw=True)",
    "metadata": "display('a', metadata={'note': x})",
    "update of a display": "display('a', display_id='i'); update_display(x, display_id='i')",
    "error": "raise ValueError(x)",
    "name of an error": "raise type(x, (Exception,), {})",
    "error below another": "try:\n  1/0\nexcept ZeroDivisionError:\n  raise ValueError(x)",
    "variables of a traceback": "%xmode Verbose\ndef f(y): return 1/0\nf(x)",
    "logging": "logging.warning(x)",
    "warning": "warnings.warn(x)",
    "thread": "t = threading.Thread(target=print, args=(x,)); t.start(); t.join()",
    "shell": "!echo $x",
    "shell with its output": "found = !echo $x\nfound",
    "captured and shown": "from IPython.utils.capture import capture_output\n"
    "with capture_output() as c: print(x); display(x)\nc.show()",
    "comm": "comm.create_comm(target_name='t', data={'a': x}).send({'b': [x]})",
    "text for the next cell": "get_ipython().set_next_input(x)",
    "pager": "from IPython.core import page\npage.page(x)",
    "prompt": "input(x)",
    "child process of a fork": "p = os.fork()\nif p == 0:\n  print(x, flush=True); os._exit(0)\n"
    "os.waitpid(p, 0)",
}
# What is written past Python arrives some time later, so each ends with words to wait for.
BELOW = {
    "descriptor 1": "os.write(1, f'{x} ENDED {n}\\n'.encode())",
    "descriptor 2": "os.write(2, f'{x} ENDED {n}\\n'.encode())",
    "subprocess": "subprocess.run(['sh', '-c', 'echo $0 ENDED $1', x, str(n)])",
    "subprocess with an error": "subprocess.run(['sh', '-c', 'echo $0 ENDED $1 >&2', x, str(n)])",
    "os.system": "os.system(f'echo {x} ENDED {n}')",
    "python's own stdout": "print(x, 'ENDED', n, file=sys.__stdout__, flush=True)",
}
# And this goes to the log alone.
LOGGED = {
    "program that has sys.stdout": "subprocess.run(['echo', x, 'ENDED', str(n)], stdout=sys.stdout)",
    "program that has sys.stderr": "subprocess.run(['echo', x, 'ENDED', str(n)], stdout=sys.stderr)",
    "the kernel's own log": "get_ipython().kernel.log.error('%s ENDED %s', x, n)",
}


def _step(way: str, code: str, variable: str, number: int) -> dict[str, object]:
    step: dict[str, object] = {"code": f"x, n = {variable}, {number}\n{code}"}
    if way in BELOW:
        step["until"] = f"ENDED {number}"
    if way in BELOW or way in LOGGED:
        step["logged"] = f"ENDED {number}"
    return {**step, "answers": ["fine"]} if way == "prompt" else step


@pytest.fixture(scope="module")
def broker() -> Iterator[SelfApi]:
    """A broker with three secrets."""
    server = broker_answers(SelfApi())
    give(server, "db/odd", environment={}, fields={"password": ODD})
    give(server, "db/key", environment={}, fields={"password": KEY})
    yield server
    server.close()


@pytest.fixture(scope="module")
def session(broker: SelfApi, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Every way with the value that was read, then every way with the other one; the first cell reads."""
    ways = [*WAYS.items(), *BELOW.items(), *LOGGED.items()]
    steps: list[str | dict[str, object]] = [START]
    for variable in ("known", "unknown"):
        steps += [_step(way, code, variable, len(steps) + number) for number, (way, code) in enumerate(ways)]
    return play(tmp_path_factory.mktemp("home"), *steps, **broker.environment())


def both(session: Played, way: str) -> tuple[Cell, Cell]:
    """The cells of a way: with the value that was read, and with the other."""
    names = [*WAYS, *BELOW, *LOGGED]
    place = 1 + names.index(way)
    return session.cells[place], session.cells[place + len(names)]


@pytest.mark.proves("S19")
@pytest.mark.parametrize("way", [*WAYS, *BELOW])
def test_nothing_that_is_sent_holds_a_value(session: Played, control: Control, way: str) -> None:
    """Streams, results, errors, comms, payloads, prompts, descriptors: a name stands there instead."""
    known, unknown = both(session, way)
    control("a value that was not read is sent", UNKNOWN in unknown.sent)
    assert CANARY not in known.sent
    assert CANARY.encode("ascii", "backslashreplace").decode() not in known.sent
    assert SHOWN in known.sent


@pytest.mark.proves("S19")
@pytest.mark.parametrize("way", [*WAYS, *BELOW])
def test_the_rest_of_the_output_is_as_it_was(session: Played, way: str) -> None:
    """With the names put back, both cells have sent the same; a stream may come in more or fewer pieces."""
    known, unknown = both(session, way)
    kinds = [{message["type"] for message in cell.messages} for cell in (known, unknown)]
    assert kinds[0] == kinds[1]
    printed = known.printed.replace(SHOWN, UNKNOWN)
    assert _without_numbers(printed) == _without_numbers(unknown.printed)


def _without_numbers(text: str) -> str:
    return "".join(letter for letter in text if not letter.isdigit())


@pytest.mark.proves("S20")
@pytest.mark.parametrize("way", [*BELOW, *LOGGED])
def test_the_kernels_own_output_holds_no_value(session: Played, control: Control, way: str) -> None:
    """What ipykernel copies to the server's log, and what programs write there, has names instead."""
    number = 1 + [*WAYS, *BELOW, *LOGGED].index(way)
    more = len([*WAYS, *BELOW, *LOGGED])
    (line,) = [line for line in session.log.splitlines() if line.endswith(f"ENDED {number}")]
    (other,) = [line for line in session.log.splitlines() if line.endswith(f"ENDED {number + more}")]
    control("a value that was not read is logged", UNKNOWN in other)
    assert SHOWN in line
    assert CANARY not in session.log


SPELLED = {
    "json": ("json.dumps({'a': odd})", json.dumps(ODD)[1:-1]),
    "json in utf-8": (
        "json.dumps({'a': odd}, ensure_ascii=False)",
        json.dumps(ODD, ensure_ascii=False)[1:-1],
    ),
    "repr": ("repr([odd])", repr(ODD)[1:-1]),
    "repr of bytes": ("repr(odd.encode())", repr(ODD.encode())[2:-1]),
    "html": ("html.escape(odd)", html.escape(ODD)),
    "html without quotes": ("html.escape(odd, quote=False)", html.escape(ODD, quote=False)),
    "url": ("urllib.parse.quote(odd, safe='')", urllib.parse.quote(ODD, safe="")),
    "path": ("urllib.parse.quote(odd)", urllib.parse.quote(ODD)),
    "form": ("urllib.parse.urlencode({'a': odd})", urllib.parse.quote_plus(ODD)),
    "lower url": ("re.sub('%..', lambda found: found[0].lower(), urllib.parse.quote(odd))", "%c3%a9"),
    "base64": ("base64.b64encode(odd.encode()).decode()", base64.b64encode(ODD.encode()).decode()),
    "base64 for urls": (
        "base64.urlsafe_b64encode(odd.encode()).decode().rstrip('=')",
        base64.urlsafe_b64encode(ODD.encode()).decode().rstrip("="),
    ),
    "hex": ("odd.encode().hex()", ODD.encode().hex()),
    "upper hex": ("odd.encode().hex().upper()", ODD.encode().hex().upper()),
    "lines of a key": ("key.splitlines()[2]", KEY.splitlines()[2]),
    "key with other line ends": ("key.replace('\\n', '\\r\\n')", KEY.splitlines()[1]),
    **{
        f"basic authorization {user}": (
            f"base64.b64encode(f'{user}:{{odd}}'.encode()).decode()",
            base64.b64encode(f"{user}:{ODD}".encode()).decode()[8:-4],
        )
        for user in ("a", "ab", "abc")
    },
}


@pytest.fixture(scope="module")
def spelled(broker: SelfApi, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Every spelling, printed; then the same before anything was read, in another kernel."""
    cells = [f"print('<<', {code}, '>>')" for code, _ in SPELLED.values()]
    return play(tmp_path_factory.mktemp("home"), START, *cells, **broker.environment())


@pytest.mark.proves("S19")
@pytest.mark.parametrize("name", SPELLED)
def test_a_value_is_found_as_programs_write_it(spelled: Played, name: str) -> None:
    """JSON, repr, HTML, URL, base64 (also inside something longer), hex, and a key's lines."""
    cell = spelled.cells[1 + list(SPELLED).index(name)]
    assert "[secret db/" in cell.printed
    assert SPELLED[name][1] not in cell.printed


def test_output_in_large_amounts_is_searched_across_all_its_pieces(broker: SelfApi, tmp_path: Path) -> None:
    """A program writes 1.4 MB, cut anywhere on its way: not a half of a value is sent or logged."""
    program = "import sys; sys.stdout.write(('.' * 3 + sys.argv[1] + '\\n') * 60000)"
    code = f"subprocess.run([sys.executable, '-c', {program!r}, known]); os.write(1, b'ENDED 1\\n')"
    step = {"code": code, "until": "ENDED 1", "logged": "ENDED 1"}
    played = play(tmp_path, START, step, **broker.environment())
    for text in (played.cells[1].printed, played.log):
        assert text.count(f"...{SHOWN}") == 60000
        assert CANARY[:4] not in text
        assert CANARY[-6:] not in text


LATE = "read-elsewhere-55"
LIMITS: dict[str, tuple[str, Callable[[Cell], str]]] = {
    "two prints": ("print(known[:9], end='', flush=True)\nprint(known[9:])", lambda cell: cell.printed),
    "letters with spaces": ("print(' '.join(known))", lambda cell: cell.printed[::2]),
    "backwards": ("print(known[::-1])", lambda cell: cell.printed.strip()[::-1]),
    "encoded twice": (
        "print(base64.b64encode(base64.b64encode(known.encode())).decode())",
        lambda cell: base64.b64decode(base64.b64decode(cell.printed)).decode(),
    ),
    "a part": ("print(known[1:])", lambda cell: CANARY[0] + cell.printed),
    "binary buffers": (
        "comm.create_comm(target_name='t').send({}, buffers=[known.encode()])",
        lambda cell: bytes.fromhex(
            next(each for each in cell.messages if "buffers" in each)["buffers"][0]
        ).decode(),
    ),
    "a process that read it by itself": (
        'program = \'import jupyter_sandbox as j; print(j.secrets("db/late")["password"].reveal())\'\n'
        "print(subprocess.run([sys.executable, '-c', program], capture_output=True, text=True).stdout)",
        lambda cell: cell.printed.replace(LATE, CANARY),
    ),
}


@pytest.fixture(scope="module")
def limits(broker: SelfApi, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Every limit in one kernel."""
    give(broker, "db/late", environment={}, fields={"password": LATE})
    cells = [code for code, _ in LIMITS.values()]
    return play(tmp_path_factory.mktemp("home"), START, *cells, **broker.environment())


@pytest.mark.proves("S19")
@pytest.mark.parametrize("limit", LIMITS)
def test_known_limit(limits: Played, limit: str) -> None:
    """What docs/explanation/redaction.md says is not found, is not: whoever wants to can print a value."""
    cell = limits.cells[1 + list(LIMITS).index(limit)]
    assert LIMITS[limit][1](cell).strip() == CANARY
