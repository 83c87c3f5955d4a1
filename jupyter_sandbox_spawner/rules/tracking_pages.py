"""What may a person's browser do with MLflow's pages, and was it this site's own page that asked? (pure)

Law: a page gets the calls of a notebook and some that only read; nothing is changed for another's page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .page_requests import is_own_page
from .tracking import Call, decide, refusal

__all__ = ["ACCESS_SCOPE", "SERVER_INFO", "SERVICE", "check_sender", "decide_page", "policy"]

SERVICE = "mlflow"
ACCESS_SCOPE = f"access:services!service={SERVICE}"
SERVER_INFO = "/ajax-api/3.0/mlflow/server-info"
_STATIC = "/static-files/"
# Files of runs, models and traces, as the pages ask for them.
_FILES = re.compile(r"/(?:model-versions/)?get-artifact|/ajax-api/[23]\.0/mlflow/get-trace-artifact")
_READ = ("GET", "HEAD")
# MLflow's own script asks for nothing outside (seen in Chromium, charts too). A frame shows a run's file.
_PAGE = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "frame-src 'self' blob: data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# Whatever somebody has logged as an artifact, no script of it runs with this site's cookies.
_FILE = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'self'"


def decide_page(method: str, path: str) -> Call:
    """The call that this decoded path below the service's prefix means. Raises RefusedError `tracking.*`."""
    if method in _READ and (path == "/" or (path.startswith(_STATIC) and ".." not in path)):
        return Call(kind="page")
    if method in _READ and _FILES.fullmatch(path):
        return Call(kind="file")
    if method == "POST" and path == "/graphql":
        return Call(kind="json", resource="graphql")
    return decide(method, path)


def policy(call: Call) -> str:
    """The content security policy of the answer."""
    return _FILE if call.kind in ("file", "artifact") else _PAGE


def check_sender(method: str, headers: Mapping[str, str]) -> None:
    """Raises RefusedError `tracking.foreign_page` where another site's page sent it, or may have."""
    if not is_own_page(method, headers):
        raise refusal("tracking.foreign_page", "Another site's page asked for this; open MLflow's own page.")
