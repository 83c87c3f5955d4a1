"""How is it told what a pass of the reconciler found? The document of `POST /api/reconcile`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ..rules.leftovers import Step
from .reconciler import Found
from .views import timestamp

__all__ = ["found_view"]


def found_view(found: Found, applied: bool) -> dict[str, Any]:
    """`{applied, due, waiting, leftovers: {due, waiting, reported}, silent}`."""
    judged = found.leftovers
    return {
        "applied": applied,
        "due": [asdict(action) for action in found.plan.due],
        "waiting": [asdict(action) for action in found.plan.waiting],
        "leftovers": {
            "due": _steps(judged.due),
            "waiting": _steps(judged.waiting),
            "reported": _steps(judged.reported),
        },
        "silent": list(found.silent),
    }


def _steps(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [
        {
            "source": step.source,
            "kind": step.item.kind,
            "name": step.item.name,
            "sandbox": step.item.sandbox,
            "user": step.item.user,
            "since": None if step.item.since is None else timestamp(step.item.since),
            "detail": step.item.detail,
            "deed": step.deed,
            "why": step.why,
            "seconds": step.seconds,
        }
        for step in steps
    ]
