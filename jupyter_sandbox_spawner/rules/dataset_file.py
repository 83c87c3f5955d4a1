"""Which datasets does the file list? The section `datasets` of the admin's file, with every problem in it."""

from __future__ import annotations

import re
from datetime import date, datetime
from posixpath import normpath
from typing import Any

from . import profile_fields as fields
from .catalogue import MANIFEST, TAGS, Dataset, Tag
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["DATASET_KEYS", "read_datasets"]

DATASET_KEYS = ("id", "version", "uri", "manifest", "tags", "owner", "purpose", "expires", "allowed_groups")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KERNELS = ("/proc", "/sys", "/dev", "/run")


def read_datasets(node: Node, problems: list[Problem]) -> tuple[Dataset, ...]:
    """The section as a value; what is wrong is added to `problems`."""
    reader = Reading()
    found: list[Dataset] = []
    if node.items is None:
        reader.add(node, node.field, f"{fields.shown(node.value)} is not a list. Write - id: NAME and so on.")
    for item in node.items or ():
        dataset = _dataset(reader, item)
        if dataset is None:
            continue
        if dataset.name in {other.name for other in found}:
            reader.add(item, item.field, f"{dataset.name} is listed twice. Give each version once.")
        found.append(dataset)
    problems += reader.problems
    return tuple(found)


def _dataset(reader: Reading, node: Node) -> Dataset | None:
    before = len(reader.problems)
    keys = reader.keys(node, DATASET_KEYS)
    if keys is None:
        return None
    texts = {
        name: reader.text(keys, name, node, check, required=True)
        for name, check in (
            ("id", fields.slug),
            ("version", _version),
            ("uri", _uri),
            ("owner", fields.line_of_text),
        )
    }
    more: dict[str, Any] = {
        "manifest": reader.field(keys, "manifest", _manifest),
        "tags": reader.field(keys, "tags", _tags),
        "purpose": reader.field(keys, "purpose", fields.paragraph),
        "expires": reader.field(keys, "expires", _day),
        "allowed_groups": reader.field(keys, "allowed_groups", fields.groups),
    }
    if len(reader.problems) > before:
        return None
    given = {name: value for name, value in {**texts, **more}.items() if value is not None}
    return Dataset(**given)


def _version(value: Any, field: str) -> str:
    if isinstance(value, str) and _VERSION.fullmatch(value) and ".." not in value:
        return value
    raise fields.wrong(field, value, "is not the text of a version", 'Write it in quotes, such as "2026.1".')


def _uri(value: Any, field: str) -> str:
    remedy = "Write file:///absolute/path of a directory on this host."
    path = value.removeprefix("file://") if isinstance(value, str) and value.startswith("file://") else ""
    plain = path.isprintable() and path.startswith("/") and "%" not in path and ":" not in path
    if not plain or normpath(path) != path or path.startswith("//"):
        raise fields.wrong(field, value, "is not a file: address of one plain path", remedy)
    if path == "/" or any(f"{path}/".startswith(f"{place}/") for place in _KERNELS):
        raise fields.wrong(field, value, "is a place of the host itself", remedy)
    return f"file://{path}"


def _manifest(value: Any, field: str) -> str:
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value
    remedy = f"Write what this prints: sha256sum DIRECTORY/{MANIFEST}"
    raise fields.wrong(field, value, "is not a SHA-256 of 64 hex digits", remedy)


def _tags(value: Any, field: str) -> tuple[Tag, ...]:
    known = ", ".join(TAGS)
    if not isinstance(value, list):
        raise fields.wrong(field, value, "is not a list of tags", f"Write [TAG, ...] of: {known}.")
    for word in value:
        if not isinstance(word, str) or word not in TAGS:
            raise fields.wrong(field, word, "is not a tag", f"Known tags: {known}.")
    return tuple(tag for tag in TAGS if tag in value)


def _day(value: Any, field: str) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise fields.wrong(field, value, f"is no day ({error})", "Write 2027-01-31.") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise fields.wrong(field, value, "is not a day", "Write the last day, such as 2027-01-31.")
