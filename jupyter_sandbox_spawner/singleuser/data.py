"""Which data does this server have, where, and what does that take away from it? Asked of control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import AnswerError
from .door import ask
from .view import Shown, Table

__all__ = ["Dataset", "Datasets", "LeftOut", "datasets"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One that is mounted: `id@version`, its tags at the start, and where it is."""

    name: str
    tags: tuple[str, ...]
    path: str
    read_only: bool
    purpose: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One that the profile names and that is not mounted, with the reason."""

    name: str
    code: str
    why: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Datasets(Shown):
    """Data of this server. `zone` is empty where nothing is guarded."""

    zone: str
    mounted: tuple[Dataset, ...]
    left_out: tuple[LeftOut, ...]

    def blocks(self) -> Iterator[str | Table]:
        """What is mounted, what is not and why, and what the zone means."""
        if self.mounted:
            rows = [
                (
                    item.name,
                    ", ".join(item.tags),
                    f"{item.path} {'(read-only)' if item.read_only else ''}",
                    item.purpose,
                )
                for item in self.mounted
            ]
            yield Table(rows, ("Dataset", "Tags", "Where", "Purpose"))
        else:
            yield "No dataset is mounted here."
        for item in self.left_out:
            yield f"Not mounted: {item.name}. {item.why} ({item.code})"
        if self.zone:
            yield (
                f"This server is in the zone {self.zone}, as its data is tagged: home and MLflow workspace"
                " are the zone's own, only the site's own services are reached, downloads are off, and its"
                " end is fixed. What you write here stays in the zone."
            )


def datasets() -> Datasets:
    """What is mounted where, with tags, and why something is tightened. Raises SandboxError."""
    document = ask()
    try:
        return _read(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnswerError(
            f"The answer of control lacks what this version expects ({error!r}).",
            code="door.unreadable",
            remedy="Run %sandbox doctor, and tell the hub's admin.",
        ) from error


def _read(document: Mapping[str, Any]) -> Datasets:
    mounted = tuple(
        Dataset(
            name=str(item["name"]),
            tags=tuple(map(str, item["tags"])),
            path=str(item["path"]),
            read_only=bool(item["read_only"]),
            purpose=str(item["purpose"]),
        )
        for item in document["datasets"]
    )
    left_out = tuple(
        LeftOut(name=str(item["name"]), code=str(item["code"]), why=str(item["why"]))
        for item in document["left_out"]
    )
    return Datasets(zone=str(document["zone"]), mounted=mounted, left_out=left_out)
