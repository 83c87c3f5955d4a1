"""Where can a value lie that should be nowhere? In each place of a house that keeps or shows what ran.

Law: a place is read as root reads it, whole; a value counts in each spelling that a program might give it.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from tests.support.house import House

__all__ = ["Find", "Place", "hunt", "places_of", "spellings"]

# The broker's own: what it logs in with and signs by, closed to everybody else (tests say so elsewhere).
_BROKERS_OWN = ("vault-secret-id.json", "vault-secret_id_file")


@dataclass(frozen=True)
class Place:
    """Something that holds bytes: its kind, its name for people, what is in it."""

    kind: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Find:
    """A value that was found: which, in which spelling, and where."""

    what: str
    spelling: str
    kind: str
    place: str


def spellings(value: str) -> dict[str, bytes]:
    """The value as it is, in hex, in base64 at each of the three offsets, in a URL, and in JSON."""
    raw = value.encode()
    found = {"plain": raw, "hex": raw.hex().encode(), "upper hex": raw.hex().upper().encode()}
    found |= {"url": quote(value, safe="").encode(), "form": quote_plus(value).encode()}
    found["json"] = json.dumps(value)[1:-1].encode()
    for shift in range(3):
        # What the neighbours of the value change is left away at both ends.
        encoded = base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4]
        found[f"base64 {shift}"] = encoded
        found[f"urlsafe {shift}"] = encoded.replace(b"+", b"-").replace(b"/", b"_")
    return found


def hunt(values: Mapping[str, str], places: Iterable[Place]) -> set[Find]:
    """Every value in every place, by the value's name."""
    words = {name: spellings(value) for name, value in values.items()}
    return {
        Find(name, spelling, place.kind, place.name)
        for place in places
        for name, ways in words.items()
        for spelling, word in ways.items()
        if word in place.content
    }


def places_of(house: House) -> Iterator[Place]:
    """Files of the house, and what the kernel tells of every process of this machine."""
    yield from _files(house)
    yield from _processes()
    yield from _containers(house)


def _files(house: House) -> Iterator[Place]:
    for path in house.running.root.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.name in _BROKERS_OWN:
            continue
        try:
            yield Place(_kind(path), str(path), path.read_bytes())
        except FileNotFoundError:
            continue  # it was removed meanwhile, as a database does with its journal


def _kind(path: Path) -> str:
    parts = path.parts
    if path.suffix == ".ipynb":
        return "notebook"
    if path.suffix == ".log" or path.parent.name == "log":
        return "log"
    for kind in ("homes", "audit", "hub", "control", "broker", "gateway", "tracking", "launcher"):
        if kind in parts:
            return kind
    return "site"


def _processes() -> Iterator[Place]:
    for kind in ("cmdline", "environ"):
        for path in Path("/proc").glob(f"[0-9]*/{kind}"):
            try:
                yield Place(kind, str(path), path.read_bytes())
            except OSError:
                continue  # it has ended meanwhile


def _containers(house: House) -> Iterator[Place]:
    """What Docker shows of its containers, where the house is on Docker."""
    address = house.running.variables.get("DOCKER_HOST")
    if not address:
        return
    docker = ("docker", "--host", address)
    names = subprocess.run([*docker, "ps", "-aq"], capture_output=True, check=True).stdout.split()
    for name in names:
        for verb in ("inspect", "logs"):
            done = subprocess.run([*docker, verb, name.decode()], capture_output=True, check=True)
            yield Place(f"docker {verb}", name.decode(), done.stdout + done.stderr)
