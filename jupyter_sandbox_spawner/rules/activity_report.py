"""What would the hub answer to a server that posts its activity? The gateway answers in its place.

Law: nothing of what a sandbox says of its own activity is kept; what the hub is told is measured by us.
ref: jupyterhub/apihandlers/users.py, ActivityAPIHandler and _parse_timestamp (the same in 5.5 and 6.1)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

__all__ = ["Reply", "reply_to"]

_AHEAD = timedelta(minutes=59)
_SHOWN = 200  # characters of what a sandbox wrote that it gets back
_SHAPE = "servers must be a dict of the form {server_name: {last_activity: timestamp}}"
_MISSING = "body must contain at least one of `last_activity` or `servers`"


@dataclass(frozen=True)
class Reply:
    """Status and body (JSON, or nothing)."""

    status: int
    body: bytes = b""


class _BadError(Exception):
    """The hub would answer 400 with this sentence."""


def reply_to(body: bytes, user: str, server: str, now: datetime) -> Reply:
    """The hub's answer to this body from `server` of `user`: of no other server is anything taken."""
    try:
        _check(body, user, server, now)
    except _BadError as error:
        return Reply(400, json.dumps({"status": 400, "message": str(error)}).encode())
    return Reply(200)


def _check(body: bytes, user: str, server: str, now: datetime) -> None:
    document = _parsed(body)
    if not isinstance(document, dict):
        raise _BadError("body must be a json dict")
    own, servers = document.get("last_activity"), document.get("servers")
    if not own and not servers:
        raise _BadError(_MISSING)
    if servers:
        _check_servers(servers, user, server, now)
    if own:
        _check_timestamp(own, now)


def _parsed(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body.strip().decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise _BadError("Invalid JSON in body of request") from None


def _check_servers(servers: Any, user: str, server: str, now: datetime) -> None:
    if not isinstance(servers, dict):
        raise _BadError(_SHAPE)
    for name, said in servers.items():
        if name != server:
            raise _BadError(f"No such server '{name[:_SHOWN]}' for user {user}")
        if not isinstance(said, dict) or "last_activity" not in said:
            raise _BadError(_SHAPE)
        _check_timestamp(said["last_activity"], now)


def _check_timestamp(text: Any, now: datetime) -> None:
    try:
        instant = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
        naive = instant.tzinfo is None
        instant = instant.replace(tzinfo=timezone.utc) if naive else instant.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError, KeyError):
        raise _BadError(f"Not a valid timestamp: {repr(text)[:_SHOWN]}") from None
    if instant - now > _AHEAD:
        said = instant.replace(tzinfo=None).isoformat()
        raise _BadError(f"Rejecting activity from more than an hour in the future: {said}Z")
