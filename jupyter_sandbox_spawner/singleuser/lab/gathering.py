"""How does one request learn everything of this sandbox? Every part is asked at once, and remembered.

Law: who asks while others ask gets the same answer; an answer is believed for some seconds, but never past
a change that was made from here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ...errors import SandboxError
from .. import door, network, secret_list
from . import experiments, home
from .document import egress_view, experiments_view, part_view, sandbox_view, secrets_view, stamp
from .meters import CpuMeter, meters
from .parts import PATIENCE, Part

__all__ = ["BELIEVED", "MLFLOW_BELIEVED", "Gathering"]

BELIEVED = 5.0  # seconds
MLFLOW_BELIEVED = 300.0  # seconds: MLflow's guard writes each question into the audit
_MLFLOW_AGAIN = 60.0  # seconds, where it did not answer
# Control writes whole seconds of the same clock, where it is the same machine.
_SAME_CLOCK = 2.0


class Gathering:
    """The document of `GET sandbox/view`, for every tab that asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._control = Part("Control", lambda: door.ask(timeout=PATIENCE))
        self._egress = Part("Control", lambda: network.egress(PATIENCE))
        self._secrets = Part("The broker of secrets", lambda: secret_list.ask_now(PATIENCE))
        self._experiments = Part("MLflow", experiments.Look())
        self._mlflow_asked = -MLFLOW_BELIEVED
        self._home = Part("The home", home.look)
        self._cpu = CpuMeter()
        self._cores: float | None = None
        self._skew = 0.0  # control's clock less ours
        self._changes = 0
        self._round: tuple[int, asyncio.Task[None]] | None = None
        self._known: tuple[int, float] | None = None

    def forget(self) -> None:
        """Something was changed from here: what was gathered before is not the answer any more."""
        self._changes += 1

    async def view(self, anew: bool = False) -> dict[str, Any]:
        """What is known; `anew`: a person wants MLflow's newest too.

        Raises SandboxError `sandbox.outside`, and nothing else.
        """
        door.check_inside()
        if anew and self._clock() - self._mlflow_asked >= BELIEVED:
            self._mlflow_asked = self._clock() - MLFLOW_BELIEVED
            self.forget()
        if not self._is_believed():
            if self._round is None or self._round[0] != self._changes or self._round[1].done():
                self._round = self._changes, asyncio.ensure_future(self._gather(self._changes))
            await asyncio.shield(self._round[1])
        return self._document()

    def _is_believed(self) -> bool:
        if self._known is None or self._known[0] != self._changes:
            return False
        return self._clock() - self._known[1] < BELIEVED

    async def _gather(self, changes: int) -> None:
        parts = [self._control, self._egress, self._secrets, self._home]
        if self._mlflow_is_due():
            self._mlflow_asked = self._clock()
            parts.append(self._experiments)
        await asyncio.gather(*(part.ask(changes) for part in parts))
        if self._control.error is None:
            self._hear(self._control.last)
        self._known = changes, self._clock()

    def _mlflow_is_due(self) -> bool:
        wait = _MLFLOW_AGAIN if self._experiments.error else MLFLOW_BELIEVED
        return self._clock() - self._mlflow_asked >= wait

    def _hear(self, document: Mapping[str, Any]) -> None:
        now = _time(document.get("now"))
        ready = _time(document.get("ready_at"))
        skew = now - time.time() if now else 0.0
        self._skew = skew if abs(skew) > _SAME_CLOCK else 0.0
        age = now - ready if now and ready else None
        self._cores = self._cpu.read({**document, "age": age}, self._clock())

    def _document(self) -> dict[str, Any]:
        sandbox, error = None, self._control.error
        silent = self._control if error else self._egress
        if self._control.last is not None:
            try:
                shown = meters(self._control.last, self._cores, self._home.last)
                sandbox = sandbox_view(self._control.last, shown)
            except (KeyError, TypeError, ValueError, AttributeError) as wrong:
                message = f"Control's answer lacks what this version expects ({wrong!r})."
                error = SandboxError(message, code="door.unreadable", remedy="Run %sandbox doctor.")
        broker = self._secrets
        part = part_view(self._experiments.error, self._heard(self._experiments))
        return {
            "now": stamp(datetime.fromtimestamp(time.time() + self._skew, timezone.utc)),
            "control": part_view(error or silent.error, self._heard(silent)),
            "broker": part_view(broker.error, self._heard(broker)),
            "sandbox": sandbox,
            "egress": egress_view(self._egress.last),
            "secrets": secrets_view(broker.last),
            "experiments": experiments_view(part, self._experiments.last),
        }

    def _heard(self, part: Part) -> float | None:
        return None if part.heard is None else part.heard + self._skew


def _time(text: object) -> float | None:
    """Seconds since 1970 of a time that control wrote."""
    if not isinstance(text, str):
        return None
    try:
        instant = secret_list.instant(text)
    except ValueError:
        return None
    return instant.timestamp() if instant else None
