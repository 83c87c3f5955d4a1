"""How does an admin store secrets and see who may read them? `jupyter-sandbox-admin secrets put | list | ...`

Law: a value comes from a prompt, a file or standard input, never from the command line, and is never printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ConfigurationError
from ..secret_names import check_name
from ..settings import Site, load_site
from .exits import ExitStatus

if TYPE_CHECKING:
    from ..clients.broker import BrokerAdminClient
    from ..rules.profiles import Profile

__all__ = ["add_commands", "fields_of", "read_fields"]

T = TypeVar("T")
_TAKEN = 1 << 20  # bytes read of a file, so that a wrong one is refused and not loaded
_LIMITS = """\
limits:
  name    parts of a-z 0-9 . _ - joined by /, at most 200 characters: db/warehouse
  fields  1 to 32, each a text that is not empty; 64 KiB in all; one value alone is the field "value"
  binary  is refused: encode it first (base64 -w0 FILE)
examples:
  jupyter-sandbox-admin secrets put db/warehouse --field user --field password     (asks for both)
  jupyter-sandbox-admin secrets put git/token < token.txt
  jupyter-sandbox-admin secrets put storage/lab --format json --file keys.json     ({"access_key_id": ...})
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `secrets put`, `list`, `delete` and `explain`."""
    secrets = commands.add_parser("secrets", help="store secrets for sandboxes, and see who may read them")
    verbs = secrets.add_subparsers(title="commands", metavar="COMMAND", required=True)
    put = _command(verbs, "put", "store or replace a secret", "Values are never taken from the command line.")
    put.epilog, put.formatter_class = _LIMITS, argparse.RawDescriptionHelpFormatter
    put.add_argument("name", metavar="NAME", help="such as db/warehouse")
    put.add_argument(
        "--field", action="append", metavar="FIELD", help="ask for this field's value; may be given again"
    )
    put.add_argument("--file", metavar="FILE", help='read it from there; "-" or a pipe: standard input')
    put.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: an object of texts, one a field"
    )
    put.set_defaults(action=_put)
    listing = _command(verbs, "list", "list secrets without values", "Lists names, fields, sizes and dates.")
    listing.add_argument("--json", action="store_true", help="print JSON for scripts")
    listing.set_defaults(action=_list)
    delete = _command(verbs, "delete", "delete a secret", "What sandboxes have read already they keep.")
    delete.add_argument("name", metavar="NAME")
    delete.set_defaults(action=_delete)
    explain = _command(
        verbs,
        "explain",
        "say which profiles grant which secrets",
        "Grants stand in profiles.yaml, below secrets:.",
    )
    explain.add_argument("--user", metavar="NAME", help="show {user} in names as for this user")
    explain.add_argument("--json", action="store_true", help="print JSON for scripts")
    explain.set_defaults(action=_explain)


def _command(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    command = verbs.add_parser(name, help=summary, description=description)
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    return command


def _ask(site: Site, question: Callable[[BrokerAdminClient], Awaitable[T]]) -> T:
    from ..clients.broker import BrokerAdminClient

    async def ask() -> T:
        client = BrokerAdminClient(site.broker_socket("admin"))
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(ask())


def _put(arguments: argparse.Namespace) -> int:
    from ..broker.store import check_fields

    name = check_name(arguments.name)
    fields = check_fields(read_fields(arguments))
    _ask(load_site(arguments.site), lambda client: client.put(name, fields))
    print(
        f"{name} is stored: {', '.join(fields)}. See who may read it: jupyter-sandbox-admin secrets explain"
    )
    return ExitStatus.OK


def read_fields(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Values by field, from prompts, a file or standard input. Raises ConfigurationError `secret.input`."""
    if arguments.field:
        if arguments.file or arguments.format == "json":
            raise _wrong("--field asks, and --file or --format reads", "Use one of them.")
        return {field: _prompt(field) for field in dict.fromkeys(arguments.field)}
    if not arguments.file and sys.stdin.isatty():
        return {"value": _prompt("value")}
    return fields_of(_raw(arguments.file or "-"), arguments.format)


def fields_of(raw: bytes, form: str) -> Mapping[str, str]:
    """What a file holds: a text, less the line break at its end, or a JSON object of texts."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _wrong("it is binary", "Encode it first: base64 -w0 FILE") from None
    if form == "text":
        return {"value": text.removesuffix("\n").removesuffix("\r")}
    try:
        found = json.loads(text)
    except ValueError:
        # The parser's own words would quote the text.
        raise _wrong("it is not JSON", 'Write {"user": "...", "password": "..."}.') from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _wrong("it is not an object of texts", 'Write {"user": "...", "password": "..."}.')
    return found


def _raw(file: str) -> bytes:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(_TAKEN + 1)
        else:
            with Path(file).open("rb") as stream:
                raw = stream.read(_TAKEN + 1)
    except OSError as error:
        raise _wrong(f"{file} cannot be read: {error.strerror}", "Name a file that you may read.") from error
    if len(raw) > _TAKEN:
        raise _wrong("it is larger than 1 MiB", "64 KiB are kept at most; store a key, not the data.")
    return raw


def _prompt(field: str) -> str:
    try:
        return getpass(f"{field}: ")
    except EOFError:
        raise _wrong("there is nobody to ask", "Run it in a terminal, or use --file.") from None


def _wrong(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"The secret is refused: {what}.", code="secret.input", field="value", remedy=remedy
    )


def _list(arguments: argparse.Namespace) -> int:
    found = _ask(load_site(arguments.site), lambda client: client.secrets())["items"]
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    rows = [("name", "fields", "bytes", "changed", "by")]
    for item in found:
        changed = item["changed_at"][:19].replace("T", " ") + " UTC"
        rows.append((item["name"], ",".join(item["fields"]), str(item["size"]), changed, item["changed_by"]))
    _print(rows)
    return ExitStatus.OK


def _delete(arguments: argparse.Namespace) -> int:
    name = check_name(arguments.name)
    _ask(load_site(arguments.site), lambda client: client.delete(name))
    print(f"{name} is deleted. Sandboxes keep what they have read: change the value where it is used.")
    return ExitStatus.OK


def _explain(arguments: argparse.Namespace) -> int:
    site = load_site(arguments.site)
    stored = {item["name"] for item in _ask(site, lambda client: client.secrets())["items"]}
    rows = _grants(_profiles(site), arguments.user, stored)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return ExitStatus.OK
    columns = ("secret", "kind", "profile", "groups", "stored")
    _print([columns, *(tuple(str(row[column]) for column in columns) for row in rows)])
    unused = sorted(stored - {row["secret"] for row in rows})
    if unused:
        print(f"Stored, and granted by no profile as it stands: {', '.join(unused)}.")
    return ExitStatus.OK


def _grants(profiles: tuple[Profile, ...], user: str | None, stored: set[str]) -> list[dict[str, Any]]:
    from ..rules.grants import decide_grants

    rows = []
    for profile in profiles:
        granted = profile.secrets if user is None else decide_grants(user, (), profile.secrets).granted
        groups = (
            "everyone" if profile.allowed_groups is None else ", ".join(profile.allowed_groups) or "nobody"
        )
        for grant in granted:
            known = "?" if "{" in grant.name else "yes" if grant.name in stored else "no"
            rows.append(
                {
                    "secret": grant.name,
                    "kind": grant.kind,
                    "profile": profile.slug,
                    "groups": groups,
                    "stored": known,
                }
            )
    return sorted(rows, key=lambda row: (row["secret"], row["profile"]))


def _profiles(site: Site) -> tuple[Profile, ...]:
    from ..rules.profile_file import parse_profiles

    try:
        text = Path(site.profiles).read_text() if site.profiles else ""
    except OSError as error:
        raise _wrong(f"{site.profiles} cannot be read: {error.strerror}", "Name it in setup_hub.") from error
    if not text:
        remedy = "Look at the list that jupyterhub_config.py gives to setup_hub."
        raise ConfigurationError(
            "The profiles of this site are not in a file.", code="profiles.no_file", remedy=remedy
        )
    return parse_profiles(text, site.profiles, list(site.environments))


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
