"""Does `jupyter sandbox` say in every case what it should, with a status that scripts can use?"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main, parser
from tests.lanes import CHECKOUT
from tests.repo.test_documentation import commands
from tests.singleuser.selfapi import EGRESS, REQUEST, SELF, SelfApi

GOLDEN = Path(__file__).parent / "golden/help.txt"
PAGE = CHECKOUT / "docs/reference/commands.md"
COMMANDS = (["status"], ["ttl"], ["egress"], ["mlflow"], ["doctor"])


def helps(top: argparse.ArgumentParser) -> list[str]:
    """The help of a command and of all commands below it."""
    found = [top.format_help()]
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [text for below in action.choices.values() for text in helps(below)]
    return found


def test_the_help_is_the_committed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every help text is read by a reviewer whenever it changes (tests/singleuser/golden/help.txt)."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\n".join(helps(parser())) == GOLDEN.read_text()


def test_every_command_and_option_is_documented() -> None:
    """docs/reference/commands.md has each command, each option and each exit status."""
    text = PAGE.read_text()
    section = text[text.index("## `jupyter sandbox`") :]
    known = set(re.findall(r"`([^`\n]+)`", section))
    for command in set(commands(parser())):
        words, _, option = command.partition(" --")
        assert any(item.startswith(words) for item in known), command
        assert not option or f"--{option}" in section, command
    rows = set(re.findall(r"^\| `(\d)` \|", section, re.MULTILINE))
    assert rows == {str(int(status)) for status in ExitStatus}


def test_without_a_command_it_is_status(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """The most frequent question needs no word."""
    assert main([]) == main(["status"]) == ExitStatus.OK
    printed = capsys.readouterr().out
    assert printed.count("Server     ada, profile small") == 2


def test_a_terminal_is_told_what_to_type_there(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a notebook reads `%sandbox egress`, a terminal reads `jupyter sandbox egress`."""
    main(["status"])
    printed = capsys.readouterr().out
    assert "1 denied host: jupyter sandbox egress" in printed
    assert "%sandbox" not in printed


@pytest.mark.parametrize("arguments", [["--json", "ttl"], ["ttl", "--json"]])
def test_json_may_stand_before_or_after(
    api: SelfApi, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """--json gives one document with RFC 3339 times, wherever it stands."""
    assert main(arguments) == ExitStatus.OK
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "now": "2026-11-25T15:19:00Z",
        "expires_at": "2026-11-25T16:00:00Z",
        "left": 2460.0,
        "kind": "ttl",
        "span": 28800.0,
        "deadline": "2026-11-25T16:00:00Z",
        "extended": False,
        "extension": {
            "possible": True,
            "until": "2026-11-25T16:19:00Z",
            "message": "",
            "left": None,
            "cap": None,
        },
        "note": "",
        "rule": "",
        "kept_until": None,
        "warnings": [],
    }


def test_egress_as_json_is_what_control_says(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read the same fields by command as by HTTP."""
    assert main(["egress", "--json"]) == ExitStatus.OK
    printed = json.loads(capsys.readouterr().out)
    assert {name: printed[name] for name in ("allowed", "denied")} == {
        name: EGRESS[name] for name in ("allowed", "denied")
    }
    (request,) = printed["requests"]
    assert request == {name: REQUEST[name] for name in request}


def test_extend_passes_its_time_on(api: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """`ttl extend 30m` asks for half an hour and shows the new end."""
    granted = {"deadline": "2026-11-25T15:49:00Z", "now": "2026-11-25T15:19:00Z"}
    api.answers[f"POST {SELF}/extend"] = (200, granted)
    assert main(["ttl", "extend", "30m"]) == ExitStatus.OK
    assert [json.loads(body)["by"] for _, _, body in api.asked if body] == [1800]
    assert "Stops at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "answer", "status"),
    [
        (["ttl", "extend"], (409, {"code": "extend.at_cap", "message": "No more."}), ExitStatus.REFUSED),
        (["ttl", "extend"], (503, {"code": "control.unreachable", "message": ""}), ExitStatus.NO_ANSWER),
        (["ttl", "extend"], (502, b"<html>"), ExitStatus.NO_ANSWER),
        (["ttl", "extend", "soon"], (200, {}), ExitStatus.COMMAND),
    ],
)
def test_each_failure_has_its_status(
    api: SelfApi,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    answer: tuple[int, Any],
    status: ExitStatus,
) -> None:
    """Refusal, silence and a typing error are told apart; the sentence is on standard error."""
    api.answers[f"POST {SELF}/extend"] = answer
    assert main(arguments) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", COMMANDS)
def test_outside_a_sandbox_it_is_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """On a laptop every command says that this is no sandbox, with status 3."""
    assert main(arguments) == ExitStatus.OUTSIDE
    printed = capsys.readouterr()
    assert printed.err.startswith("This is not a sandbox")
    assert len(printed.err.splitlines()) == 1


def test_an_error_as_json_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads JSON reads the code, too."""
    assert main(["status", "--json"]) == ExitStatus.OUTSIDE
    assert json.loads(capsys.readouterr().out)["code"] == "sandbox.outside"


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error names the commands there are, with status 2."""
    with pytest.raises(SystemExit) as ended:
        main(["statsu"])
    assert ended.value.code == ExitStatus.COMMAND
    assert "status" in capsys.readouterr().err


def test_a_pipe_that_closes_early_is_no_error(api: SelfApi) -> None:
    """`jupyter sandbox status | head -0` ends without a traceback."""
    code = "import sys; from jupyter_sandbox_spawner.singleuser.commands import main; sys.exit(main([]))"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{{ {sys.executable} -c '{code}'; echo status $? >&2; }} | true"],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    assert done.stderr == "status 0\n"


def test_the_command_starts_without_anything_heavy() -> None:
    """Neither asyncio nor any package but this one is imported for a question to loopback."""
    code = (
        "import sys; import jupyter_sandbox_spawner.singleuser.commands;"
        "print(sorted({'asyncio', 'jupyterhub', 'tornado', 'traitlets', 'pydantic'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert printed.stdout == "[]\n"
