"""What has a probe shown, and when?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..rules.canary import Verdict

__all__ = ["CANARY", "Proof", "is_canary", "told"]

CANARY = "*canary*"  # in place of a user's name; no user's name is canonical with a star


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The last verdict, what it was made of, and when."""

    key: str
    verdict: Verdict
    at: datetime


def is_canary(user: str) -> bool:
    """Is this the probe's name, and nobody's sandbox?"""
    return user == CANARY


def told(proof: Proof | None) -> dict[str, Any]:
    """A proof for people and programs."""
    if proof is None:
        return {"proved": False, "why": "The probe has not ended yet.", "at": None}
    at = proof.at.isoformat(timespec="seconds")
    return {"proved": proof.verdict.proved, "why": proof.verdict.why, "at": at}
