"""Who decides, and what would policy say? `jupyter-sandbox-admin policy status`, `test` and others."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any, TypeAlias

from ..rules.policy import POINTS
from ..settings import load_site
from .exits import ExitStatus

__all__ = ["add_commands"]

# argparse has no public name for it, and gives it a type to mypy only.
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: _Verbs) -> None:
    """Add `policy` and its commands."""
    policy = commands.add_parser("policy", help="see what policy decides, and try one before it does")
    verbs: _Verbs = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = _command(
        verbs, "status", "say who decides and what ails it", "Asks control; needs its admin socket."
    )
    _add_site(status)
    status.set_defaults(action=_status)
    _add_test(verbs)
    _add_explain(verbs)
    _add_replay(verbs)
    data = _command(
        verbs, "data", "print the policy's settings for OPA", "Prints the document that OPA loads."
    )
    data.add_argument("file", metavar="FILE", help="profiles.yaml")
    data.set_defaults(action=_data)


def _add_test(verbs: _Verbs) -> None:
    test = _command(
        verbs,
        "test",
        "ask every question of a file; status 11 where one is answered otherwise",
        "Asks the questions of a plan. Where a question has no expect, it must be allowed.",
    )
    test.add_argument("--plan", metavar="FILE", action="append", required=True, help="questions; repeatable")
    _add_policy(test)
    test.set_defaults(action=_test)


def _add_explain(verbs: _Verbs) -> None:
    explain = _command(verbs, "explain", "say what policy decides about one question", "Asks one question.")
    explain.add_argument("--point", required=True, choices=POINTS, help="what is to be decided")
    explain.add_argument("--user", required=True, help="for whom")
    explain.add_argument("--group", action="append", default=[], help="a group of theirs; repeatable")
    explain.add_argument("--profile", default="", help="slug of the profile")
    explain.add_argument("--resource", default="", help="dataset id@version, secret, host:port or model")
    explain.add_argument("--requested", type=int, metavar="N", help="GPUs, or seconds at extension")
    explain.add_argument("--tag", action="append", default=[], help="a tag of the dataset; repeatable")
    explain.add_argument("--approved", action="store_true", help="an approval is on record")
    _add_policy(explain)
    explain.set_defaults(action=_explain)


def _add_replay(verbs: _Verbs) -> None:
    replay = _command(
        verbs,
        "replay",
        "say what another policy would have decided",
        "Asks the questions of the audit again; control may be running. Prints those answered otherwise.",
    )
    _add_site(replay)
    replay.add_argument("--since", default="30d", metavar="TIME", help="how far back, such as 12h (30d)")
    replay.add_argument("--directory", metavar="DIR", help="the audit's directory, instead of the site's")
    _add_policy(replay)
    replay.set_defaults(action=_replay)


def _command(verbs: _Verbs, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    command = verbs.add_parser(name, help=summary, description=description)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    return command


def _add_site(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )


def _add_policy(command: argparse.ArgumentParser) -> None:
    command.add_argument("--file", metavar="FILE", help="profiles.yaml with the policy to ask")
    command.add_argument("--opa", metavar="ADDRESS", help="ask this OPA too, such as http://127.0.0.1:8181")


# The actions import what they need: a look at --help must not wait for aiohttp.


def _test(arguments: argparse.Namespace) -> int:
    from .policy_trials import test

    return test(arguments)


def _explain(arguments: argparse.Namespace) -> int:
    from .policy_trials import explain

    return explain(arguments)


def _replay(arguments: argparse.Namespace) -> int:
    from .policy_replay import replay

    return replay(arguments)


def _data(arguments: argparse.Namespace) -> int:
    from ..rules.policy_settings import settings_digest, settings_document
    from .policy_trials import settings_of

    settings = settings_of(arguments.file)
    document = {**settings_document(settings), "digest": settings_digest(settings)}
    print(json.dumps({"jupyter_sandbox_settings": document}, indent=1))
    return ExitStatus.OK


def _status(arguments: argparse.Namespace) -> int:
    from ..clients.control import ControlAdminClient, control_socket

    async def ask() -> Any:
        client = ControlAdminClient(control_socket(load_site(arguments.site), "admin"))
        try:
            return await client.policy()
        finally:
            await client.close()

    found = asyncio.run(ask())
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    print(f"{'engine':<8} {found['engine']}")
    print(f"{'rules':<8} {'the file cannot be read: all is denied' if found['closed'] else found['digest']}")
    opa = found["opa"]
    if opa is not None:
        since = opa["failing_since"]
        state = f"FAILING since {since}: {opa['cause']}" if since else opa["digest"] or "not asked yet"
        print(f"{'opa':<8} {opa['address']} {opa['decision']}\n{'':<8} {state}")
    return ExitStatus.OK
