"""May this sandbox start, by control's word? The question as control wants it, its answer as an error."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import ProgramError, RefusedError, SandboxError, UnreachableError
from ..models import SandboxSpec
from ..rules.admission import Admission, AdmissionRequest, terms_of
from ..rules.choosing import Choice
from ..settings import Site

__all__ = ["admission_request", "control_away", "denial"]

_REFUSALS = ("gpu.", "quota.")  # that one may try again later does not make it an error of ours


def admission_request(
    choice: Choice, spec: SandboxSpec, groups: Collection[str], site: Site
) -> AdmissionRequest:
    """What is asked for one start; control compares the terms with its own reading of the profiles."""
    return AdmissionRequest(
        spec=spec,
        groups=tuple(sorted(groups)),
        terms=terms_of(choice.profile, site.servers_per_user),
        options=choice.options,
    )


def denial(answer: Admission) -> SandboxError:
    """A denial as the error that the user reads: policy says no, or control cannot keep its books now."""
    if answer.retry_at is None or answer.code.startswith(_REFUSALS):
        return RefusedError(answer.message, code=answer.code, remedy=answer.remedy)
    when = f"Try again after {answer.retry_at:%H:%M:%S} UTC."
    return ProgramError(
        answer.message, code=answer.code, remedy=f"{answer.remedy} {when}".strip(), status=503
    )


def control_away(error: UnreachableError) -> SandboxError:
    """Fail closed: without control nothing starts; what runs goes on."""
    if error.code.startswith("certificates."):  # it says why, and waiting does not help
        return UnreachableError(
            f"No server can be started now. {error.message}", code=error.code, remedy=error.remedy
        )
    return UnreachableError(
        "No server can be started now, because control does not answer; servers that run go on.",
        code="control.unreachable",
        remedy="Try again in a moment; if it stays like this, tell your admin.",
    )
