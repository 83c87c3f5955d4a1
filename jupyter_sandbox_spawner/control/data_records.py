"""What does the database say about tags and approvals? Typed answers, each inside the caller's transaction.

Law: a tag that was read once stays until two people have lowered it; one of two is never enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select, update

from ..errors import RefusedError
from ..rules.catalogue import TAGS, Dataset, Tag, highest, known_tags
from ..rules.datasets import Approval
from .tables_data import dataset_approvals, dataset_imports, dataset_lowerings, dataset_tags

__all__ = [
    "PERSON",
    "Imports",
    "Subject",
    "Word",
    "approvals_of",
    "approve",
    "forget_user",
    "imports",
    "lower",
    "pending_lowerings",
    "raise_tag",
    "record_file",
    "recorded_tags",
    "remember_import",
    "revoke",
    "rows_of_approvals",
]

PERSON = "admin "  # before the hub's name of whoever gave a word
_PATIENCE = timedelta(days=7)  # how long the word of a first person waits for a second
Imports = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, kw_only=True)
class Word:
    """What one person said, when, and why."""

    by: str
    why: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who gets access to which dataset: a user or a group."""

    dataset: str
    kind: Literal["user", "group"]
    name: str


def recorded_tags(connection: Connection) -> dict[str, Tag]:
    """The most guarded tag that was ever read and not lowered, by id and by uri."""
    rows = connection.execute(select(dataset_tags.c.key, dataset_tags.c.tag))
    return {key: highest(known_tags([tag])) for key, tag in rows}


def record_file(connection: Connection, datasets: Sequence[Dataset], now: datetime) -> list[str]:
    """Remember what file and catalogues say where it is more guarded than before; the names that rose."""
    recorded, said, risen = recorded_tags(connection), imports(connection), []
    for dataset in datasets:
        tag = highest((*(dataset.tags or ("secret",)), *_imported_tags(dataset, said)))
        for key in (dataset.id, dataset.uri):
            if _write(connection, recorded, key, tag, "file", now):
                risen.append(dataset.name)
                _forget_lowerings(connection, dataset.id)
    return list(dict.fromkeys(risen))


def raise_tag(connection: Connection, dataset: Dataset, tag: Tag, by: str, now: datetime) -> bool:
    """A person's word, at once; False where it was as guarded before."""
    _forget_lowerings(connection, dataset.id)
    recorded = recorded_tags(connection)
    done = [_write(connection, recorded, key, tag, by, now) for key in (dataset.id, dataset.uri)]
    return any(done)


def lower(connection: Connection, datasets: Sequence[Dataset], tag: Tag, word: Word) -> bool:
    """The word of one person about every version of a dataset: True once a second one has said the same.

    Raises RefusedError `dataset.file_higher` or `dataset.same_person`.
    """
    said = imports(connection)
    for dataset in datasets:
        found = highest((*(dataset.tags or ("secret",)), *_imported_tags(dataset, said)))
        if TAGS.index(found) > TAGS.index(tag):
            raise RefusedError(
                f"The file or a catalogue still tags {dataset.name} as {found}.",
                code="dataset.file_higher",
                remedy="Change it there first; it has no effect until two people have said the same here.",
            )
    table, name = dataset_lowerings, datasets[0].id
    query = select(table).where(table.c.dataset == name, table.c.tag == tag, table.c.second_by.is_(None))
    row = connection.execute(query.where(table.c.first_at > word.at - _PATIENCE)).first()
    if row is None:
        values = {
            "dataset": name,
            "tag": tag,
            "first_by": word.by,
            "first_at": word.at,
            "first_why": word.why,
        }
        connection.execute(insert(table).values(**values))
        return False
    _different(row.first_by, word.by)
    done = {"second_by": word.by, "second_at": word.at, "second_why": word.why}
    connection.execute(update(table).where(table.c.id == row.id).values(**done))
    for key in {name, *(dataset.uri for dataset in datasets)}:
        values = {"tag": tag, "at": word.at, "by": f"{row.first_by}, {word.by}"}
        connection.execute(update(dataset_tags).where(dataset_tags.c.key == key).values(**values))
    return True


def pending_lowerings(connection: Connection, dataset: str, now: datetime) -> list[dict[str, Any]]:
    """Lowerings that wait for a second person."""
    table = dataset_lowerings
    query = select(table).where(table.c.dataset == dataset, table.c.second_by.is_(None))
    rows = connection.execute(query.where(table.c.first_at > now - _PATIENCE))
    return [dict(row._mapping) for row in rows]


def approve(connection: Connection, subject: Subject, tag: Tag, until: datetime, word: Word) -> bool:
    """The word of one person: True once a second one has said the same; the earlier end of the two counts.

    Raises RefusedError `dataset.same_person`, `dataset.own_approval`.
    """
    if subject.kind == "user" and word.by == f"{PERSON}{subject.name}":
        message = f"{subject.name} may not approve themselves."
        raise RefusedError(message, code="dataset.own_approval", remedy="Two others must do it.")
    table = dataset_approvals
    query = select(table).where(*_same(subject), table.c.tag == tag, table.c.second_by.is_(None))
    row = connection.execute(query.where(table.c.first_at > word.at - _PATIENCE)).first()
    if row is None:
        values = {"dataset": subject.dataset, "kind": subject.kind, "name": subject.name, "tag": tag}
        first = {"until": until, "first_by": word.by, "first_at": word.at, "first_why": word.why}
        connection.execute(insert(table).values(**values, **first))
        return False
    _different(row.first_by, word.by)
    done = {"second_by": word.by, "second_at": word.at, "second_why": word.why}
    done["until"] = min(until, row.until)
    connection.execute(update(table).where(table.c.id == row.id).values(**done))
    return True


def revoke(connection: Connection, subject: Subject, by: str, now: datetime) -> int:
    """End every approval, and every first word, for them; how many there were. One person is enough."""
    query = update(dataset_approvals).where(*_same(subject))
    return connection.execute(query.values(revoked_by=by, revoked_at=now)).rowcount


def forget_user(connection: Connection, user: str, now: datetime) -> None:
    """The user was deleted: a new one of this name begins without approvals."""
    table = dataset_approvals
    theirs = (table.c.kind == "user", table.c.name == user, table.c.revoked_at.is_(None))
    connection.execute(update(table).where(*theirs).values(revoked_by="control", revoked_at=now))


def approvals_of(connection: Connection, now: datetime) -> list[Approval]:
    """What two people have approved and nobody has revoked."""
    table = dataset_approvals
    query = select(table).where(
        table.c.second_by.is_not(None), table.c.revoked_at.is_(None), table.c.until > now
    )
    return [
        Approval(
            dataset=row.dataset,
            tag=highest(known_tags([row.tag])),
            until=row.until,
            user=row.name if row.kind == "user" else "",
            group=row.name if row.kind == "group" else "",
            by=(row.first_by.removeprefix(PERSON), row.second_by.removeprefix(PERSON)),
        )
        for row in connection.execute(query)
        if row.second_by != row.first_by
    ]


def rows_of_approvals(connection: Connection, dataset: str, now: datetime) -> list[dict[str, Any]]:
    """Approvals that hold or wait for a second person, for admins."""
    table = dataset_approvals
    query = select(table).where(table.c.dataset == dataset, table.c.revoked_at.is_(None), table.c.until > now)
    return [dict(row._mapping) for row in connection.execute(query.order_by(table.c.id))]


def imports(connection: Connection) -> dict[str, dict[str, list[str]]]:
    """What each catalogue said last: by its name, tags by `id` or `id@version`."""
    return {row.source: row.tags for row in connection.execute(select(dataset_imports))}


def remember_import(
    connection: Connection, source: str, tags: Mapping[str, Sequence[str]], now: datetime
) -> None:
    """The last good answer of a catalogue."""
    connection.execute(delete(dataset_imports).where(dataset_imports.c.source == source))
    plain = {name: list(words) for name, words in tags.items()}
    connection.execute(insert(dataset_imports).values(source=source, at=now, tags=plain))


def _imported_tags(dataset: Dataset, said: Imports) -> tuple[Tag, ...]:
    """What other catalogues say about a dataset; nothing where none knows it."""
    found = [
        said[source][name] for source in said for name in (dataset.id, dataset.name) if name in said[source]
    ]
    return tuple(tag for words in found for tag in known_tags(words))


def _write(
    connection: Connection, recorded: dict[str, Tag], key: str, tag: Tag, by: str, now: datetime
) -> bool:
    known = recorded.get(key)
    if known is not None and TAGS.index(known) >= TAGS.index(tag):
        return False
    values = {"tag": tag, "at": now, "by": by}
    if known is None:
        connection.execute(insert(dataset_tags).values(key=key, **values))
    else:
        connection.execute(update(dataset_tags).where(dataset_tags.c.key == key).values(**values))
    recorded[key] = tag
    return True


def _forget_lowerings(connection: Connection, dataset: str) -> None:
    """A first word was said about the tag as it was; after a raise it does not count any more."""
    table = dataset_lowerings
    connection.execute(delete(table).where(table.c.dataset == dataset, table.c.second_by.is_(None)))


def _same(subject: Subject) -> tuple[Any, ...]:
    table = dataset_approvals
    named = (table.c.dataset == subject.dataset, table.c.kind == subject.kind, table.c.name == subject.name)
    return (*named, table.c.revoked_at.is_(None))


def _different(first: str, second: str) -> None:
    if first == second:
        raise RefusedError(
            f"You ({second}) have said so already; it takes a second person.",
            code="dataset.same_person",
            remedy="Ask another admin to give the same command with their own token of the hub.",
        )
