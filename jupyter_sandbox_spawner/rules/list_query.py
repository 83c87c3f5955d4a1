"""What does a question for a page of a list mean? Each parameter is read, or named as wrong. (pure)"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

from ..errors import ConfigurationError
from .audit import Outcome

__all__ = [
    "AUDIT_OUTCOMES",
    "SORTS",
    "AuditQuery",
    "DenialQuery",
    "TableQuery",
    "check_text",
    "pages_of",
    "read_audit",
    "read_denials",
    "read_table",
]

SORTS = ("user", "server", "profile", "started", "ends", "used", "gpus")
AUDIT_OUTCOMES: tuple[str, ...] = get_args(Outcome)
_CHAIN = ("hash", "prev")
_STATES = ("open", "ended", "all")
_LONGEST = 200
_LARGEST, _LAST = 500, 100_000
_LINES = 1000


@dataclass(frozen=True, kw_only=True)
class TableQuery:
    """A page of the table of sandboxes; `search` is text that a name contains."""

    search: str = ""
    status: str = "open"
    profile: str = ""
    group: str = ""
    sort: str = "user"
    descending: bool = False
    page: int = 1
    size: int = 50


@dataclass(frozen=True, kw_only=True)
class DenialQuery:
    """A page of refused hosts; `host` is text that it contains."""

    user: str = ""
    host: str = ""
    code: str = ""
    page: int = 1
    size: int = 50


@dataclass(frozen=True, kw_only=True)
class AuditQuery:
    """Lines of the audit, newest first, below the number `before`; "" and None: whatever it is."""

    user: str = ""
    sandbox: str = ""
    actor: str = ""
    action: str = ""
    outcome: str = ""
    code: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    before: int | None = None

    def takes(self, line: Mapping[str, Any]) -> bool:
        """Is this one of the lines that were asked for, but for its number and time?

        `actor` and `text` are contained, in any case; `text` in anything but the chain's hashes.
        """
        subject = line["subject"]
        exact = (
            (self.user, subject["user"]),
            (self.sandbox, subject["sandbox"]),
            (self.action, line["action"]),
            (self.outcome, line["outcome"]),
            (self.code, line.get("code", "")),
        )
        if not all(wanted in ("", found) for wanted, found in exact):
            return False
        if self.actor.casefold() not in str(line["actor"]).casefold():
            return False
        return not self.text or self.text.casefold() in " ".join(_texts(line)).casefold()

    def words(self) -> tuple[bytes, ...]:
        """What a line must hold as it stands in the file: by it most lines are passed over unread."""
        named = (self.user, self.sandbox, self.action, self.code, self.outcome)
        return tuple(json.dumps(word, ensure_ascii=False).encode() for word in named if word)


def read_table(query: Mapping[str, str]) -> TableQuery:
    """Raises ConfigurationError `wire.invalid` that names the parameter; so do the others."""
    _known(query, ("search", "status", "profile", "group", "sort", "order", "page", "size"))
    return TableQuery(
        search=_text(query, "search"),
        status=_word(query, "status", _STATES, "open"),
        profile=_text(query, "profile"),
        group=_text(query, "group"),
        sort=_word(query, "sort", SORTS, "user"),
        descending=_word(query, "order", ("asc", "desc"), "asc") == "desc",
        page=_number(query, "page", 1, _LAST),
        size=_number(query, "size", 50, _LARGEST),
    )


def read_denials(query: Mapping[str, str]) -> DenialQuery:
    """A question for refused hosts."""
    _known(query, ("user", "host", "code", "page", "size"))
    return DenialQuery(
        user=_text(query, "user"),
        host=_text(query, "host"),
        code=_text(query, "code"),
        page=_number(query, "page", 1, _LAST),
        size=_number(query, "size", 50, _LARGEST),
    )


def read_audit(query: Mapping[str, str]) -> AuditQuery:
    """A question for lines of the audit."""
    names = ("user", "sandbox", "actor", "action", "code", "text")
    _known(query, (*names, "outcome", "since", "until", "limit", "before"))
    texts = {name: _text(query, name) for name in names}
    return AuditQuery(
        **texts,
        outcome=_word(query, "outcome", ("", *AUDIT_OUTCOMES), ""),
        since=_instant(query, "since"),
        until=_instant(query, "until"),
        limit=_number(query, "limit", 100, _LINES),
        before=_number(query, "before", 1, 1 << 62) if query.get("before") else None,
    )


def _texts(thing: Any) -> Iterator[str]:
    """Everything in a line that is text or a number."""
    if isinstance(thing, Mapping):
        for name, item in thing.items():
            if name not in _CHAIN:
                yield from _texts(item)
    elif isinstance(thing, (list, tuple)):
        for item in thing:
            yield from _texts(item)
    else:
        yield str(thing)


def pages_of(total: int, size: int) -> int:
    """How many pages there are; one where there is nothing."""
    return max(1, -(-total // size))


def _known(query: Mapping[str, str], names: Collection[str]) -> None:
    for name in query:
        if name not in names:
            raise _wrong(name, query[name], "is not asked for here", f"Known: {', '.join(sorted(names))}.")


def _text(query: Mapping[str, str], name: str) -> str:
    return check_text(name, query.get(name, ""))


def check_text(name: str, text: str) -> str:
    """The text, where it may stand in a question. Raises ConfigurationError."""
    if len(text) > _LONGEST:
        raise _wrong(name, text, f"is longer than {_LONGEST} characters", "Write less.")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _wrong(name, text, "holds what no name holds", "Write letters.")
    return text


def _word(query: Mapping[str, str], name: str, known: Collection[str], default: str) -> str:
    text = query.get(name) or default
    if text in known:
        return text
    raise _wrong(name, text, "is not among the words", f"Write one of {', '.join(filter(None, known))}.")


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= most:
        return int(text)
    raise _wrong(name, text, "is not such a number", f"Write a whole number from 1 to {most}.")


def _instant(query: Mapping[str, str], name: str) -> datetime | None:
    """A day (UTC), or an instant as RFC 3339; one without a zone is UTC. `until` a day: with all of it."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if len(text) == 10 and name == "until":
            found += timedelta(days=1)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise _wrong(name, text, "is no time", "Write 2026-11-29 or 2026-11-29T14:00:00Z.") from None


def _wrong(field: str, value: str, what: str, remedy: str) -> ConfigurationError:
    shown = value[:40]
    return ConfigurationError(
        f"{field[:40]}: {shown!r} {what}.", code="wire.invalid", field=field[:40], remedy=remedy
    )
