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
        " boot, and again when runtime, kernel, package or site changed. Each runtime of the site is proved"
        " by itself, and without its proof no server starts under it. Status 10 where one has none.",
    )
    canary.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    canary.add_argument("--again", action="store_true", help="run the probe now")
    canary.add_argument("--json", action="store_true", help="print {proved, why, at, runtimes, running}")
    canary.set_defaults(action=_canary)


def _canary(arguments: argparse.Namespace) -> int:
    found = asyncio.run(_ask(arguments))
    open_ones = {name: item for name, item in found["runtimes"].items() if not item["proved"]}
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.NOT_PROVED if open_ones else ExitStatus.OK
    for name, item in found["runtimes"].items():
        if item["proved"]:
            print(f"Sandboxes under {name} are closed here: proved at {item['at']}.")
        else:
            print(f"Not proved, so no server starts under {name}. {item['why']}")
    if open_ones:
        for item in found["running"]:
            print(f"  runs since before: {item['user']}/{item['server']}  {item['id']}")
        if found["running"]:
            print("Stop one with: jupyter-sandbox-admin stop USER[/SERVER] --why REASON")
    return ExitStatus.NOT_PROVED if open_ones else ExitStatus.OK


async def _ask(arguments: argparse.Namespace) -> Any:
    from ..clients.launcher import LauncherClient

    async with LauncherClient(load_site(arguments.site).launcher_socket) as client:
        return await client.canary(again=arguments.again)
