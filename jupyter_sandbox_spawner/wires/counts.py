"""What do the wires count, and what do they write down of those whom they refuse?"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from ..rules.repeats import Repeats

__all__ = ["Counts"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_SAY_EVERY = 10.0  # seconds between equal lines in the log: a sandbox must not fill a disk
_REMEMBERED = 1000


class Counts:
    """Sums for a Prometheus scrape; no name of a user or sandbox. `clock` is a steady one, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.connections: Counter[str] = Counter()  # carried now, by way: in, out, pods
        self.carried: Counter[str] = Counter()
        self.handshakes: Counter[str] = Counter()
        self.refused: dict[str, Counter[str]] = {"in": Counter(), "pods": Counter()}
        self._repeats = Repeats(_SAY_EVERY, _REMEMBERED)

    def begin(self, way: str) -> None:
        """A connection is carried from now on."""
        self.connections[way] += 1
        self.carried[way] += 1

    def end(self, way: str) -> None:
        """It is over."""
        self.connections[way] -= 1

    def shook_hands(self, way: str) -> None:
        """A handshake was completed with whoever came."""
        self.handshakes[way] += 1

    def turned_away(self, way: str, code: str, who: str, why: str) -> None:
        """Count a refusal by its code, and say it in the log once in a while."""
        self.refused[way][code.rpartition(".")[2]] += 1
        self.say((way, code, who), "%s refused (%s): %s", who, code, why)

    def say(self, key: tuple[str, ...], text: str, *arguments: object) -> None:
        """Write a warning, at most every ten seconds for the same key."""
        if self.is_time(key):
            log.warning(text, *arguments)

    def is_time(self, key: tuple[str, ...]) -> bool:
        """May a line of this key be written now?"""
        return self._repeats.due(key, self._clock())

    def render(self, pods: int) -> str:
        """The text exposition format. ref: https://prometheus.io/docs/instrumenting/exposition_formats/"""
        lines = ["# TYPE sandbox_wires_connections gauge"]
        lines += [f'sandbox_wires_connections{{way="{way}"}} {self.connections[way]}' for way in _WAYS]
        lines.append("# TYPE sandbox_wires_connections_total counter")
        lines += [f'sandbox_wires_connections_total{{way="{way}"}} {self.carried[way]}' for way in _WAYS]
        lines.append("# TYPE sandbox_wires_handshakes_total counter")
        lines += [
            f'sandbox_wires_handshakes_total{{way="{way}"}} {self.handshakes[way]}' for way in ("in", "pods")
        ]
        lines.append("# TYPE sandbox_wires_refused_total counter")
        lines += _by_reason("sandbox_wires_refused_total", self.refused["in"])
        lines.append("# TYPE sandbox_wires_pods_refused_total counter")
        lines += _by_reason("sandbox_wires_pods_refused_total", self.refused["pods"])
        lines += ["# TYPE sandbox_wires_pods gauge", f"sandbox_wires_pods {pods}"]
        return "\n".join(lines) + "\n"


_WAYS = ("in", "out", "pods")


def _by_reason(name: str, found: Counter[str]) -> list[str]:
    return [f'{name}{{reason="{reason}"}} {count}' for reason, count in sorted(found.items())]
