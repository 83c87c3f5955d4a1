"""How does an answer look in a terminal, a notebook and a script? As text, HTML and JSON of one value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from ..units import format_duration

__all__ = ["Shown", "Table", "clock", "when"]

_STYLE = 'style="text-align:left"'


@dataclass(frozen=True)
class Table:
    """Rows of texts below an optional header; the first column names the row where there is none."""

    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()

    def text(self) -> str:
        """Columns padded with two spaces between them."""
        lines = [self.header, *self.rows] if self.header else list(self.rows)
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def html(self) -> str:
        """A table with real header cells, escaped."""
        head = "".join(f'<th scope="col" {_STYLE}>{escape(cell)}</th>' for cell in self.header)
        body = "".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows)
        return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"

    def _cells(self, row: Sequence[str]) -> str:
        first = f'<th scope="row" {_STYLE}>{escape(row[0])}</th>'
        return first + "".join(f"<td {_STYLE}>{escape(cell)}</td>" for cell in row[1:])


class Shown:
    """Base of the answers, which are dataclasses: each says its `blocks`, sentences and tables."""

    def blocks(self) -> Iterator[str | Table]:
        """What is shown, from top to bottom."""
        raise NotImplementedError

    def as_document(self) -> dict[str, Any]:
        """JSON: the fields by their names, times as RFC 3339."""
        document: dict[str, Any] = _plain(self)
        return document

    def __repr__(self) -> str:
        return "\n".join(block.text() if isinstance(block, Table) else block for block in self.blocks())

    def _repr_html_(self) -> str:
        return "".join(
            block.html() if isinstance(block, Table) else f"<p>{escape(block)}</p>" for block in self.blocks()
        )


def clock(instant: datetime, now: datetime) -> str:
    """`16:42 UTC`, with the day where it is another one; in the time zone of this process, which is named."""
    here, today = instant.astimezone(), now.astimezone()
    return here.strftime("%H:%M %Z" if here.date() == today.date() else "%a %d %b %H:%M %Z")


def when(instant: datetime, now: datetime) -> str:
    """`at 16:42 UTC, in 41 min`, or `at 16:42 UTC, 41 min ago`."""
    seconds = (instant - now).total_seconds()
    how_long = f"in {format_duration(seconds)}" if seconds >= 0 else f"{format_duration(-seconds)} ago"
    return f"at {clock(instant, now)}, {how_long}"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
