"""How fast is it, beside a peer measured in the same run? One table, as Markdown, JSON and a picture."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from hub_config.demo.running import DemoError
from hub_config.demo.visitor import Refusal
from jupyter_sandbox_spawner.errors import SandboxError

from . import (
    admin_page,
    cull,
    decisions,
    egress,
    front,
    kube_pods,
    kube_spawn,
    lab_start,
    load,
    policy,
    secret_read,
    secrets_crowd,
    spawn,
)
from .figures import Line
from .machine import facts
from .plot import as_svg
from .rounds import measure
from .row import BenchmarkError, Row
from .table import as_json, as_markdown

__all__ = ["main"]

_BROKEN = (
    BenchmarkError,
    DemoError,
    Refusal,
    SandboxError,
    aiohttp.ClientError,
    OSError,
    asyncio.TimeoutError,
)
_STATUS = "Exit status: 0 measured (whatever the numbers), 1 a row broke, 2 wrong argument, 130 stopped."
ROWS = {
    row.name: row
    for rows in (
        spawn,
        egress,
        load,
        front,
        secret_read,
        secrets_crowd,
        policy,
        decisions,
        lab_start,
        admin_page,
        kube_spawn,
    )
    for row in rows.ROWS
} | {row.name: row for row in (*cull.rows(), *kube_pods.rows())}


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    rows = "\n".join(f"  {row.name:19} {row.about}" for row in ROWS.values())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog=f"rows:\n{rows}\n\n{_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which rows (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=10, metavar="N", help="rounds of each row (default: 10)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the order within rounds (default: 1)"
    )
    parser.add_argument(
        "--servers",
        type=int,
        default=cull.SERVERS,
        metavar="N",
        help=f"servers of the hub in the rows cull... (default: {cull.SERVERS})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a picture (SVG) here")
    options = parser.parse_args(given)
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"ROW: there is none named {unknown[0]!r}; known are: {', '.join(ROWS)}")
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} is less than 1")
    if options.servers < cull.BLOCKS:
        parser.error(f"--servers: {options.servers} is less than {cull.BLOCKS}")
    for name in ("json", "markdown", "plot"):
        file: Path | None = getattr(options, name)
        if file is not None and not file.absolute().parent.is_dir():
            parser.error(f"--{name}: the directory of {file} does not exist")
    return options


def _say(text: str) -> None:
    # Progress goes to stderr, so that stdout is the table alone.
    print(text, file=sys.stderr, flush=True)


async def _run(rows: Sequence[Row], options: argparse.Namespace) -> tuple[list[Line], bool]:
    lines: list[Line] = []
    broken = False
    if (task := asyncio.current_task()) is not None:
        # Ends what was started, as Ctrl-C does.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    for row in rows:
        _say(f"{row.name}: {row.about} ({', '.join(row.contestants)})")
        try:
            lines += await measure(row, min(options.rounds, row.rounds or options.rounds), options.seed, _say)
        except _BROKEN as error:
            broken = True
            _say(f"{row.name}: not measured: {error or type(error).__name__}")
    return lines, broken


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print the table, write what was asked for."""
    options = _arguments(given)
    told = facts(options.rounds, options.seed)
    sized = {row.name: row for row in cull.rows(options.servers)}
    rows = [sized.get(name, ROWS[name]) for name in options.rows or ROWS]
    try:
        lines, broken = asyncio.run(_run(rows, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("Stopped before the end; what was started is ended.")
        return 130
    table = as_markdown(lines, told)
    print(table)
    if options.json:
        options.json.write_text(json.dumps(as_json(lines, told), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(table + "\n")
    if options.plot:
        options.plot.write_text(as_svg(lines, told))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
