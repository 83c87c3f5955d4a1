"""Which datasets are there? Entries of the catalogue, whatever source they came from, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

__all__ = [
    "DATA",
    "MANIFEST",
    "TAGS",
    "ZONES",
    "Dataset",
    "DatasetDecision",
    "Tag",
    "Zone",
    "find",
    "highest",
    "known_tags",
    "misplaced",
    "reaches",
    "zone_of",
]

DATA = "/data"  # inside a sandbox; a dataset is at /data/ID
MANIFEST = "MANIFEST.sha256"  # lines as sha256sum writes them, in the dataset's directory

# From the least to the most guarded. An unknown tag, or none, counts as the last.
Tag = Literal["public", "internal", "pii", "phi", "secret"]
TAGS: tuple[Tag, ...] = get_args(Tag)
# Where a sandbox with data of a tag keeps its files; "" is the ordinary place.
Zone = Literal["", "pii", "phi", "secret"]
ZONES: tuple[Zone, ...] = get_args(Zone)


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

    @property
    def path(self) -> str:
        """The directory on this host."""
        return self.uri.removeprefix("file://")

    @property
    def target(self) -> str:
        """The directory inside a sandbox."""
        return f"{DATA}/{self.id}"


@dataclass(frozen=True, kw_only=True)
class DatasetDecision:
    """What became of one dataset that a profile names. `code` is "" where it is mounted.

    `tags` are those that held at that moment; `policy_digest` and `decision_id` are of the policy's answer.
    """

    name: str
    code: str = ""
    why: str = ""
    tags: tuple[Tag, ...] = ()
    manifest: str = ""
    policy_digest: str = ""
    decision_id: str = ""


def highest(tags: tuple[Tag, ...]) -> Tag:
    """The most guarded of some tags; `secret` where there is none."""
    return max(tags, key=TAGS.index, default="secret")


def zone_of(tags: tuple[Tag, ...]) -> Zone:
    """The zone that data with these tags belongs to."""
    tag = highest(tags)
    return "" if tag == "public" or tag == "internal" else tag


def reaches(zone: str, tags: tuple[Tag, ...]) -> bool:
    """Is a zone guarded enough for data with these tags? A zone that nobody knows is not."""
    return zone in ZONES and ZONES.index(zone) >= ZONES.index(zone_of(tags))


def known_tags(words: Sequence[object]) -> tuple[Tag, ...]:
    """Tags as another catalogue writes them; a word that is no tag of ours counts as `secret`."""
    named = {"secret" if word not in TAGS else word for word in words}
    return tuple(tag for tag in TAGS if tag in named) or ("secret",)


def find(catalogue: Sequence[Dataset], name: str) -> Dataset | None:
    """The dataset called `id@version`; for an `id` alone its newest version, which is written last."""
    found = [item for item in catalogue if name in (item.id, item.name)]
    return found[-1] if found else None


def misplaced(path: str, own: Sequence[str]) -> str:
    """The directory of the site that a dataset's would show or be part of; "" where it is clear of all."""
    for directory in own:
        if f"{path}/".startswith(f"{directory}/") or f"{directory}/".startswith(f"{path}/"):
            return directory
    return ""
