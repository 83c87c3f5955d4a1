"""What is a cluster asked about? Kinds of objects, where each of them is, and one question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Document", "Kind", "Listing", "Question", "path_of"]

Document = Mapping[str, Any]
Kind = Literal[
    "pods", "secrets", "networkpolicies", "persistentvolumeclaims", "events", "leases", "resourcequotas"
]
_GROUPS: Mapping[Kind, str] = {
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Objects, and the moment from which a watch goes on."""

    items: tuple[Document, ...] = field(repr=False)
    version: str


@dataclass(frozen=True)
class Question:
    """One of them. `absent`: an object that is missing is an answer."""

    method: str
    path: str
    parameters: Mapping[str, str] | None = None
    body: Document | None = field(default=None, repr=False)
    absent: bool = False
    accept: str = "application/json"


def path_of(namespace: str, kind: Kind, name: str = "") -> str:
    """Where objects of a kind are, or one of them."""
    path = f"{_GROUPS.get(kind, '/api/v1')}/namespaces/{namespace}/{kind}"
    return f"{path}/{name}" if name else path
