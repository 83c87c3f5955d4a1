"""How is JupyterLab opened in Chromium, with our extension and without? A server without login, on loopback.

The server of each is the user image of scripts/prepare browser; what the extension asks is answered here, so
that no sandbox is needed and the page has the most to show.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Route, async_playwright

from hub_config.demo.running import VENVS

from .machine import LOOPBACK, free_port, program, until_it_listens
from .row import BenchmarkError

__all__ = ["EXTENSION", "SHARE", "VIEW", "answer", "chromium", "open_lab", "until_restored", "view"]

SHARE = VENVS / "browser/share/jupyter/labextensions"
EXTENSION = "jupyter-sandbox-spawner"
VIEW = "**/sandbox/view*"
_CHROMIUM = "/usr/bin/chromium"
_CONFIG = """
c.ServerApp.ip = "{host}"
c.ServerApp.port = {port}
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.disable_check_xsrf = True
c.ServerApp.root_dir = "{directory}"
c.IdentityProvider.token = ""
c.PasswordIdentityProvider.hashed_password = ""
c.LabApp.expose_app_in_browser = True
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.labextensions_path = ["{extensions}"]
c.LabApp.user_settings_dir = "{directory}/settings"
c.LabApp.workspaces_dir = "{directory}/workspaces"
c.ServerApp.jpserver_extensions = {{"jupyter_sandbox_spawner.singleuser.lab": {with_ours}}}
"""
_PATIENCE = 120_000.0


def view() -> dict[str, Any]:
    """What a server says of a sandbox that has an hour left: labextension/src/view.ts tells the fields."""
    now = datetime.now(timezone.utc)
    at = now.isoformat()
    fine = {"ok": True, "code": "", "message": "", "remedy": "", "since": at}
    refused = {"port": 443, "code": "egress.no_rule", "rule": "", "count": 3, "first_at": at, "last_at": at}
    denied = [{"host": f"host-{number}.example"} | refused for number in range(20)]
    return {
        "now": at,
        "control": fine,
        "broker": fine,
        "sandbox": _sandbox(now),
        "egress": {"allowed": ["packages.example:443"], "denied": denied, "requests": []},
        "secrets": [],
        "experiments": {"part": fine, "here": False, "url": None, "experiment": "", "runs": []},
    }


def _sandbox(now: datetime) -> dict[str, Any]:
    meter = {"soft": False, "label": ""}
    return {
        "id": "sandbox-1",
        "user": "alice",
        "server": "",
        "profile": "small",
        "status": "ready",
        "ready_at": now.isoformat(),
        "runtime": "runc",
        "zone": "default",
        "ending": _ending(now + timedelta(hours=1)),
        "idle_timeout": 3600,
        "keep_until": None,
        "extension": _extension(now + timedelta(hours=2)),
        "stop": None,
        "warnings": [],
        "meters": [
            {"name": "cpu", "used": 0.5, "limit": 2, "unit": "cores", **meter},
            {"name": "memory", "used": 1 << 29, "limit": 1 << 30, "unit": "bytes", **meter},
        ],
        "soft_limits": [],
        "datasets": [],
        "left_out": [],
        "last": None,
    }


def _ending(at: datetime) -> dict[str, Any]:
    return {
        "at": at.isoformat(),
        "kind": "ttl",
        "code": "lifetime.ttl",
        "why": "its time is over",
        "rule": "",
    }


def _extension(until: datetime) -> dict[str, Any]:
    return {
        "possible": True,
        "until": until.isoformat(),
        "code": "",
        "message": "",
        "left": 2,
        "cap": until.isoformat(),
    }


async def answer(route: Route) -> None:
    """Answer a request for the view as a sandbox's server would."""
    await route.fulfill(status=200, content_type="application/json", body=json.dumps(view()))


@asynccontextmanager
async def open_lab(directory: Path, with_ours: bool) -> AsyncIterator[str]:
    """The address of a JupyterLab with all extensions of the room, or all but ours."""
    if not (SHARE / EXTENSION / "package.json").is_file():
        raise BenchmarkError(f"There is no {EXTENSION} in {SHARE}; run: scripts/prepare browser")
    home = directory / ("with" if with_ours else "without")
    extensions = home / "labextensions"
    extensions.mkdir(parents=True)
    for found in SHARE.iterdir():
        if with_ours or found.name != EXTENSION:
            (extensions / found.name).symlink_to(found.resolve())
    port, log, config = free_port(), home / "lab.log", home / "config.py"
    config.write_text(
        _CONFIG.format(host=LOOPBACK, port=port, directory=home, extensions=extensions, with_ours=with_ours)
    )
    command = (str(VENVS / "browser/bin/python"), "-m", "jupyterlab", "--config", str(config))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    async with program(command, log, environment | {"HOME": str(home)}) as process:
        await until_it_listens(port, process, log)
        yield f"http://{LOOPBACK}:{port}"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Debian's browser."""
    if not shutil.which(_CHROMIUM):
        raise BenchmarkError(f"There is no {_CHROMIUM}; run: scripts/prepare browser")
    flags = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=_CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


async def until_restored(page: Page, url: str) -> float:
    """Open JupyterLab; milliseconds since the navigation began until it is restored and can be used."""
    await page.goto(f"{url}/lab", timeout=_PATIENCE, wait_until="commit")
    await page.wait_for_function("window.jupyterapp !== undefined", timeout=_PATIENCE)
    return float(await page.evaluate("window.jupyterapp.restored.then(() => performance.now())"))
