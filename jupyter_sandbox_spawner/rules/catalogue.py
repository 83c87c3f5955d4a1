"""Which datasets are there? Entries of the catalogue, whatever source they came from, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

__all__ = ["TAGS", "Dataset", "Tag", "Zone", "highest", "zone_of"]

# From the least to the most guarded. An unknown tag, or none, counts as the last.
Tag = Literal["public", "internal", "pii", "phi", "secret"]
TAGS: tuple[Tag, ...] = get_args(Tag)
# Where a sandbox with data of a tag keeps its files; "" is the ordinary place.
Zone = Literal["", "pii", "phi", "secret"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One version of a dataset.

    `uri` is `file:///srv/data/cases`; `manifest` the SHA-256 (hex) of its manifest file, "" for none;
    `tags` empty counts as `secret`; `expires` is the last day; `allowed_groups` None means everyone, an
    empty tuple nobody.
    """

    id: str
    version: str
    uri: str
    owner: str
    manifest: str = ""
    tags: tuple[Tag, ...] = field(default=())
    purpose: str = ""
    expires: date | None = None
    allowed_groups: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """`id@version`, as audit and profiles may write it."""
        return f"{self.id}@{self.version}"


def highest(tags: tuple[Tag, ...]) -> Tag:
    """The most guarded of some tags; `secret` where there is none."""
    return max(tags, key=TAGS.index, default="secret")


def zone_of(tags: tuple[Tag, ...]) -> Zone:
    """The zone that data with these tags belongs to."""
    tag = highest(tags)
    return "" if tag == "public" or tag == "internal" else tag
