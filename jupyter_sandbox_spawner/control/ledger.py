"""Is there room for a sandbox, and which devices are its own? Caps, allocations and the queue, in one place.

Law: it looks and takes in the caller's transaction, which holds the write lock: nothing is given twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ..models import SandboxSpec
from ..rules.admission import Admission

if TYPE_CHECKING:
    from .granting import Asking

__all__ = ["end", "take"]


def take(connection: Connection, now: datetime, asking: Asking, spec: SandboxSpec) -> SandboxSpec | Admission:
    """The spec with its devices, or a denial `quota.*` or `gpu.*`, perhaps with a ticket."""
    if asking.terms.gpu is None:
        return spec
    return Admission(admitted=False, now=now, code="gpu.none", message="This site has no GPU to give.")


def end(connection: Connection, sandbox: str, now: datetime) -> None:
    """Give back what the sandbox had; no-op for one that had nothing or gave it back before."""
