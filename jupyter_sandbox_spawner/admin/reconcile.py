"""What disagrees or is left over, and what becomes of it? `jupyter-sandbox-admin reconcile`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..units import format_duration
from .exits import ExitStatus
from .ps import ask, common_options

__all__ = ["add_command"]

_COLUMNS = ("kind", "what", "whose", "why", "what will be done", "when")
_DEEDS = {"remove": "goes", "quarantine": "is moved aside for a day", "report": "is yours to decide"}
_VERBS = {
    "adopt": "is recorded again",
    "confirm": "its record is corrected",
    "reopen": "its doors are opened",
    "quarantine": "its doors are closed",
    "remove": "is stopped and removed",
    "close_doors": "its doors are closed",
    "release": "its record is closed",
    "stop_at_hub": "the hub stops it",
    "finish_stop": "its stop is asked for again",
}


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `reconcile`."""
    reconcile = commands.add_parser(
        "reconcile",
        help="compare hub, database, launcher and gateway; find what is left over",
        description="Says what differs or is left over and what becomes of it; control does it every minute."
        " Status 8: something was found, or somebody did not answer.",
    )
    common_options(reconcile)
    reconcile.add_argument(
        "--apply", action="store_true", help="look twice, and act at once on what both looks show"
    )
    reconcile.set_defaults(action=_reconcile)


def _reconcile(arguments: argparse.Namespace) -> int:
    looks = ", and again before anything is done" if arguments.apply else ""
    print(f"Asking hub, launcher, gateway and database{looks} ...", file=sys.stderr)
    found = ask(arguments, lambda client: client.reconcile(arguments.apply, users=True))
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        _show(found)
    undone = [*found["waiting"], *found["leftovers"]["waiting"], *found["leftovers"]["reported"]]
    if not found["applied"]:
        undone += [*found["due"], *found["leftovers"]["due"]]
    return ExitStatus.LEFT_OVER if undone or found["silent"] else ExitStatus.OK


def _show(found: Mapping[str, Any]) -> None:
    rows = list(_rows(found))
    if rows:
        _table([_COLUMNS, *rows])
    for name in found["silent"]:
        print(f"{name} did not answer: nothing is decided about what only the {name} knows.")
    if not rows and not found["silent"]:
        print("Everything agrees.")
    elif rows and not found["applied"]:
        print("Nothing was changed. --apply does now what may be done now; the rest waits for its time.")


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    due = "done" if found["applied"] else "now"
    for state, when in (("due", due), ("waiting", "when it lasts")):
        for item in found[state]:
            whose = _whose(item["user"], item["server"])
            yield "server", item["sandbox"] or "-", whose, item["why"], _VERBS[item["verb"]], when
    leftovers = found["leftovers"]
    for state in ("due", "waiting", "reported"):
        for item in leftovers[state]:
            when = {"due": due, "waiting": f"in {format_duration(item['seconds'])}", "reported": "-"}[state]
            what = f"{item['name'][:40]} {item['detail']}".strip() if item["detail"] else item["name"][:40]
            yield item["kind"], what, item["user"] or "-", item["why"], _DEEDS[item["deed"]], when


def _whose(user: str, server: str) -> str:
    return f"{user}/{server}" if server else user


def _table(rows: Sequence[Sequence[str]]) -> None:
    # Names come from the host: no control character of theirs reaches the terminal.
    shown = [["".join(c if c.isprintable() else "?" for c in text) for text in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(_COLUMNS))]
    for row in shown:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
