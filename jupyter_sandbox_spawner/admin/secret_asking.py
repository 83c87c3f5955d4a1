"""How do the commands about secrets look and ask alike: their options, the broker, tables, input errors?"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import ConfigurationError
from ..settings import Site

if TYPE_CHECKING:
    from ..clients.broker import BrokerAdminClient

__all__ = ["add_command", "ask_broker", "print_table", "wrong_input"]

T = TypeVar("T")


def add_command(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, description: str
) -> argparse.ArgumentParser:
    """A command with the option that all have."""
    command = verbs.add_parser(name, help=summary, description=description)
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    return command


def ask_broker(site: Site, question: Callable[[BrokerAdminClient], Awaitable[T]]) -> T:
    """The broker's answer. Raises UnreachableError, AnswerError."""
    from ..clients.broker import BrokerAdminClient

    async def ask() -> T:
        client = BrokerAdminClient(site.broker_socket("admin"))
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(ask())


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as they must be."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def wrong_input(what: str, remedy: str) -> ConfigurationError:
    """What was typed or read is refused; no value is in it."""
    return ConfigurationError(
        f"The secret is refused: {what}.", code="secret.input", field="value", remedy=remedy
    )
