"""May this person do this, by policy? The question, strictly typed, and the answer with its reasons.

Law: what is not allowed outright is denied; an engine beside the typed rules can only narrow them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..errors import ConfigurationError
from ..wire import decode_json
from .catalogue import Tag
from .policy_input import malformed_field
from .policy_settings import PolicySettings, settings_digest

__all__ = ["POINTS", "Decision", "Point", "Question", "decide", "decide_document", "narrowed"]

Point = Literal["spawn", "gpu", "dataset", "secret", "egress", "extension", "promotion"]
POINTS: tuple[Point, ...] = get_args(Point)
_OPENABLE = frozenset({"public", "internal"})  # the others need an approval, whatever a file says


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
    tags: tuple[Tag, ...] = ()
    approved: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An answer. `reasons` are stable codes (`policy.gpu.too_many`); `digest` is of the policy that decided.

    `decision_id` finds it again in the audit and, where OPA gave it, in OPA's own log; `cause` is for admins
    where the engine failed. `question` is what was asked, None where that could not even be read.
    """

    allow: bool
    reasons: tuple[str, ...] = ()
    digest: str = ""
    engine: str = "rules"
    decision_id: str = ""
    cause: str = ""
    question: Question | None = None


def decide(question: Question, settings: PolicySettings) -> Decision:
    """The typed rules. A question that no honest caller can make is denied, whatever the types say."""
    wrong = malformed_field(question)
    reasons = ("policy.input.invalid",) if wrong else tuple(sorted(_reasons(question, settings)))
    return Decision(
        allow=not reasons,
        reasons=reasons,
        digest=settings_digest(settings),
        cause=f"The field {wrong} of the question is not valid." if wrong else "",
        question=question,
    )


def decide_document(raw: str | bytes, settings: PolicySettings) -> Decision:
    """The same for a question in JSON from elsewhere; what cannot be read is denied."""
    try:
        question = decode_json(Question, raw)
    except ConfigurationError as error:
        digest = settings_digest(settings)
        return Decision(allow=False, reasons=("policy.input.invalid",), digest=digest, cause=error.message)
    return decide(question, settings)


def narrowed(own: Decision, other: Decision) -> Decision:
    """What holds of the rules' decision after another engine's: both must allow, and both are recorded."""
    reasons = tuple(dict.fromkeys((*own.reasons, *other.reasons)))
    allow = own.allow and other.allow
    return replace(
        own,
        allow=allow,
        reasons=reasons if allow or reasons else ("policy.denied",),
        digest=hashlib.sha256(f"{own.digest}+{other.digest}".encode()).hexdigest(),
        engine=f"{own.engine}+{other.engine}",
        decision_id=other.decision_id or own.decision_id,
        cause=" ".join(filter(None, (own.cause, other.cause))),
    )


def _reasons(question: Question, settings: PolicySettings) -> Iterator[str]:
    if settings.closed:
        yield "policy.file.unreadable"
    if set(question.groups) & set(settings.denied_groups):
        yield "policy.group.denied"
    yield from _RULES[question.point](question, settings)


def _spawn(question: Question, settings: PolicySettings) -> Iterator[str]:
    yield from ()


def _gpu(question: Question, settings: PolicySettings) -> Iterator[str]:
    if question.requested is None or question.requested > settings.gpus_at_most:
        yield "policy.gpu.too_many"


def _dataset(question: Question, settings: PolicySettings) -> Iterator[str]:
    open_tags = _OPENABLE & set(settings.open_tags)
    is_open = bool(question.tags) and set(question.tags) <= open_tags
    if not is_open and not question.approved:
        yield "policy.dataset.needs_approval"


def _secret(question: Question, settings: PolicySettings) -> Iterator[str]:
    listed = settings.secrets
    if listed is not None and not any(_names(item, question.resource) for item in listed):
        yield "policy.secret.not_allowed"


def _egress(question: Question, settings: PolicySettings) -> Iterator[str]:
    listed = settings.hosts
    if listed is not None and not any(_covers(item, question.resource) for item in listed):
        yield "policy.egress.not_allowed"


def _extension(question: Question, settings: PolicySettings) -> Iterator[str]:
    if question.requested is None or question.requested > settings.extension_at_most:
        yield "policy.extension.too_long"


def _promotion(question: Question, settings: PolicySettings) -> Iterator[str]:
    if not question.approved and not set(question.groups) & set(settings.promoters):
        yield "policy.promotion.needs_approval"


_RULES: Mapping[str, Callable[[Question, PolicySettings], Iterator[str]]] = {
    "spawn": _spawn,
    "gpu": _gpu,
    "dataset": _dataset,
    "secret": _secret,
    "egress": _egress,
    "extension": _extension,
    "promotion": _promotion,
}


def _names(item: str, name: str) -> bool:
    """Does a line of `secrets` name this one? `part/*` names all below the part."""
    return item == name or (item.endswith("/*") and name.startswith(item[:-1]))


def _covers(item: str, wanted: str) -> bool:
    """Is all of one `host:port` within another? `*.example.org` has every name below, not its own."""
    (listed, _, listed_port), (host, _, port) = item.rpartition(":"), wanted.rpartition(":")
    below = listed.startswith("*.") and host.endswith(listed[1:])
    return listed_port == port and (listed == host or below)
