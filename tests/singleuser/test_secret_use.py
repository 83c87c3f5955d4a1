"""Do secrets come into an environment and out again, for a cell, a kernel, a program and boto3?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import RefusedError, SandboxError
from jupyter_sandbox_spawner.singleuser import secret_use
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from jupyter_sandbox_spawner.singleuser.secret_values import read
from tests.singleuser.brokerapi import ABOUT, CANARY, broker_answers, give, lists
from tests.singleuser.selfapi import SelfApi
from tests.singleuser.test_magic import ipython, userenv

Control = Callable[[str, bool], None]
USE = "%%sandbox secrets use db/warehouse\n"
LEFT = "import os\nprint('left', [n for n in os.environ if n.startswith('DB_')])"


@pytest.fixture
def broker(api: SelfApi) -> SelfApi:
    """A broker with db/warehouse and its list."""
    return broker_answers(api)


@userenv
def test_the_list_is_a_table_without_values(broker: SelfApi, tmp_path: Path) -> None:
    """Names, kind, end, who granted it; what nobody has stored is said."""
    done = ipython("found = %sandbox secrets\nprint(found)", tmp_path)
    assert "db/warehouse  kv, static   never           profile small" in done.stdout, (
        done.stdout + done.stderr
    )
    assert "s3/lab        aws, static  not stored yet  profile small" in done.stdout
    assert CANARY not in done.stdout


@userenv
def test_an_empty_list_says_whom_to_ask(broker: SelfApi, tmp_path: Path) -> None:
    """A sentence with the profile's name."""
    lists(broker)
    done = ipython("found = %sandbox secrets\nprint(found)", tmp_path)
    assert "grants no secrets. Ask the hub's admin" in done.stdout


ENDINGS = {
    "success": "print('had', os.environ['DB_USER'], len(os.environ['DB_PASSWORD']))",
    "error": "print('had', os.environ['DB_USER'], len(os.environ['DB_PASSWORD']))\nraise KeyError('mine')",
    "interrupt": "print('had', os.environ['DB_USER'], len(os.environ['DB_PASSWORD']))\n"
    # A background job of a shell ignores the signal; a kernel does not.
    "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)",
    "syntax": "def (",
    "overwritten": "os.environ['DB_PASSWORD'] = 'other'\ndel os.environ['DB_USER']\nprint('had reader 18')",
}


@userenv
@pytest.mark.proves("S17")
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_environment_is_restored(broker: SelfApi, tmp_path: Path, control: Control, ending: str) -> None:
    """After success, error, Ctrl-C and a cell that cannot run, variables are gone or as they were before."""
    cell = f"{USE}import os\n{ENDINGS[ending]}"
    code = (
        "import os\nos.environ['DB_USER'] = 'mine'\n"
        f"done = get_ipython().run_cell({cell!r})\nprint('success', done.success)\n"
        "print('left', os.environ['DB_USER'], os.environ.get('DB_PASSWORD'))\n"
        f"print('history', {CANARY!r} in str(get_ipython().history_manager.input_hist_raw))"
    )
    done = ipython(code, tmp_path)
    control("the cell had it", "had reader 18" in done.stdout or ending == "syntax")
    assert "left mine None" in done.stdout, done.stdout + done.stderr
    assert f"success {ending in ('success', 'overwritten')}" in done.stdout
    assert CANARY not in done.stdout + done.stderr.replace(repr(code), "")


@userenv
@pytest.mark.proves("S17")
def test_a_cell_shows_its_value_and_its_own_error(broker: SelfApi, tmp_path: Path) -> None:
    """The last expression is shown; a failed cell shows its own traceback, then that the secrets are gone."""
    assert "Out" in ipython(f"get_ipython().run_cell({USE + '6 * 7'!r})", tmp_path).stdout
    done = ipython(f"get_ipython().run_cell({USE + '1 / 0'!r})", tmp_path)
    assert "ZeroDivisionError" in done.stdout
    assert "The cell failed. Its secrets are out of the environment again." in done.stdout


@userenv
def test_nothing_is_set_when_one_of_several_is_refused(broker: SelfApi, tmp_path: Path) -> None:
    """All are read before the first variable is set, and the cell does not run."""
    cell = "%%sandbox secrets use db/warehouse db/other\nprint('ran')"
    done = ipython(f"get_ipython().run_cell({cell!r})\n{LEFT}", tmp_path)
    assert "ran" not in done.stdout.splitlines()
    assert "left []" in done.stdout
    assert "There is no such call." in done.stdout


@userenv
@pytest.mark.parametrize(
    "line", ["%%sandbox status", "%%sandbox secrets", "%%sandbox secrets env db/warehouse", "%%sandbox"]
)
def test_only_use_begins_a_cell(broker: SelfApi, tmp_path: Path, line: str) -> None:
    """Any other command above a cell says which one may stand there; the cell does not run."""
    done = ipython(f"get_ipython().run_cell({line + chr(10) + 'print(42)'!r})\n{LEFT}", tmp_path)
    assert "%%sandbox secrets use NAME" in done.stdout
    assert "42" not in done.stdout.split("left")[0].splitlines()
    assert "left []" in done.stdout


@userenv
def test_env_sets_them_for_the_kernel_and_prints_names(broker: SelfApi, tmp_path: Path) -> None:
    """Variables stay, children inherit them, and the answer says so without a value."""
    code = "kept = %sandbox secrets env db/warehouse\nprint(kept)\n"
    code += "import os\nprint(len(os.environ['DB_PASSWORD']))"
    done = ipython(code, tmp_path)
    assert "In this kernel's environment now: DB_USER, DB_PASSWORD." in done.stdout, done.stdout + done.stderr
    assert done.stdout.endswith(f"{len(CANARY)}\n")
    assert CANARY not in done.stdout


@pytest.mark.proves("S21")
@pytest.mark.parametrize(
    "variable", ["PATH", "LD_PRELOAD", "PYTHONPATH", "https_proxy", "AWS_ENDPOINT_URL", "GIT_SSH"]
)
def test_a_reserved_variable_is_refused_with_the_reason(
    broker: SelfApi, control: Control, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a profile asked for it: nothing is set, and the sentence says why."""
    before = dict(os.environ)
    give(broker, environment={"DB_USER": "user", variable: "password"})
    with pytest.raises(RefusedError) as caught:
        secret_use.keep(["db/warehouse"])
    assert caught.value.code == "secret.variable_reserved"
    assert variable in caught.value.message
    assert dict(os.environ) == before
    give(broker)
    monkeypatch.setenv("DB_USER", "x")
    monkeypatch.setenv("DB_PASSWORD", "x")
    secret_use.keep(["db/warehouse"])
    control("an ordinary variable is set", os.environ["DB_PASSWORD"] == CANARY)


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"environment": {"a b": "password"}}, "secret.variable_invalid", "'a b', which is not a variable"),
        ({"environment": {"\u0410B": "password"}}, "secret.variable_invalid", "is not a variable's name"),
        ({"environment": {"DB": "none"}}, "secret.no_field", "It has: user, password"),
        ({"fields": {"user": "x", "password": "a\0b"}}, "secret.value_unfit", "NUL"),
        ({"fields": {"user": "x", "password": "\ud800"}}, "secret.value_unfit", "no text"),
        ({"fields": {"user": "x", "password": "s" * 140_000}}, "secret.value_unfit", "too long"),
        ({"environment": {}, "fields": {"a.b": "1", "a-b": "2"}}, "secret.variable_twice", "Two fields"),
        ({"kind": "vault", "environment": {}}, "secret.not_a_variable", "secrets vault db/second"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_nothing_is_half_set(
    broker: SelfApi, control: Control, more: dict[str, Any], code: str, words: str, place: int
) -> None:
    """Of two secrets neither is set where one cannot be, whichever is first; each mistake has its words."""
    give(broker, "db/second", **{"environment": {"SECOND": "password"}, **more})
    before, names = dict(os.environ), ["db/warehouse"]
    names.insert(place, "db/second")
    for act in (secret_use.keep, secret_use.variables):
        with pytest.raises(SandboxError) as caught:
            act(names)
        assert (caught.value.code, words in str(caught.value)) == (code, True)
        assert CANARY not in str(caught.value)
    assert dict(os.environ) == before
    control(
        "the good one alone is read", set(secret_use.variables(["db/warehouse"])) == set(ABOUT["environment"])
    )


def test_a_secret_whose_own_name_would_be_a_reserved_variable(broker: SelfApi) -> None:
    """A lone value called `path` or `ld/preload` is refused with the reason, and can still be read."""
    for name, variable in (("path", "PATH"), ("ld/preload", "LD_PRELOAD"), ("2024/db", "2024_DB")):
        give(broker, name, environment={}, fields={"value": CANARY})
        with pytest.raises(RefusedError, match=variable):
            secret_use.keep([name])
        assert read(name)["value"].reveal() == CANARY


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_variables_are_put_back_without_ipython(broker: SelfApi, error: type[BaseException]) -> None:
    """Whatever ends the block, a variable that was absent is absent again."""
    values = secret_use.variables(["db/warehouse"])
    with suppress(error), secret_use.used(values):
        assert os.environ["DB_PASSWORD"] == CANARY
        raise error
    assert not {"DB_USER", "DB_PASSWORD"} & os.environ.keys()


def test_two_secrets_for_one_variable_are_refused(broker: SelfApi) -> None:
    """Neither wins silently."""
    give(broker, "db/other")
    with pytest.raises(RefusedError, match="Two of these secrets set DB_USER"):
        secret_use.variables(["db/warehouse", "db/other"])


def command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`jupyter sandbox ...` as a process whose standard output is a pipe."""
    code = "import sys\nfrom jupyter_sandbox_spawner.singleuser.commands import main\nsys.exit(main())"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_program_gets_them_and_its_caller_does_not(broker: SelfApi) -> None:
    """`secrets use NAME -- PROGRAM` is for that program, whose status and words are the command's."""
    program = (
        "import os, sys\n"
        "print(os.environ['DB_USER'], len(os.environ['DB_PASSWORD']), sys.argv[1:])\nsys.exit(7)"
    )
    done = command("secrets", "use", "db/warehouse", "--", sys.executable, "-c", program, "--json", "--")
    assert (done.returncode, done.stdout) == (7, f"reader {len(CANARY)} ['--json', '--']\n"), done.stderr
    assert "DB_PASSWORD" not in os.environ


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["secrets", "use", "db/warehouse"], ExitStatus.COMMAND, "-- PROGRAM"),
        (["secrets", "use", "db/warehouse", "--", "/no/such"], ExitStatus.COMMAND, "cannot be run"),
        (
            ["secrets", "env", "db/warehouse"],
            ExitStatus.COMMAND,
            "jupyter sandbox secrets use db/warehouse -- PROGRAM",
        ),
        (["secrets", "use", "db/none", "--", "true"], ExitStatus.REFUSED, "There is no such call."),
    ],
)
def test_a_command_that_cannot_be_done_says_what_can(
    broker: SelfApi, capsys: pytest.CaptureFixture[str], words: list[str], status: ExitStatus, says: str
) -> None:
    """A sentence with the way out, and a status for scripts; no value."""
    assert main(words) == status
    printed = capsys.readouterr()
    assert says in printed.err
    assert CANARY not in printed.out + printed.err


def test_the_list_as_json_has_no_value(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read names, kinds and ends."""
    assert main(["secrets", "--json"]) == ExitStatus.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["profile"], document["items"][0]["name"]) == ("small", "db/warehouse")
    assert CANARY not in json.dumps(document)
