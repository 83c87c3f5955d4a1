"""What does the server of a sandbox add for JupyterLab? Routes below `sandbox/`; imported when they are used.

Law: nothing here slows a start, and nothing here fails one.
"""

from __future__ import annotations

from typing import Any

__all__ = ["_jupyter_server_extension_points", "_load_jupyter_server_extension"]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """What jupyter_server asks an extension."""
    return [{"module": "jupyter_sandbox_spawner.singleuser.lab"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Add the routes; outside a sandbox they say so."""
    from .handlers import add_to

    add_to(server.web_app, server.log)
