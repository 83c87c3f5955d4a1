"""How much of what it may use does this sandbox use? Control's figures turned into meters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .home import Home

__all__ = ["CpuMeter", "meters"]

_Document = Mapping[str, Any]
_SHORTEST = 1.0  # seconds; over less the figure is noise


class CpuMeter:
    """Cores in use: what the CPU seconds grew by from one answer to the next."""

    def __init__(self) -> None:
        self._sandbox = ""
        self._seconds = 0.0
        self._at = 0.0
        self._cores: float | None = None

    def read(self, document: _Document, at: float) -> float | None:
        """Cores by an answer that came `at` (seconds of a clock that goes evenly); None: not measured.

        The first answer gives the average since the server's start.
        """
        seconds = (document.get("usage") or {}).get("cpu_seconds")
        if seconds is None:
            self._sandbox, self._cores = "", None
            return None
        same = document.get("id") == self._sandbox and float(seconds) >= self._seconds
        if same and at - self._at < _SHORTEST:
            return self._cores
        if same:
            self._cores = (float(seconds) - self._seconds) / (at - self._at)
        else:
            self._cores = _average(document, float(seconds))
        self._sandbox, self._seconds, self._at = str(document.get("id")), float(seconds), at
        return self._cores


def _average(document: _Document, seconds: float) -> float | None:
    age = document.get("age")
    return None if not age else seconds / max(float(age), _SHORTEST)


def meters(document: _Document, cores: float | None, home: Home | None) -> list[dict[str, Any]]:
    """The meters of `GET sandbox/view`; what has neither a figure nor a limit is left out.

    `label` stands behind the meter's name, where there is more to say.
    """
    limits, usage = document.get("limits") or {}, document.get("usage") or {}
    soft = frozenset(map(str, document.get("soft_limits") or ()))
    found = [
        _meter("cpu", cores, limits.get("cpu"), "cores", "", "cpu" in soft),
        _meter("memory", usage.get("memory"), limits.get("memory"), "bytes", "", "memory" in soft),
    ]
    quota = limits.get("disk")
    if quota is not None:
        found.append(_meter("disk", home.used if home else None, quota, "bytes", "home", False))
    elif home is not None:
        found.append(_meter("disk", home.used, home.size, "bytes", "shared with others", False))
    if usage.get("gpu_busy") is not None:
        found.append(_meter("gpu", usage["gpu_busy"], 1.0, "share", "", False))
    return [meter for meter in found if meter["used"] is not None or meter["limit"] is not None]


def _meter(
    name: str, used: float | None, limit: float | None, unit: str, label: str, soft: bool
) -> dict[str, Any]:
    return {"name": name, "used": used, "limit": limit, "unit": unit, "soft": soft, "label": label}
