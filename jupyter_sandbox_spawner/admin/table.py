"""Which sandboxes and refused hosts are there, a page at a time? `ps --search ...`, `denials`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError
from .exits import ExitStatus

__all__ = ["add_commands", "add_options", "is_asked", "query_of", "show"]

# As the admin page and `GET api/table` have them.
_OPTIONS = (
    ("search", "TEXT", "whose user, server, profile or id contains this, in any case"),
    ("status", "WORD", "open (default), ended (within seven days) or all"),
    ("profile", "SLUG", "of this profile"),
    ("group", "NAME", "whose user was in this group at the start"),
    ("sort", "WORD", "by user, server, profile, started, ends, used or gpus"),
    ("order", "WORD", "asc (default) or desc"),
    ("page", "N", "which page (1)"),
    ("size", "N", "how many a page (50, at most 500)"),
)
_DENIALS = (
    ("user", "NAME", "of this user"),
    ("host", "TEXT", "whose name contains this, in any case"),
    ("code", "CODE", "refused for this reason, such as egress.not_allowed"),
    ("page", "N", "which page (1)"),
    ("size", "N", "how many a page (50, at most 500)"),
)
_HEADS = ("user", "server", "status", "profile", "ends", "used", "gpus", "id")
_DENIAL_HEADS = ("user", "server", "host", "reason", "times", "last", "request")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what makes a table of a list."""
    for name, metavar, words in _OPTIONS:
        command.add_argument(f"--{name}", metavar=metavar, default="", help=words)


def is_asked(arguments: argparse.Namespace) -> bool:
    """Was any of them given?"""
    return any(getattr(arguments, name) for name, _, _ in _OPTIONS)


def query_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The question; --user and --ended mean what they mean without a table."""
    asked = {name: str(getattr(arguments, name)) for name, _, _ in _OPTIONS}
    if arguments.user and asked["search"]:
        raise ConfigurationError(
            "--user: does not go with --search.", field="user", remedy="Give one of them."
        )
    asked["search"] = asked["search"] or (arguments.user or "")
    if arguments.ended:
        asked["status"] = asked["status"] or "all"
    return asked


def show(found: dict[str, Any], as_json: bool) -> int:
    """Print a page of sandboxes."""
    if as_json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    rows = [
        (
            *(str(item[name]) for name in ("user", "server", "status", "profile")),
            item["ends_at"] or item["released_at"] or "-",
            item["used_at"] or "-",
            str(len(item["gpus"])),
            item["id"],
        )
        for item in found["items"]
    ]
    _print(_HEADS, rows, found)
    return ExitStatus.OK


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `denials`."""
    denials = commands.add_parser(
        "denials",
        help="list the hosts that sandboxes were refused",
        description="The latest first: whose sandbox asked for which host how often, and why it was refused.",
    )
    for name, metavar, words in _DENIALS:
        denials.add_argument(f"--{name}", metavar=metavar, default="", help=words)
    denials.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    denials.add_argument("--json", action="store_true", help="print control's JSON answer")
    denials.set_defaults(action=_denials)


def _denials(arguments: argparse.Namespace) -> int:
    from .ps import ask

    query = {name: str(getattr(arguments, name)) for name, _, _ in _DENIALS}
    found = ask(arguments, lambda client: client.denials(query))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    rows = [
        (
            item["user"],
            item["server"],
            f"{item['host']}:{item['port']}",
            item["code"],
            str(item["count"]),
            item["last_at"],
            f"{item['request']['id']} {item['request']['status']}" if item["request"] else "-",
        )
        for item in found["items"]
    ]
    _print(_DENIAL_HEADS, rows, found)
    return ExitStatus.OK


def _print(heads: Sequence[str], rows: Sequence[Sequence[str]], found: dict[str, Any]) -> None:
    lines = [heads, *rows]
    widths = [max(len(_plain(line[column])) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = (_plain(cell).ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(f"page {found['page']} of {found['pages']}, {found['total']} in all")


def _plain(text: str) -> str:
    """A host was chosen by what ran inside: no terminal obeys it, and it fills no screen."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return shown if len(shown) <= 80 else f"{shown[:79]}\N{HORIZONTAL ELLIPSIS}"
