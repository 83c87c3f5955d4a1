"""What does a person read when policy says no? A sentence and a way out for each reason."""

from __future__ import annotations

from collections.abc import Mapping

from ..units import format_duration
from .policy import Decision, Question
from .policy_settings import PolicySettings

__all__ = ["explain", "way_out"]

_ENGINE = "The site's policy server cannot decide at present, and without its word nothing is allowed."
_SENTENCES: Mapping[str, str] = {
    "policy.input.invalid": "What was asked for cannot be checked by the site's policy.",
    "policy.file.unreadable": "The site's file of profiles and policy cannot be read at present.",
    "policy.group.denied": "A group that you are in may start nothing here.",
    "policy.gpu.too_many": "The profile asks for {requested}, and this site allows {gpus_at_most}.",
    "policy.dataset.needs_approval": "The dataset {resource} needs an approval on record for you.",
    "policy.secret.not_allowed": "The site's policy keeps back the secret {resource}.",
    "policy.egress.not_allowed": "The site's policy does not open {resource}.",
    "policy.extension.too_long": "This site allows {extension_at_most} more at a time.",
    "policy.promotion.needs_approval": "Promoting {resource} needs an approval, and none is on record.",
    "policy.settings.invalid": _ENGINE,  # the shipped Rego without its settings
    "policy.opa.unavailable": _ENGINE,
    "policy.opa.undefined": _ENGINE,
    "policy.opa.invalid": _ENGINE,
}
_DENIED = "The site's policy does not allow this ({reason})."
_AGAIN = frozenset({"policy.opa.unavailable"})


def explain(decision: Decision, settings: PolicySettings) -> str:
    """The first reason, in the words of the person who asked."""
    question = decision.question or Question(point="spawn", user="")
    reason = decision.reasons[0] if decision.reasons else "policy.denied"
    count = question.requested or 0
    return _SENTENCES.get(reason, _DENIED).format(
        reason=reason,
        resource=question.resource,
        requested=f"{count} GPU" if count == 1 else f"{count} GPUs",
        gpus_at_most=settings.gpus_at_most or "none",
        extension_at_most=format_duration(settings.extension_at_most),
    )


def way_out(decision: Decision) -> str:
    """What to do about it; an admin finds the decision by its number."""
    number = f" The number of the decision is {decision.decision_id}." if decision.decision_id else ""
    again = "Try again in a moment, or ask" if set(decision.reasons) & _AGAIN else "Ask"
    return f"{again} the hub's admin.{number}"
