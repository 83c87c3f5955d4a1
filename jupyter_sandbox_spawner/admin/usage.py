"""Who used how much, and what does it cost? `jupyter-sandbox-admin usage`."""

from __future__ import annotations

import argparse
import calendar
import csv
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError
from ..rules.usage import GROUPINGS
from .exits import ExitStatus
from .ps import ask

__all__ = ["add_command"]

_HOURS = ("server_hours", "cpu_hours", "memory_gb_hours", "gpu_hours")
_HEADS = ("server-hours", "CPU-hours", "GB-hours", "GPU-hours")
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_NOBODY = "(no group)"
_OTHERS = "(all others)"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `usage`."""
    command = commands.add_parser(
        "usage",
        help="say who used how much",
        description="Hours of servers, processors, memory and GPUs; what they cost where the file of profiles"
        " has prices. Days are UTC; without a time: this month. Memory counts by its limit, GPUs by"
        " what was allocated, both while the server was there; processors by what was computed."
        " By group a server counts in each group that its user had at its start; the total counts it once.",
    )
    command.add_argument("--by", choices=GROUPINGS, default="user", help="a line for each (default: user)")
    command.add_argument("--month", metavar="YYYY-MM", help="of this month")
    command.add_argument("--since", metavar="YYYY-MM-DD", help="from this day on")
    command.add_argument("--until", metavar="YYYY-MM-DD", help="up to this day and with it (default: today)")
    command.add_argument("--user", help="of this user only")
    command.add_argument(
        "--over", choices=("day",), help="also over time: the 20 that used most, the others as one"
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV, with units in its header")
    form.add_argument("--json", action="store_true", help="print control's JSON answer")
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )
    command.set_defaults(action=_usage)


def _usage(arguments: argparse.Namespace) -> int:
    since, until = _days(arguments)
    found = ask(
        arguments,
        lambda client: client.usage(arguments.by, since, until, arguments.user, arguments.over or ""),
    )
    if arguments.json:
        print(json.dumps(found, indent=1))
    elif arguments.csv:
        _print_csv(found)
    elif not found["items"]:
        of = f" by {arguments.user}" if arguments.user else ""
        print(f"Nothing was used{of} from {found['since']} to {found['until']}.")
    else:
        _print_table(found)
        _print_days(found)
    return ExitStatus.OK


def _days(arguments: argparse.Namespace) -> tuple[str, str]:
    """First and last day; "" where control decides."""
    if arguments.month is None:
        return arguments.since or "", arguments.until or ""
    match = _MONTH.fullmatch(arguments.month)
    if match is None or arguments.since or arguments.until:
        what = "is no month" if match is None else "does not go with --since and --until"
        raise ConfigurationError(
            f"--month: {arguments.month[:40]!r} {what}.", field="month", remedy="Write --month 2026-11 alone."
        )
    last = calendar.monthrange(int(match[1]), int(match[2]))[1]
    return f"{arguments.month}-01", f"{arguments.month}-{last:02}"


def _print_table(found: dict[str, Any]) -> None:
    heads = [found["by"], *_HEADS, *([found["currency"]] if found["currency"] else [])]
    rows = [heads, *(_cells(item, found) for item in found["items"])]
    total = ["total", *_cells(found["total"], found)[1:]]
    widths = [max(len(row[column]) for row in [*rows, total]) for column in range(len(heads))]
    print(f"{found['since']} to {found['until']} (UTC)")
    for row in [*rows, ["-" * width for width in widths], total]:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *numbers]))
    if found["by"] == "group" and len(found["items"]) > 1:
        print("A server counts in each group of its user; the total counts it once.")


def _print_days(found: dict[str, Any]) -> None:
    """A line a name and day on which there was anything."""
    for one in found.get("series", ()):
        print(f"\n{_OTHERS if one['name'] is None else _name(one['name'], found)}")
        for day in one["days"]:
            if any(day[hours] for hours in _HOURS):
                said = [f"{day[hours]:.2f} {head}" for hours, head in zip(_HOURS, _HEADS, strict=True)]
                said += [f"{day['cost']:.2f} {found['currency']}"] if day["cost"] is not None else []
                print(f"  {day['day']}  {', '.join(said)}")


def _cells(item: dict[str, Any], found: dict[str, Any]) -> list[str]:
    cost = [f"{item['cost']:.2f}"] if found["currency"] else []
    return [_name(item["name"], found), *(f"{item[hours]:.2f}" for hours in _HOURS), *cost]


def _name(name: str, found: dict[str, Any]) -> str:
    return name or (_NOBODY if found["by"] == "group" else "-")


def _print_csv(found: dict[str, Any]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    currency = found["currency"]
    if "series" in found:
        writer.writerow([found["by"], "day", *_HOURS, *([f"cost_{currency}"] if currency else [])])
        for one in found["series"]:
            name = _OTHERS if one["name"] is None else _harmless(_name(one["name"], found))
            for day in one["days"]:
                cost = [day["cost"]] if currency else []
                writer.writerow([name, day["day"], *(day[hours] for hours in _HOURS), *cost])
        return
    writer.writerow([found["by"], "since", "until", *_HOURS, *([f"cost_{currency}"] if currency else [])])
    for item in found["items"]:
        cost = [item["cost"]] if currency else []
        cells: Sequence[Any] = [found["since"], found["until"], *(item[hours] for hours in _HOURS), *cost]
        writer.writerow([_harmless(_name(item["name"], found)), *cells])


def _harmless(name: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" and name != "-" else name
