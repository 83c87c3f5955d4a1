"""Which JupyterLab do the tests of the panel open? One without a login, on loopback: for tests only."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import jupyterlab
from jupyterlab.galata import configure_jupyter_server

c: Any = c  # type: ignore[name-defined]  # noqa: F821, PLW0127 - JupyterLab puts it here

configure_jupyter_server(c)
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = int(os.environ["SANDBOX_LAB_PORT"])
c.ServerApp.allow_root = True
# What a hub with subdomains tells the pages of its servers.
_HUB = {"hubHost": "https://hub.example", "hubPrefix": "/hub/", "hubUser": "ada", "hubServerName": ""}
c.ServerApp.tornado_settings = {**c.ServerApp.get("tornado_settings", {}), "page_config_data": _HUB}

# Settings of nobody, and no news from afar.
_settings = Path(tempfile.mkdtemp(prefix="sandbox-lab-settings-"))
_news = _settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
_news.parent.mkdir(parents=True)
_news.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))
c.LabApp.user_settings_dir = str(_settings)

# The extension as it was just built, whichever copy the room has.
_built = Path(__file__).resolve().parents[2] / "jupyter_sandbox_spawner" / "labextension"
_extensions = Path(tempfile.mkdtemp(prefix="sandbox-labextensions-"))
(_extensions / "jupyter-sandbox-spawner").symlink_to(_built)
c.LabServerApp.extra_labextensions_path = [str(_extensions), str(Path(jupyterlab.__file__).parent / "galata")]
