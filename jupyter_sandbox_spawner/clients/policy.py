"""What is a policy engine to its callers? One question, one decision, whoever answers."""

from __future__ import annotations

from typing import Protocol

from ..rules.policy import Decision, Question

__all__ = ["PolicyEngine"]


class PolicyEngine(Protocol):
    """Something that decides: the typed rules, or an OPA server."""

    async def decide(self, question: Question) -> Decision:
        """Allow or deny; never raises for what is asked, and denies where it cannot decide."""
