"""What does a start or an extension ask of policy? One question for each thing that it would get."""

from __future__ import annotations

from dataclasses import replace

from .admission import AdmissionRequest, ProfileTerms
from .grants import decide_grants
from .policy import Question

__all__ = ["questions_of_start"]


def questions_of_start(request: AdmissionRequest, terms: ProfileTerms) -> tuple[Question, ...]:
    """The spawn itself, then its GPUs, secrets and exits. Datasets are asked for where they are known."""
    spec = request.spec
    spawn = Question(point="spawn", user=spec.user, groups=tuple(sorted(request.groups)), profile=terms.slug)
    asked = [spawn]
    if terms.gpu is not None:
        asked.append(replace(spawn, point="gpu", resource=terms.gpu.kind, requested=terms.gpu.count))
    for grant in decide_grants(spec.user, request.groups, terms.secrets).granted:
        asked.append(replace(spawn, point="secret", resource=grant.name))
    for rule in spec.egress.rules:
        asked += [replace(spawn, point="egress", resource=f"{rule.pattern}:{port}") for port in rule.ports]
    return tuple(asked)
