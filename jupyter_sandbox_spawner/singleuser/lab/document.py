"""What is the document of `GET sandbox/view`? What each part said last, as labextension/src/view.ts has it.

Law: every text is bounded and on one line, and what no part has said is null or empty, never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ...errors import SandboxError
from ..egress_answers import Egress
from ..plain_text import plain
from ..questions import time_left
from ..secret_answers import GrantedSecret, SecretList
from .experiments import Found

__all__ = ["egress_view", "experiments_view", "part_view", "sandbox_view", "secrets_view", "stamp"]

_Document = Mapping[str, Any]
_MOST = 200  # items of a list


def stamp(instant: datetime | None) -> str | None:
    """RFC 3339 with milliseconds."""
    if instant is None:
        return None
    return instant.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def part_view(error: SandboxError | None, heard: float | None) -> dict[str, Any]:
    """How a part answered, and when it was last heard if it does not now."""
    since = None if error is None or heard is None else datetime.fromtimestamp(heard, timezone.utc)
    return {
        "ok": error is None,
        "code": error.code if error else "",
        "message": plain(error.message) if error else "",
        "remedy": plain(error.remedy) if error else "",
        "since": stamp(since),
    }


def sandbox_view(document: _Document, meters: Sequence[_Document]) -> dict[str, Any]:
    """Control's word on this sandbox. Raises what a document of another version makes it raise."""
    return {
        "id": plain(document["id"]),
        "user": plain(document["user"]),
        "server": plain(document["server"]),
        "profile": plain(document["profile"]),
        "status": "running" if document["status"] == "ready" else plain(document["status"]),
        "ready_at": document.get("ready_at"),
        "runtime": plain(document.get("runtime") or ""),
        "zone": plain(document.get("zone") or ""),
        "ending": _ending(document),
        "idle_timeout": document.get("idle_timeout"),
        "keep_until": document.get("keep_until"),
        "extension": _extension(document["extension"]),
        "stop": _stop(document.get("stop")),
        "warnings": [_warning(item) for item in (document.get("warnings") or ())[:_MOST]],
        "meters": list(meters),
        "soft_limits": [plain(name) for name in document.get("soft_limits") or ()],
        "datasets": [_dataset(item) for item in (document.get("datasets") or ())[:_MOST]],
        "left_out": [
            {name: plain(item[name]) for name in ("name", "code", "why")}
            for item in (document.get("left_out") or ())[:_MOST]
        ],
        "last": _last(document.get("last")),
    }


def _ending(document: _Document) -> dict[str, Any]:
    left, lifetime = time_left(document), document.get("lifetime") or {}
    return {
        "at": stamp(left.expires_at),
        "kind": left.kind,
        "code": plain(lifetime.get("code") or ""),
        "why": plain(left.reason().removeprefix("because ")),
        "rule": plain(left.rule),
    }


def _extension(item: _Document) -> dict[str, Any]:
    return {
        "possible": bool(item["possible"]),
        "until": item["until"],
        "code": plain(item.get("code") or ""),
        "message": plain(item.get("message") or ""),
        "left": item.get("left"),
        "cap": item.get("cap"),
    }


def _stop(item: _Document | None) -> dict[str, Any] | None:
    if not item:
        return None
    actor = item.get("actor")
    return {
        "code": plain(item["code"]),
        "why": plain(item.get("why") or ""),
        "actor": None if actor is None else plain(actor),
        "decided_at": item.get("decided_at"),
    }


def _warning(item: _Document) -> dict[str, Any]:
    code = plain(item["code"])
    return {
        "id": item.get("id"),
        "kind": code.rpartition(".")[2],
        "code": code,
        "why": plain(item["why"]),
        "at": item["at"] or item["told_at"],
        "told_at": item["told_at"],
    }


def _dataset(item: _Document) -> dict[str, Any]:
    return {
        "name": plain(item["name"]),
        "tags": [plain(tag) for tag in item["tags"]],
        "path": plain(item["path"]),
        "read_only": bool(item["read_only"]),
        "purpose": plain(item["purpose"]),
    }


def _last(item: _Document | None) -> dict[str, Any] | None:
    stop = (item or {}).get("stop")
    if not item or not stop:
        return None
    return {
        "why": plain(stop.get("why") or stop["code"]),
        "at": item.get("released_at") or stop.get("decided_at"),
    }


def egress_view(found: Egress | None) -> dict[str, Any]:
    """Rules, denials and requests."""
    if found is None:
        return {"allowed": [], "denied": [], "requests": []}
    return {
        "allowed": [plain(rule) for rule in found.allowed],
        "denied": [
            {
                "host": plain(item.host),
                "port": item.port,
                "code": plain(item.code),
                "rule": plain(item.rule),
                "count": item.count,
                "first_at": stamp(item.first_at),
                "last_at": stamp(item.last_at),
            }
            for item in found.denied[:_MOST]
        ],
        "requests": [
            {
                "id": item.id,
                "host": plain(item.host),
                "port": item.port,
                "why": plain(item.why),
                "status": plain(item.status),
                "asked_at": stamp(item.asked_at),
                "decided_at": stamp(item.decided_at),
                "answer": plain(item.answer),
                "scope": item.scope,
                "until": stamp(item.until),
                "here": item.here,
            }
            for item in found.requests[:_MOST]
        ],
    }


def secrets_view(found: SecretList | None) -> list[dict[str, Any]]:
    """Names and ends of secrets, and the line that reads each; never a value."""
    return [
        {
            "name": plain(item.name),
            "kind": plain(item.kind),
            "source": plain(item.granted_by),
            "expires_at": stamp(item.expires_at),
            "line": plain(_line(item)),
            "reason": plain(_obstacle(item, found)) if found else "",
        }
        for item in (found.items[:_MOST] if found else ())
    ]


def _line(item: GrantedSecret) -> str:
    name = json.dumps(item.name)
    if item.kind == "vault":
        return f"import jupyter_sandbox; jupyter_sandbox.secrets.vault({name})"
    if item.delivery == "proxy":
        return f"import jupyter_sandbox; address = jupyter_sandbox.secrets.status().proxies[{name}]"
    return f"import jupyter_sandbox; secret = jupyter_sandbox.secrets({name})"


def _obstacle(item: GrantedSecret, found: SecretList) -> str:
    if not found.store.ok:
        return found.store.sentence()
    if item.stored is None:
        return "The store cannot say now whether it is there."
    return "" if item.stored else "It is granted, and nobody has stored it yet."


def experiments_view(part: _Document, found: Found | None) -> dict[str, Any]:
    """Where runs go, and the latest."""
    return {
        "part": part,
        "here": found.here if found else False,
        "url": found.url if found else None,
        "experiment": plain(found.experiment) if found else "",
        "runs": [
            {
                "name": plain(run.name),
                "status": plain(run.status),
                "started_at": stamp(run.started_at),
                "url": run.url,
            }
            for run in (found.runs if found else ())
        ],
    }
