"""How does an admin give a server more time? `jupyter-sandbox-admin extend ID|USER[/SERVER] --by 2h`."""

from __future__ import annotations

import argparse
import json
import secrets
from typing import TYPE_CHECKING, Any

from ..errors import UnreachableError
from ..names import is_sandbox_id
from ..units import parse_duration
from .exits import ExitStatus
from .ps import ask, common_options

if TYPE_CHECKING:
    from ..clients.control import ControlAdminClient

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `extend`."""
    extend = commands.add_parser(
        "extend",
        help="let a server run longer",
        description="Moves the end of a running server, counted from now. The profile's caps do not bind an"
        " admin; the site's policy does, and the end of a right to data. Its user reads it and the reason.",
    )
    common_options(extend)
    extend.add_argument(
        "server", metavar="ID|USER[/SERVER]", help="alice, alice/gpu for a named server, or a sandbox's id"
    )
    extend.add_argument("--by", required=True, metavar="TIME", help='from now, as "45m", "2h" or "1d"')
    extend.add_argument("--why", default="", metavar="REASON", help="a sentence for the user")
    extend.set_defaults(action=_extend)


def _extend(arguments: argparse.Namespace) -> int:
    seconds, key = parse_duration(arguments.by, "--by"), secrets.token_hex(16)

    async def extend(client: ControlAdminClient) -> Any:
        sandbox = arguments.server
        if not is_sandbox_id(sandbox):
            user, _, server = sandbox.partition("/")
            sandbox = (await client.why(user, server))["id"]
        try:
            return await client.extend(sandbox, seconds, arguments.why, key)
        except UnreachableError:  # the answer may be what was lost; the key makes it one wish
            return await client.extend(sandbox, seconds, arguments.why, key)

    found = ask(arguments, extend)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"{arguments.server} ends at {found['deadline']}.")
    return ExitStatus.OK
