"""Is isolation proved on this host? `jupyter-sandbox-admin canary`"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from ..settings import load_site
from .exits import ExitStatus

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `canary`."""
    canary = commands.add_parser(
        "canary",
        help="say whether a probe sandbox has proved that sandboxes are closed",
        description="A probe sandbox tries what must fail and what must work: before the first server of a"
        " boot, and again when runtime, kernel, package or site changed. Without proof no server starts."
        " Status 10 where there is none.",
    )
    canary.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    canary.add_argument("--again", action="store_true", help="run the probe now")
    canary.add_argument("--json", action="store_true", help="print {proved, why, at, running}")
    canary.set_defaults(action=_canary)


def _canary(arguments: argparse.Namespace) -> int:
    found = asyncio.run(_ask(arguments))
    if arguments.json:
        print(json.dumps(found, indent=1))
    elif found["proved"]:
        print(f"Sandboxes are closed here: proved at {found['at']}.")
    else:
        print(f"Not proved, so no server starts. {found['why']}")
        for item in found["running"]:
            print(f"  runs since before: {item['user']}/{item['server']}  {item['id']}")
        if found["running"]:
            print("Stop one with: jupyter-sandbox-admin stop USER[/SERVER] --why REASON")
    return ExitStatus.OK if found["proved"] else ExitStatus.NOT_PROVED


async def _ask(arguments: argparse.Namespace) -> Any:
    from ..clients.launcher import LauncherClient

    async with LauncherClient(load_site(arguments.site).launcher_socket) as client:
        return await client.canary(again=arguments.again)
