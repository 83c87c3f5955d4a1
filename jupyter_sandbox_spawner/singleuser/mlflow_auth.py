"""How does MLflow's client say who it is? With the server's hub token, read anew for each request.

Law: the token goes to the hub's own MLflow and to no other host, wherever a notebook points MLflow.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

__all__ = ["HOST", "SandboxAuth"]

HOST = "mlflow.sandbox.internal"


class SandboxAuth:
    """MLflow's plug-in for MLFLOW_TRACKING_AUTH=sandbox (entry point mlflow.request_auth_provider)."""

    def get_name(self) -> str:
        """What MLFLOW_TRACKING_AUTH names it by."""
        return "sandbox"

    def get_auth(self) -> Any:
        """What requests calls with each request that is about to go out."""
        return _with_token


def _with_token(request: Any) -> Any:
    address = urlsplit(request.url)
    token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if token and (address.scheme, address.hostname, address.port or 80) == ("http", HOST, 80):
        request.headers["Authorization"] = f"Bearer {token}"
    return request
