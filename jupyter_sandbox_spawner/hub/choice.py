"""Did somebody choose a profile now, or is the choice an old one that the hub had saved?

The hub hands both to the spawner in the same attribute. The request that starts the server tells them apart.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["asked_now"]


def asked_now(handler: Any) -> bool:
    """Does the request carry options: form fields, query arguments, or a JSON body with options?

    ref: jupyterhub handlers/pages.py SpawnHandler and apihandlers/users.py UserServerAPIHandler
    """
    request = getattr(handler, "request", None)
    if request is None:
        return False
    if request.method == "GET":
        return bool(set(request.query_arguments) - {"next", "display_name", "_xsrf"})
    if request.body_arguments or request.files:
        return True
    return _options_in_json(request.body) is not None


def _options_in_json(body: bytes) -> object:
    try:
        document = json.loads(body) if body.strip() else None
    except ValueError:
        return None
    if isinstance(document, dict) and {"user_options", "display_name"} & document.keys():
        return document.get("user_options")
    return document
