"""How does an admin store secrets and see who may read them? `jupyter-sandbox-admin secrets put | list | ...`

Law: a value comes from a prompt, a file or standard input, never from the command line, and is never printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path

from ..secret_names import check_name
from ..settings import load_site
from . import secret_credentials, secret_explain
from .exits import ExitStatus
from .secret_asking import add_command, ask_broker, print_table, wrong_input

__all__ = ["add_commands", "fields_of", "read_fields"]

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
    """Add `secrets` and its commands."""
    secrets = commands.add_parser("secrets", help="store secrets for sandboxes, and see who may read them")
    verbs = secrets.add_subparsers(title="commands", metavar="COMMAND", required=True)
    put = add_command(
        verbs, "put", "store or replace a secret", "Values are never taken from the command line."
    )
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
    listing = add_command(
        verbs, "list", "list secrets without values", "Lists names, fields, sizes and dates."
    )
    listing.add_argument("--json", action="store_true", help="print JSON for scripts")
    listing.set_defaults(action=_list)
    delete = add_command(verbs, "delete", "delete a secret", "What sandboxes have read already they keep.")
    delete.add_argument("name", metavar="NAME")
    delete.set_defaults(action=_delete)
    secret_explain.add_commands(verbs)
    secret_credentials.add_commands(verbs)


def _put(arguments: argparse.Namespace) -> int:
    from ..broker.store import check_fields

    name = check_name(arguments.name)
    fields = check_fields(read_fields(arguments))
    ask_broker(load_site(arguments.site), lambda client: client.put(name, fields))
    print(
        f"{name} is stored: {', '.join(fields)}. See who may read it: jupyter-sandbox-admin secrets explain"
    )
    return ExitStatus.OK


def read_fields(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Values by field, from prompts, a file or standard input. Raises ConfigurationError `secret.input`."""
    if arguments.field:
        if arguments.file or arguments.format == "json":
            raise wrong_input("--field asks, and --file or --format reads", "Use one of them.")
        return {field: _prompt(field) for field in dict.fromkeys(arguments.field)}
    if not arguments.file and sys.stdin.isatty():
        return {"value": _prompt("value")}
    return fields_of(_raw(arguments.file or "-"), arguments.format)


def fields_of(raw: bytes, form: str) -> Mapping[str, str]:
    """What a file holds: a text, less the line break at its end, or a JSON object of texts."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise wrong_input("it is binary", "Encode it first: base64 -w0 FILE") from None
    if form == "text":
        return {"value": text.removesuffix("\n").removesuffix("\r")}
    try:
        found = json.loads(text)
    except ValueError:
        # The parser's own words would quote the text.
        raise wrong_input("it is not JSON", 'Write {"user": "...", "password": "..."}.') from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise wrong_input("it is not an object of texts", 'Write {"user": "...", "password": "..."}.')
    return found


def _raw(file: str) -> bytes:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(_TAKEN + 1)
        else:
            with Path(file).open("rb") as stream:
                raw = stream.read(_TAKEN + 1)
    except OSError as error:
        raise wrong_input(
            f"{file} cannot be read: {error.strerror}", "Name a file that you may read."
        ) from error
    if len(raw) > _TAKEN:
        raise wrong_input("it is larger than 1 MiB", "64 KiB are kept at most; store a key, not the data.")
    return raw


def _prompt(field: str) -> str:
    try:
        return getpass(f"{field}: ")
    except EOFError:
        raise wrong_input("there is nobody to ask", "Run it in a terminal, or use --file.") from None


def _list(arguments: argparse.Namespace) -> int:
    found = ask_broker(load_site(arguments.site), lambda client: client.secrets())["items"]
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    rows = [("name", "fields", "bytes", "changed", "by")]
    for item in found:
        changed = item["changed_at"][:19].replace("T", " ") + " UTC"
        rows.append((item["name"], ",".join(item["fields"]), str(item["size"]), changed, item["changed_by"]))
    print_table(rows)
    return ExitStatus.OK


def _delete(arguments: argparse.Namespace) -> int:
    name = check_name(arguments.name)
    ask_broker(load_site(arguments.site), lambda client: client.delete(name))
    print(f"{name} is deleted. Sandboxes keep what they have read: change the value where it is used.")
    return ExitStatus.OK
