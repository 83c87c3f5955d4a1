"""Which datasets does a sandbox mount, and what does their presence take away from it?"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ..models import SandboxSpec
from ..rules.admission import Admission

if TYPE_CHECKING:
    from .granting import Asking

__all__ = ["mount"]


def mount(
    connection: Connection, now: datetime, asking: Asking, spec: SandboxSpec
) -> SandboxSpec | Admission:
    """The spec with its datasets, narrowed as they demand, or a denial `dataset.*`."""
    if not asking.terms.datasets:
        return spec
    return Admission(
        admitted=False, now=now, code="dataset.unknown", message="This site has no catalogue of datasets."
    )
