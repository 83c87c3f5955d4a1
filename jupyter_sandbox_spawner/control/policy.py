"""What does policy say to a start or an extension? Asked before the transaction, for the audit."""

from __future__ import annotations

from ..rules.admission import AdmissionRequest, ProfileTerms
from ..rules.policy import Decision, Question, decide
from ..rules.rulebook import Rulebook

__all__ = ["Policy"]


class Policy:
    """The typed rules, and beside them an engine that can only narrow."""

    async def ask(self, question: Question, book: Rulebook) -> Decision:
        """One decision by everything that has a say."""
        return decide(question, book.policy)

    async def on_admission(
        self, request: AdmissionRequest, terms: ProfileTerms, book: Rulebook
    ) -> tuple[Decision, ...]:
        """Every decision that a start needs; all must allow."""
        question = Question(point="spawn", user=request.spec.user, groups=request.groups, profile=terms.slug)
        return (await self.ask(question, book),)
