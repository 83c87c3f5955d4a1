"""What ails the running site? `jupyter-sandbox-admin health`; doctor looks at the machine instead."""

from __future__ import annotations

import argparse
import json

from .exits import ExitStatus
from .ps import ask, common_options

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `health`."""
    health = commands.add_parser(
        "health",
        help="say what ails the running site",
        description="Asks control how each part is: hub, launcher, gateway, broker, policy, profiles, audit,"
        " database. Status 12 where one is not well.",
    )
    common_options(health)
    health.set_defaults(action=_health)


def _health(arguments: argparse.Namespace) -> int:
    found = ask(arguments, lambda client: client.health())
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK if found["ok"] else ExitStatus.NOT_WELL
    width = max(len(part["name"]) for part in found["parts"])
    for part in found["parts"]:
        word = "ok" if part["fine"] else "BAD" if part["needed"] else "WEAK"
        print(f"{word:<4} {part['name']:<{width}} {part['seen']}")
        if part["remedy"] and not part["fine"]:
            print(f"{'':<4} {'':<{width}} -> {part['remedy']}")
    names = {"open": "sandboxes", "waiting_requests": "hosts asked for", "queue": "waiting for a GPU"}
    counts = found["counts"].items()
    print(", ".join(f"{'?' if count is None else count} {names[name]}" for name, count in counts) + ".")
    return ExitStatus.OK if found["ok"] else ExitStatus.NOT_WELL
