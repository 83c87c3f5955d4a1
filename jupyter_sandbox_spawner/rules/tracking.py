"""Which calls of MLflow may a person make, in whose workspace, and what may a call not say?

Law: what is not listed here is closed; a workspace follows from person and zone, never from the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import RefusedError
from ..names import stable_hash

__all__ = [
    "Call",
    "Visitor",
    "check_workspace",
    "checked_document",
    "decide",
    "foreign_run",
    "refusal",
    "runs_named",
    "workspace_of",
]

_ARTIFACTS = "2.0/mlflow-artifacts/artifacts"
# MLflow takes a call by either name, and by both versions.
_API = re.compile(r"/(?:api|ajax-api)/(.+)")
_VERSIONED = re.compile(r"[23]\.0/mlflow/([a-z-]+)(?:/(.+))?")
# Resources by name, each with its closed list of verbs; None: all that MLflow has.
_RESOURCES: Mapping[str, frozenset[str] | None] = {
    "experiments": None,
    "runs": frozenset(
        (
            *("create", "update", "delete", "restore", "get", "search", "log-metric", "log-parameter"),
            *("set-tag", "delete-tag", "log-batch", "log-model", "log-inputs", "outputs"),
        )
    ),
    "metrics": frozenset(("get-history", "get-history-bulk", "get-history-bulk-interval")),
    "artifacts": frozenset(("list",)),
    "registered-models": None,
    "model-versions": None,
    "logged-models": None,
    "traces": None,
    "datasets": None,
    "server-info": frozenset(("",)),
}
_PLAIN = frozenset(("/version", "/v1/traces"))
# Decoded once by the server; what would mean something else when decoded or joined again is refused.
_UNCLEAR = re.compile(r"[\x00-\x1f\x7f%\\]")
# Where files lie is decided by the server; a client that names a place could name another's.
_PLACES = frozenset(("artifactlocation", "defaultartifactroot", "artifacturi"))
_PLACE_TAGS = frozenset(("mlflow.artifactlocation", "mlflow.trace.archivelocation"))
_OWN_SOURCE = re.compile(r"(?:runs|models):/|mlflow-artifacts:/(?:workspaces/([^/]+)/)?")
_OURS = "sandbox."


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Who is asking, from which sandbox and zone; by the hub's word and the door's. A browser is in none."""

    user: str
    server: str = ""
    sandbox: str = ""
    zone: str = ""

    @property
    def workspace(self) -> str:
        """The person's workspace in the zone."""
        return workspace_of(self.user, self.zone)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that is open. `kind`: a JSON document, an artifact's bytes, neither; a browser's page, file."""

    kind: Literal["json", "artifact", "plain", "page", "file"]
    resource: str = ""
    verb: str = ""


def workspace_of(user: str, zone: str = "") -> str:
    """The workspace of a person in a zone: readable, and no others give the same (MLflow's own pattern)."""
    readable = re.sub(r"[^a-z0-9]+", "-", user.lower())[:24].strip("-")
    own = stable_hash("workspace", user, *([zone] if zone else []), length=16)
    return "-".join(part for part in ("u", readable, zone, own) if part)


def decide(method: str, path: str) -> Call:
    """The call that this decoded path means. Raises RefusedError `tracking.*`."""
    segments = path.split("/")[1:]
    if not path.startswith("/") or _UNCLEAR.search(path) or not {"", ".", ".."}.isdisjoint(segments):
        raise refusal("tracking.bad_path", f"The path {path[:120]!r} can be read in more than one way.")
    if path in _PLAIN:
        return Call(kind="plain")
    api = _API.fullmatch(path)
    rest = api[1] if api else ""
    if rest == _ARTIFACTS or rest.startswith(f"{_ARTIFACTS}/"):
        return _artifact(method, path)
    if rest.startswith("2.0/mlflow-artifacts/"):
        raise refusal(
            "tracking.write_once", "Artifacts go up whole, by PUT, once; nothing else is open here."
        )
    found = _VERSIONED.fullmatch(rest)
    if found is None or found[1] not in _RESOURCES:
        raise _closed(path)
    verbs, verb = _RESOURCES[found[1]], found[2] or ""
    if verbs is not None and verb not in verbs:
        raise _closed(path)
    return Call(kind="json", resource=found[1], verb=verb)


def check_workspace(visitor: Visitor, named: str | None) -> None:
    """A client may name its own workspace or none. Raises RefusedError `tracking.other_workspace`."""
    if named is not None and named.strip() not in ("", visitor.workspace):
        raise refusal(
            "tracking.other_workspace",
            f"The workspace {named[:80]!r} is not yours; yours is {visitor.workspace}.",
        )


def checked_document(visitor: Visitor, call: Call, document: Any) -> dict[str, Any]:
    """The JSON document that MLflow gets, with the server's own tags on a new run.

    Raises RefusedError: `tracking.bad_body`, `.client_place`, `.foreign_source`, `.reserved_tag`.
    """
    if not isinstance(document, dict):
        raise refusal("tracking.bad_body", "The body is not a JSON object.")
    for key, value in _members(document):
        _check_place(key, value)
    source = document.get("source")
    if call.resource == "model-versions" and source is not None:
        _check_source(visitor, source)
    if call.resource == "runs":
        for tag in _tags(document):
            if str(tag).casefold().startswith(_OURS):
                raise refusal(
                    "tracking.reserved_tag", f"Tags that begin with {_OURS!r} are the server's own."
                )
        if call.verb == "create":
            return _with_own_tags(visitor, document)
    return document


def runs_named(call: Call, document: Mapping[str, Any]) -> frozenset[str]:
    """Runs that a new version of a model is said to come from: each must be the visitor's own."""
    if call.resource != "model-versions":
        return frozenset()
    source = str(document.get("source") or "")
    inside = source.removeprefix("runs:/").split("/")[0] if source.startswith("runs:/") else ""
    named = (document.get(key) for key in ("run_id", "runId"))
    return frozenset(str(item) for item in (inside, *named) if item)


def foreign_run(run: str) -> RefusedError:
    """The refusal for a run that is not the visitor's."""
    return refusal("tracking.foreign_source", f"The run {run[:80]!r} is none of yours.")


def refusal(code: str, message: str, status: int = 403) -> RefusedError:
    """A refusal for the person who called."""
    return RefusedError(message, code=code, status=status)


def _artifact(method: str, path: str) -> Call:
    if method not in ("GET", "HEAD", "PUT"):
        raise refusal(
            "tracking.write_once", "Artifacts are kept as they were logged; they cannot be deleted."
        )
    return Call(kind="artifact")


def _closed(path: str) -> RefusedError:
    return refusal("tracking.not_open", f"This part of MLflow is closed here: {path[:120]}.")


def _members(document: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth; strings in lists come with the key ""."""
    pending = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                yield str(key), value
                pending.append(value)
        elif isinstance(item, list):
            pending.extend(item)


def _check_place(key: str, value: Any) -> None:
    plain = key.replace("_", "").casefold()
    tag = {key.casefold(), value.casefold() if isinstance(value, str) else ""} & _PLACE_TAGS
    if (plain in _PLACES and value not in (None, "")) or tag:
        raise refusal(
            "tracking.client_place", f"{key}: where artifacts lie is the server's choice; leave it out."
        )


def _check_source(visitor: Visitor, source: Any) -> None:
    text = str(source)
    found = _OWN_SOURCE.match(text)
    clear = not _UNCLEAR.search(text) and ".." not in text.split("/")
    if found is None or not clear or found[1] not in (None, visitor.workspace):
        raise refusal(
            "tracking.foreign_source",
            f"source: {text[:120]!r} is not a run or model of yours (runs:/..., models:/...).",
        )


def _tags(document: Mapping[str, Any]) -> Iterator[Any]:
    listed = document.get("tags")
    for item in (document, *(listed if isinstance(listed, list) else ())):
        if isinstance(item, dict) and "key" in item:
            yield item["key"]


def _with_own_tags(visitor: Visitor, document: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        "mlflow.user": visitor.user,
        "sandbox.user": visitor.user,
        "sandbox.server": visitor.server,
        "sandbox.id": visitor.sandbox,
    }
    listed = document.get("tags")
    given = listed if isinstance(listed, list) else []
    kept = [item for item in given if not (isinstance(item, dict) and item.get("key") in own)]
    tags = [*kept, *({"key": key, "value": value} for key, value in own.items() if value)]
    named = {key: value for key, value in document.items() if key != "userId"}
    return {**named, "user_id": visitor.user, "tags": tags}
