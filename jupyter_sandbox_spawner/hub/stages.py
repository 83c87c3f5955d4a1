"""How far is a start, and where did its time go? Stages with timings, as many watchers as there are pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["STAGES", "Stage", "StageLine", "Stages"]

STAGES = {
    "profile": "Checking the profile",
    "place": "Preparing your home",
    "admission": "Asking for admission",
    "doors": "Opening the doors",
    "create": "Building the sandbox",
    "start": "Starting the sandbox",
    "server": "Starting the notebook server",
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that is over and how long it took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StageLine:
    """A stage as a page shows it; `seconds` is None until it is over."""

    name: str
    text: str
    state: Literal["done", "now", "ahead", "failed"]
    seconds: float | None = None


class Stages:
    """The stages of one start: `stage` around each, `close` at the end, whatever the end is.

    Each event has `progress` and `message` for any page of a hub, and what ours is drawn from: `stage`,
    `number` and `of` of the stage that goes on, and `done`, the stages that are over with their `seconds`.
    """

    def __init__(self) -> None:
        self.done: list[Stage] = []
        self.closed = False
        self._began: float | None = None
        self._percent = 0
        self._now = ""
        self._failed = ""
        self._events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside and tell the watchers."""
        began = time.monotonic()
        self._began = began if self._began is None else self._began
        self._now = name
        place = list(STAGES).index(name)
        self._percent = 5 + 85 * place // len(STAGES)
        self._tell({"progress": self._percent, "message": f"{STAGES[name]}{self._before()}"})
        try:
            yield
        except BaseException:
            self._failed = name
            raise
        finally:
            self._now = ""
            self.done.append(Stage(name=name, seconds=time.monotonic() - began))

    def lines(self) -> list[StageLine]:
        """Every stage in its order, with what is known of it at this moment."""
        over = self.seconds()
        return [StageLine(name=name, text=text, **self._state(name, over)) for name, text in STAGES.items()]

    @property
    def age(self) -> float:
        """Seconds since this start began; 0 before."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def note(self, sentence: str) -> None:
        """A sentence for the user that is not a stage."""
        self._tell({"progress": self._percent, "message": sentence, "notice": True})

    def finish(self) -> None:
        """All stages went well: one last event with each stage's seconds and share of the whole."""
        total = sum(stage.seconds for stage in self.done) or 1e-9
        shares = [
            {"name": stage.name, "seconds": round(stage.seconds, 4), "share": round(stage.seconds / total, 4)}
            for stage in self.done
        ]
        told = ", ".join(f"{item['name']} {item['share']:.0%}" for item in shares)
        message = f"Started in {total:.2f} s: {told}"
        self._tell({"progress": 95, "message": message, "stages": shares, "seconds": round(total, 4)})
        self.close()

    def close(self) -> None:
        """Nothing more will come; watchers leave."""
        self.closed = True
        self._changed.set()

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Every event from the first on, for one watcher; ends when the start does."""
        seen = 0
        while True:
            changed = self._changed
            for event in self._events[seen:]:
                seen += 1
                yield dict(event)
            if self.closed:
                return
            await changed.wait()

    def seconds(self) -> dict[str, float]:
        """The stages that are over, each with its seconds."""
        return {stage.name: stage.seconds for stage in self.done}

    def summary(self) -> str:
        """`profile 0.00 s, place 0.01 s, ...` for the log."""
        return ", ".join(f"{stage.name} {stage.seconds:.2f} s" for stage in self.done)

    def _state(self, name: str, over: dict[str, float]) -> dict[str, Any]:
        if name == self._failed:
            return {"state": "failed", "seconds": over.get(name)}
        if name in over:
            return {"state": "done", "seconds": over[name]}
        return {"state": "now" if name == self._now else "ahead"}

    def _before(self) -> str:
        return f" ({self.done[-1].name} {self.done[-1].seconds:.2f} s)" if self.done else ""

    def _tell(self, event: dict[str, Any]) -> None:
        names = list(STAGES)
        number = names.index(self._now) + 1 if self._now else 0
        done = [{"name": stage.name, "seconds": round(stage.seconds, 4)} for stage in self.done]
        known = {"stage": self._now, "number": number, "of": len(names), "done": done}
        self._events.append({**event, **known, "at": round(self.age, 4)})
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
