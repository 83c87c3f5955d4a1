"""What runs, why, and how is it stopped? `jupyter-sandbox-admin ps | why | stop`."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..names import is_sandbox_id
from ..settings import load_site
from ..units import format_duration
from . import table
from .exits import ExitStatus

if TYPE_CHECKING:
    from ..clients.control import ControlAdminClient

__all__ = ["add_command", "add_commands", "ask", "common_options"]

_COLUMNS = ("user", "server", "status", "profile", "left", "id")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ps`, `why` and `stop`."""
    ps = add_command(
        commands, "ps", "list the sandboxes", "Lists open sandboxes with the time they have left."
    )
    ps.add_argument("--user", help="of this user only")
    ps.add_argument("--ended", action="store_true", help="also those that ended in the last seven days")
    table.add_options(ps)
    ps.set_defaults(action=_ps)
    why = add_command(
        commands,
        "why",
        "say why a server was stopped or still runs",
        "Answers for running and ended servers.",
    )
    why.add_argument("server", metavar="USER[/SERVER]", help="alice, or alice/gpu for a named server")
    why.set_defaults(action=_why)
    stop = add_command(
        commands, "stop", "stop a server with a reason", "The reason is shown to its user, before and after."
    )
    stop.add_argument(
        "server", metavar="ID|USER[/SERVER]", help="alice, alice/gpu for a named server, or a sandbox's id"
    )
    stop.add_argument("--why", required=True, metavar="REASON", help="a sentence for the user")
    stop.set_defaults(action=_stop)


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    """A command that asks control."""
    command = commands.add_parser(name, help=summary, description=description)
    common_options(command)
    return command


def common_options(command: argparse.ArgumentParser) -> None:
    """Add what every command has that asks control."""
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    command.add_argument("--json", action="store_true", help="print control's JSON answer")


def ask(arguments: argparse.Namespace, question: Callable[[ControlAdminClient], Awaitable[Any]]) -> Any:
    """Control's answer to one question by its admin socket."""
    from ..clients.control import ControlAdminClient, control_socket

    async def asked() -> Any:
        client = ControlAdminClient(control_socket(load_site(arguments.site), "admin"))
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(asked())


def _ps(arguments: argparse.Namespace) -> int:
    if table.is_asked(arguments):
        query = table.query_of(arguments)
        return table.show(ask(arguments, lambda client: client.table(query)), arguments.json)

    async def every_page(client: ControlAdminClient) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await client.sandboxes(arguments.user, arguments.ended, after)
            found += page["items"]
            if page["next"] is None:
                return found
            after = page["next"]

    found = ask(arguments, every_page)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    rows = [dict(zip(_COLUMNS, _COLUMNS, strict=True)), *(_row(item) for item in found)]
    widths = {name: max(len(row[name]) for row in rows) for name in _COLUMNS}
    for row in rows:
        print("  ".join(row[name].ljust(widths[name]) for name in _COLUMNS).rstrip())
    return ExitStatus.OK


def _row(item: dict[str, Any]) -> dict[str, str]:
    left = "-" if item["time_left"] is None else format_duration(item["time_left"])
    return {**{name: str(item[name]) for name in _COLUMNS if name != "left"}, "left": left}


def _why(arguments: argparse.Namespace) -> int:
    user, _, server = arguments.server.partition("/")
    found = ask(arguments, lambda client: client.why(user, server))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    print(f"{arguments.server} is {found['status']} (profile {found['profile']}, {found['id']}).")
    stop = found["stop"]
    if stop is not None:
        print(
            f"{stop['code']}: {stop['why']} Decided by {stop['actor'] or 'nobody'} at {stop['decided_at']}."
        )
    elif "lifetime" in found:
        print(f"{found['lifetime']['code']}: {found['lifetime']['why']}")
        for witness in found["lifetime"]["witnesses"]:
            if witness["at"] is not None:
                print(f"  {_witness(witness)}")
    for event in found["events"]:
        print(f"  {event['at']}  {event['kind']}  {event['detail'].get('why', '')}")
    return ExitStatus.OK


def _witness(witness: dict[str, Any]) -> str:
    value = witness["value"]
    if isinstance(value, dict):
        value = ", ".join(f"{name} {number}" for name, number in value.items())
    shown = f" ({value})" if isinstance(value, str) else ""
    return f"{witness['at']}  rank {witness['rank']}  {witness['name']}{shown}"


def _stop(arguments: argparse.Namespace) -> int:
    user, _, server = arguments.server.partition("/")

    async def stop(client: ControlAdminClient) -> Any:
        if is_sandbox_id(arguments.server):
            return await client.stop(arguments.server, arguments.why)
        found = await client.why(user, server)
        return await client.stop(found["id"], arguments.why)

    answer = ask(arguments, stop)
    done = "is stopped" if answer["stopped"] else "is being stopped"
    print(json.dumps(answer) if arguments.json else f"{arguments.server} {done}: {arguments.why}")
    return ExitStatus.OK
