"""What does policy say to a start or an extension? Asked before the transaction, for the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from ..clients.opa import OpaClient
from ..clients.policy import PolicyEngine
from ..models import SandboxSpec
from ..rules.admission import AdmissionRequest, ProfileTerms
from ..rules.extension import LONGEST_GIVEN
from ..rules.policy import Decision, Question, decide, narrowed
from ..rules.policy_questions import questions_of_start
from ..rules.policy_record import denial_detail
from ..rules.policy_settings import OpaSettings, PolicySettings, settings_digest
from ..rules.rulebook import Rulebook
from .denials import DenialLedger
from .records import SandboxRecord
from .views import timestamp

__all__ = ["Policy", "record_denials"]


class Policy:
    """The typed rules, and beside them an engine that can only narrow. Use it as `async with` or close it."""

    def __init__(self) -> None:
        self._engines: dict[OpaSettings, OpaClient] = {}

    async def close(self) -> None:
        """Close every connection; no-op if there is none."""
        for engine in self._engines.values():
            await engine.close()

    async def ask(self, question: Question, book: Rulebook) -> Decision:
        """One decision by everything that has a say. Never raises; what cannot be decided is denied."""
        own = replace(decide(question, book.policy), decision_id=uuid4().hex)
        engine = self._engine(book.policy)
        if engine is None or not own.allow:
            return own
        return narrowed(own, await engine.decide(question))

    async def on_admission(
        self, request: AdmissionRequest, terms: ProfileTerms, book: Rulebook
    ) -> tuple[Decision, ...]:
        """Every decision that a start needs; policy_effects.py says what follows from a denied one."""
        questions = questions_of_start(request, terms)
        return tuple(await asyncio.gather(*(self.ask(question, book) for question in questions)))

    async def on_extension(
        self, record: SandboxRecord, by: int | None, book: Rulebook, admin: bool = False
    ) -> Decision | None:
        """May its end be moved by so many seconds (None: what the profile gives)? None: it gives nothing.

        An admin asks for what the profile does not give, too.
        """
        offer = LONGEST_GIVEN if admin else record.extend_by
        if not offer:
            return None
        question = Question(
            point="extension",
            user=record.user,
            groups=tuple(sorted(record.groups)),
            profile=record.profile,
            requested=offer if by is None else max(min(by, offer), 1),
        )
        return await self.ask(question, book)

    def status(self, book: Rulebook) -> dict[str, Any]:
        """Who decides, by which policy, and what ails it; for admins."""
        opa, engine = book.policy.opa, self._engine(book.policy)
        document: dict[str, Any] = {
            "engine": "rules" if engine is None else "rules+opa",
            "digest": settings_digest(book.policy),
            "closed": book.policy.closed,
            "book": book.digest,
            "opa": None,
        }
        if opa is not None and isinstance(engine, OpaClient):
            since, cause = engine.failing or (None, "")
            document["opa"] = {
                "address": opa.address,
                "decision": opa.decision,
                "digest": engine.digest,
                "failing_since": since and timestamp(datetime.fromtimestamp(since, timezone.utc)),
                "cause": cause,
            }
        return document

    def _engine(self, settings: PolicySettings) -> PolicyEngine | None:
        opa = settings.opa
        if opa is None:
            return None
        # One that the file names no more is kept until the end: questions to it may still be under way.
        return self._engines.setdefault(opa, OpaClient(opa))


async def record_denials(denials: DenialLedger, spec: SandboxSpec, rulings: Sequence[Decision]) -> None:
    """What was denied to a start that did not happen, for the audit."""
    for ruling in rulings:
        if not ruling.allow:
            await denials.denied("policy", spec.user, spec.server, **denial_detail(ruling))
