"""What is one row of the benchmark? Contestants that are measured alike, and what each measurement gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from .figures import Measure

__all__ = ["BenchmarkError", "Row", "Take"]

Take = Callable[[str], Awaitable[Mapping[str, float]]]


class BenchmarkError(Exception):
    """A row cannot be measured; the message says why and what helps."""


@dataclass(frozen=True)
class Row:
    """`contestants`: ours, its peer, then references; `open` gives what measures one of them once: the value
    of each measure by its name. `rounds`: at most so many, and none to warm up, where
    one takes minutes."""

    name: str
    about: str
    contestants: tuple[str, ...]
    measures: tuple[Measure, ...]
    open: Callable[[], AbstractAsyncContextManager[Take]]
    rounds: int | None = None
