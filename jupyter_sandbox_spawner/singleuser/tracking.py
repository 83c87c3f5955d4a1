"""Where do this notebook's runs go, and does MLflow answer now? Asked by the way that MLflow takes.

Law: neither this module nor anything it imports imports mlflow, which costs seconds.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import AnswerError, RefusedError, UnreachableError
from .door import check_inside
from .mlflow_auth import HOST
from .view import Shown, Table

__all__ = ["Tracking", "call", "tracking"]

_PATIENCE = 5.0  # seconds
_MOST_BYTES = 4 << 20
_URI = f"http://{HOST}"
_REMEDY = "Try again in a minute; your kernels and files are not affected. Tell the hub's admin if it stays."


@dataclass(frozen=True, kw_only=True, repr=False)
class Tracking(Shown):
    """Where runs go. `workspace` is empty where MLflow is not this hub's."""

    uri: str
    workspace: str
    user: str
    experiment: str
    pages: str = ""

    def blocks(self) -> Iterator[str | Table]:
        """One table, or the sentence that there is none."""
        if not self.uri:
            yield "This hub has no MLflow, and MLFLOW_TRACKING_URI is not set: MLflow would write files here."
            return
        if not self.workspace:
            yield f"MLFLOW_TRACKING_URI is {self.uri}, which is not this hub's MLflow."
            return
        yield Table(
            [
                ("Server", f"{self.uri}, answers"),
                ("Workspace", f"{self.workspace}, of {self.user} alone"),
                ("Experiment", self.experiment or "the one that mlflow.set_experiment() names"),
                *([("In a browser", self._pages())] if self.pages else []),
            ]
        )
        yield "Nothing has to be set up: import mlflow; mlflow.start_run()"

    def _pages(self) -> str:
        """Where a person clicks; a path where the site does not know the address that browsers use."""
        return f"{self.pages} at the hub's address" if self.pages.startswith("/") else self.pages


def tracking(patience: float = _PATIENCE) -> Tracking:
    """Raises SandboxError: `sandbox.outside`, `tracking.away`, or what MLflow's guard refuses."""
    check_inside()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    if uri != _URI:
        return Tracking(uri=uri, workspace="", user="", experiment=experiment)
    document = call("/sandbox/self", None, patience)
    return Tracking(
        uri=uri,
        workspace=str(document.get("workspace", "")),
        user=str(document.get("user", "")),
        experiment=experiment,
        pages=str(document.get("pages", "")),
    )


def call(path: str, body: Mapping[str, Any] | None, patience: float) -> dict[str, Any]:
    """The document at a path of this hub's MLflow; a body makes it a POST. Raises SandboxError."""
    proxy = urlsplit(os.environ.get("HTTP_PROXY", "http://127.0.0.1:3128"))
    headers = {"Authorization": f"Bearer {check_inside()}"}
    raw = None
    if body is not None:
        raw, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    connection = http.client.HTTPConnection(proxy.hostname or "127.0.0.1", proxy.port or 80, timeout=patience)
    try:
        connection.request("GET" if raw is None else "POST", f"{_URI}{path}", raw, headers)
        answer = connection.getresponse()
        content = answer.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _away(f"MLflow does not answer ({type(error).__name__}).") from error
    finally:
        connection.close()
    return _document(answer.status, content)


def _document(status: int, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise AnswerError(
            f"The answer of MLflow's guard (HTTP {status}) is not one this version understands.",
            code="door.unreadable",
            remedy="Run %sandbox doctor, and tell the hub's admin.",
        )
    if status == 200:
        return document
    # MLflow itself says `error_code`, as for an experiment that is not there yet.
    said = document.get("code") or document.get("error_code") or "tracking.away"
    code, message = str(said), str(document.get("message") or "")
    if status >= 500 or code in ("tracking.away", "hub.unreachable"):
        raise _away("MLflow does not answer now; it may be starting, which takes half a minute.")
    raise RefusedError(message, code=code, status=status)


def _away(message: str) -> UnreachableError:
    return UnreachableError(message, code="tracking.away", remedy=_REMEDY)
