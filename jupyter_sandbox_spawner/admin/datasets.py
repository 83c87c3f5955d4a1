"""What are datasets tagged, and who may mount them? `jupyter-sandbox-admin datasets list | approve | ...`

Law: lowering a tag and approving access count once two different people have given the same command.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, RefusedError
from ..settings import load_site
from .exits import ExitStatus

__all__ = ["add_commands"]

_TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable
_PEOPLE = """\
two people:
  Lowering and approving take two people; who you are is said by your token of the hub (--token-file, or
  JUPYTERHUB_API_TOKEN; scope custom:sandbox:admin). An account of this host is nobody of the two. The
  second has to give the same command within seven days.
"""
_Parser = argparse.ArgumentParser


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `datasets` and its commands."""
    datasets = commands.add_parser("datasets", help="tags, approvals and manifests of datasets")
    verbs = datasets.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _command(verbs, "list", "list datasets with their tags", _list)
    _named(verbs, "show", "one dataset: versions, approvals, what waits for a second person", _show)
    verify = _named(verbs, "verify", "read a dataset's files and compare them with its manifest", _verify)
    verify.add_argument("--file", metavar="FILE", help="the file with the catalogue; default: the site's")
    for verb, says in (
        ("raise", "tag a dataset as more guarded, at once"),
        ("lower", "tag it as less guarded; takes two people, after the file was changed"),
    ):
        change = _named(verbs, verb, says, _change)
        change.add_argument("--to", required=True, metavar="TAG", help="public, internal, pii, phi or secret")
        change.add_argument("--why", required=True, metavar="REASON", help="a sentence for the audit")
        change.set_defaults(verb=verb)
    approve = _named(verbs, "approve", "let a user or a group mount it; takes two people", _approve)
    _whom(approve)
    approve.add_argument("--until", required=True, metavar="DAY", help="the last day (UTC), as 2027-01-31")
    approve.add_argument("--why", required=True, metavar="REASON", help="a sentence for the audit")
    _whom(_named(verbs, "revoke", "end every approval of a user or a group, at once", _revoke))


def _command(
    verbs: argparse._SubParsersAction[_Parser],
    name: str,
    says: str,
    action: Callable[[argparse.Namespace], int],
) -> _Parser:
    command = verbs.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=_PEOPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    command.add_argument("--token-file", metavar="FILE", help="a file with your token of the hub")
    command.add_argument("--url", metavar="URL", default="", help="of the service, as HUB/services/sandbox")
    command.add_argument("--json", action="store_true", help="print control's JSON answer")
    command.set_defaults(action=action)
    return command


def _named(
    verbs: argparse._SubParsersAction[_Parser],
    name: str,
    says: str,
    action: Callable[[argparse.Namespace], int],
) -> _Parser:
    command = _command(verbs, name, says, action)
    command.add_argument("dataset", metavar="ID", help="as the catalogue has it, without a version")
    return command


def _whom(command: _Parser) -> None:
    whom = command.add_mutually_exclusive_group(required=True)
    whom.add_argument("--user", metavar="NAME", default="")
    whom.add_argument("--group", metavar="NAME", default="")


def _ask(arguments: argparse.Namespace, verb: str = "", dataset: str = "", body: Any = None) -> Any:
    from ..clients.datasets import DatasetsClient

    async def ask() -> Any:
        client = DatasetsClient(load_site(arguments.site), _token_of(arguments), arguments.url)
        try:
            return await client.ask(verb, dataset, body)
        finally:
            await client.close()

    return asyncio.run(ask())


def _token_of(arguments: argparse.Namespace) -> str:
    if arguments.token_file is None:
        return os.environ.get(_TOKEN, "")
    try:
        return Path(arguments.token_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{arguments.token_file} cannot be read: {error}.",
            field="token_file",
            remedy="Write a token of the hub's page Token into a file that only you can read.",
        ) from error


def _list(arguments: argparse.Namespace) -> int:
    found = _ask(arguments)["items"]
    if arguments.json:
        print(json.dumps(found, indent=1))
    for item in () if arguments.json else found:
        groups = item["allowed_groups"]
        whose = "everyone" if groups is None else ", ".join(groups) or "nobody"
        print(f"{item['name']:<32} {','.join(item['tags']):<16} {whose:<20} {item['purpose']}")
    return ExitStatus.OK


def _show(arguments: argparse.Namespace) -> int:
    found = _ask(arguments, "", arguments.dataset)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    for item in found["versions"]:
        print(f"{item['name']}  {','.join(item['tags'])}  {item['uri']}  owner {item['owner']}")
    for row in found["approvals"]:
        state = f"by {row['first_by']} and {row['second_by']}" if row["second_by"] else _waits(row)
        print(f"{row['kind']} {row['name']} until {row['until']} ({row['tag']}): {state}")
    for row in found["lowerings"]:
        print(f"to {row['tag']}: {_waits(row)}")
    return ExitStatus.OK


def _waits(row: dict[str, Any]) -> str:
    return f"by {row['first_by']}; waits for a second person ({row['first_why']})"


def _verify(arguments: argparse.Namespace) -> int:
    from ..launcher.manifests import verify
    from ..rules.rulebook_file import parse_rulebook

    file = Path(arguments.file or load_site(arguments.site).profiles)
    found = [
        item for item in parse_rulebook(file.read_text(), str(file)).datasets if item.id == arguments.dataset
    ]
    if not found:
        raise RefusedError(f"{file} lists no dataset {arguments.dataset!r}.", code="dataset.unknown")
    for item in found:
        verify(item, {})
        what = (
            "is what its manifest says" if item.manifest else "has no manifest; its links and modes are right"
        )
        print(f"{item.name} {what}.")
    return ExitStatus.OK


def _change(arguments: argparse.Namespace) -> int:
    body = {"to": arguments.to, "why": arguments.why}
    found = _ask(arguments, arguments.verb, arguments.dataset, body)
    if arguments.json:
        print(json.dumps(found))
    elif arguments.verb == "raise":
        stopped = f" Stopped: {', '.join(found['stopped'])}." if found["stopped"] else ""
        print(f"{arguments.dataset} is at least {arguments.to} now.{stopped}")
    else:
        print(f"{arguments.dataset}: {_told(found, f'it is {arguments.to} now')}")
    return ExitStatus.OK


def _approve(arguments: argparse.Namespace) -> int:
    body = {
        "user": arguments.user,
        "group": arguments.group,
        "until": arguments.until,
        "why": arguments.why,
    }
    found = _ask(arguments, "approve", arguments.dataset, body)
    whom = arguments.user or arguments.group
    done = f"{whom} may mount it until {arguments.until}, while it is {found['tag']} at most"
    print(json.dumps(found) if arguments.json else f"{arguments.dataset}: {_told(found, done)}")
    return ExitStatus.OK


def _told(found: dict[str, Any], done: str) -> str:
    return f"{done}." if found["done"] else "noted; a second person has to give the same command."


def _revoke(arguments: argparse.Namespace) -> int:
    body = {"user": arguments.user, "group": arguments.group}
    found = _ask(arguments, "revoke", arguments.dataset, body)
    whom = arguments.user or arguments.group
    told = f"{found['revoked']} approvals of {whom} for {arguments.dataset} have ended."
    print(json.dumps(found) if arguments.json else told)
    return ExitStatus.OK
