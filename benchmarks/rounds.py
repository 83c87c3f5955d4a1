"""How is a row measured? A round to warm up, then every contestant in each round, in a changing order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .figures import Line, line_of, orders
from .row import Row
from .table import number

__all__ = ["measure"]


async def measure(row: Row, rounds: int, seed: int, say: Callable[[str], None]) -> list[Line]:
    """The lines of one row. Raises BenchmarkError, or what a program that broke raised."""
    samples: dict[str, dict[str, list[float]]] = {item.name: {} for item in row.measures}
    async with row.open() as take:
        # A row of few, long rounds starts its programs anew in each: there is nothing to warm up.
        for name in row.contestants if row.rounds is None else ():
            await take(name)
            say(f"{row.name}: warmed up {name}")
        for number_of_round, order in enumerate(orders(row.contestants, rounds, seed), 1):
            told: list[str] = []
            for name in order:
                values = await take(name)
                for item in row.measures:
                    if item.name in values:
                        samples[item.name].setdefault(name, []).append(values[item.name])
                told.append(f"{name} {_told(row, values)}")
            say(f"{row.name}: round {number_of_round} of {rounds}: {'; '.join(told)}")
    # The order of the first round is a shuffled one: ours is told from its peer by the row's own order.
    return [
        line_of(
            row.name,
            item,
            {name: samples[item.name][name] for name in row.contestants if name in samples[item.name]},
        )
        for item in row.measures
    ]


def _told(row: Row, values: Mapping[str, float]) -> str:
    return ", ".join(
        f"{number(values[item.name])} {item.unit}" for item in row.measures if item.name in values
    )
