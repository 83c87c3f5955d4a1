"""What did MLflow record last in this server's experiment? Asked by the way that MLflow's client takes.

Law: mlflow is never imported, which costs seconds, and one look has one patience for all its questions.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode

from ...errors import RefusedError
from .. import tracking
from .parts import PATIENCE

__all__ = ["Found", "Look", "Run"]

_API = "/api/2.0/mlflow"
_MOST = 5
_UNKNOWN = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run, the latest first."""

    name: str
    status: str
    started_at: datetime | None
    url: str | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """`url` is where browsers find the experiment, None: nowhere; `here`: MLflow is this hub's."""

    here: bool
    url: str | None
    experiment: str
    runs: tuple[Run, ...] = ()


class Look:
    """A server's: where its runs go is asked once, for that holds as long as its process."""

    def __init__(self) -> None:
        self._place: tracking.Tracking | None = None

    def __call__(self) -> Found:
        """Raises SandboxError as `tracking()` does."""
        until = time.monotonic() + PATIENCE
        if self._place is None:
            self._place = tracking.tracking(PATIENCE)
        return _found(self._place, until)


def _found(place: tracking.Tracking, until: float) -> Found:
    if not place.workspace:
        return Found(here=False, url=None, experiment=place.experiment)
    pages = _pages(place.pages)
    number = _experiment(place.experiment, until)
    if number is None:
        return Found(here=True, url=pages, experiment=place.experiment)
    wish = {"experiment_ids": [number], "max_results": _MOST, "order_by": ["attributes.start_time DESC"]}
    document = tracking.call(f"{_API}/runs/search", wish, _left(until))
    base = f"{pages}#/experiments/{quote(number, safe='')}" if pages else None
    return Found(
        here=True,
        url=base,
        experiment=place.experiment,
        runs=tuple(_run(item["info"], base) for item in (document.get("runs") or ())[:_MOST]),
    )


def _experiment(name: str, until: float) -> str | None:
    """The number of the experiment of this name; None until a first run makes it."""
    if not name:
        return None
    question = urlencode({"experiment_name": name})
    try:
        found = tracking.call(f"{_API}/experiments/get-by-name?{question}", None, _left(until))
    except RefusedError as error:
        if error.code == _UNKNOWN:
            return None
        raise
    return str(found["experiment"]["experiment_id"])


def _run(info: Mapping[str, Any], base: str | None) -> Run:
    number, began = str(info["run_id"]), info.get("start_time")
    return Run(
        name=str(info.get("run_name") or number),
        status=str(info.get("status") or "").lower(),
        started_at=datetime.fromtimestamp(int(began) / 1000, timezone.utc) if began else None,
        url=f"{base}/runs/{quote(number, safe='')}" if base else None,
    )


def _pages(said: str) -> str | None:
    """An address that a browser may be sent to."""
    if said.startswith(("https://", "http://")) or (said.startswith("/") and not said.startswith("//")):
        return said
    return None


def _left(until: float) -> float:
    return max(0.1, until - time.monotonic())
