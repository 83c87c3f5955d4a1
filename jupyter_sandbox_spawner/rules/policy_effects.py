"""What follows from policy's decisions about a start: which one refuses it, and which secrets stay away?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .grants import Grant
from .policy import Decision

__all__ = ["kept_back", "refusal"]


def refusal(rulings: Sequence[Decision], secrets: Sequence[Grant]) -> Decision | None:
    """The first decision that ends the start. `secrets` are the grants that it would get.

    A denied secret that the profile does not require ends nothing: the server starts without it.
    """
    required = {grant.name for grant in secrets if grant.required}
    for ruling in rulings:
        optional = _secret(ruling) not in {"", *required}
        if not ruling.allow and not optional:
            return ruling
    return None


def kept_back(rulings: Sequence[Decision]) -> Mapping[str, str]:
    """The names of secrets that are not granted, each with the policy's reason."""
    denied = [ruling for ruling in rulings if not ruling.allow and _secret(ruling)]
    return {_secret(ruling): ", ".join(ruling.reasons) for ruling in denied}


def _secret(ruling: Decision) -> str:
    question = ruling.question
    return question.resource if question is not None and question.point == "secret" else ""
