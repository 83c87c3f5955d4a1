"""Who has the GPUs and who waits for one? `jupyter-sandbox-admin gpu [cancel TICKET]`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .exits import ExitStatus
from .ps import ask, common_options

__all__ = ["add_commands"]

_DEVICES = ("device", "kind", "state", "user", "server", "since", "until")
_QUEUE = ("ticket", "place", "user", "server", "wants", "about", "kept until")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `gpu` and what is below it."""
    gpu = commands.add_parser(
        "gpu",
        help="show who has which GPU and who waits",
        description="Shows each GPU with its owner, since and until when, the queue with places and times,"
        " and what the launcher could not use and why. Looking begins nobody's turn.",
    )
    common_options(gpu)
    gpu.set_defaults(action=_board)
    verbs = gpu.add_subparsers(title="commands", metavar="COMMAND")
    cancel = verbs.add_parser(
        "cancel",
        help="take a ticket out of the queue",
        description="Takes a ticket out of the queue, and what is reserved for it; the audit has who did.",
    )
    cancel.add_argument("ticket", metavar="TICKET", help="the number that `gpu` shows")
    common_options(cancel)
    cancel.set_defaults(action=_cancel)


def _board(arguments: argparse.Namespace) -> int:
    found = ask(arguments, lambda client: client.gpu())
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    if found["devices"]:
        _table(_DEVICES, [_device(item) for item in found["devices"]])
    else:
        print("There is no GPU to give.")
    if found["queue"]:
        print()
        _table(_QUEUE, [_waiting(item) for item in found["queue"]])
    for note in found["notes"]:
        print(f"note: {note}")
    return ExitStatus.OK


def _cancel(arguments: argparse.Namespace) -> int:
    ask(arguments, lambda client: client.cancel(arguments.ticket))
    document = {"ticket": arguments.ticket, "cancelled": True}
    print(json.dumps(document) if arguments.json else f"Ticket {arguments.ticket} is out of the queue.")
    return ExitStatus.OK


def _device(item: dict[str, Any]) -> tuple[str, ...]:
    names = ("id", "kind", "state", "user", "server", "since", "until")
    return tuple(str(item.get(name) or "-") for name in names)


def _waiting(item: dict[str, Any]) -> tuple[str, ...]:
    place = f"reserved until {item['reserved_until']}" if item["position"] == 0 else str(item["position"])
    wants = f"{item['count']} {item['kind']}"
    times = (item["eta"] or "unknown", item["kept_until"])
    return (item["ticket"], place, item["user"], item["server"] or "-", wants, *times)


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in [heading, *rows]) for column in range(len(heading))]
    for row in [heading, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
