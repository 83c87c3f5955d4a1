"""How does a decision stand in the audit, so that another policy can be asked the same question later?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..wire import decode_json, encode
from .policy import Decision, Question

__all__ = ["Past", "denial_detail", "past_decisions", "question_of", "recorded", "shortened"]


@dataclass(frozen=True, kw_only=True)
class Past:
    """A decision as the audit has it; `question` None where it cannot be read, as after it was cut."""

    question: Question | None
    allow: bool
    reasons: tuple[str, ...]


def past_decisions(record: Mapping[str, Any]) -> Iterator[Past]:
    """Every decision of policy in one audit record."""
    detail = record.get("detail")
    if not isinstance(detail, dict):
        return
    listed = detail.get("decisions")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict):
            reasons = tuple(str(reason) for reason in item.get("reasons") or ())
            yield Past(question=question_of(item), allow=item.get("allow") is True, reasons=reasons)
    if record.get("action") == "policy.denied":
        reasons = tuple(str(detail.get("reasons", "")).split())
        yield Past(question=question_of(detail), allow=False, reasons=reasons)


def shortened(question: Question) -> dict[str, Any]:
    """A question as a document, without what is as it is by default."""
    empty = encode(Question(point=question.point, user=""))
    document: dict[str, Any] = encode(question)
    return {name: value for name, value in document.items() if name == "point" or value != empty[name]}


def recorded(decision: Decision) -> dict[str, Any]:
    """A decision as a part of an audit record. It names secrets and never holds one."""
    return {
        "question": shortened(decision.question) if decision.question else None,
        "allow": decision.allow,
        "reasons": list(decision.reasons),
        "digest": decision.digest,
        "engine": decision.engine,
        "decision_id": decision.decision_id,
        **({"cause": decision.cause} if decision.cause else {}),
    }


def denial_detail(decision: Decision) -> dict[str, str]:
    """The same for a denial, whose details are texts that may be cut."""
    whole = recorded(decision)
    question = whole["question"] or {}
    groups = question.pop("groups", [])
    return {
        "code": decision.reasons[0] if decision.reasons else "policy.denied",
        "reasons": " ".join(decision.reasons),
        "question": json.dumps(question, ensure_ascii=False),
        "groups": json.dumps(groups, ensure_ascii=False),
        **{name: whole[name] for name in ("digest", "engine", "decision_id", "cause") if whole.get(name)},
    }


def question_of(document: Mapping[str, Any]) -> Question | None:
    """The question of a `recorded` decision or of a `denial_detail`; None where it cannot be read."""
    asked = document.get("question")
    try:
        if isinstance(asked, str):
            asked = {**json.loads(asked), "groups": json.loads(str(document.get("groups", "[]")))}
        return decode_json(Question, json.dumps(asked))
    except (ConfigurationError, ValueError, TypeError):
        return None
