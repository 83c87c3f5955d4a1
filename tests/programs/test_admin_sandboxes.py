"""What happens to running sandboxes when a site stops: kept and taken over, or ended without a trace?"""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import VENVS
from tests.programs.admin_run import AdminRun, site_directory

pytestmark = [pytest.mark.lane("root", "runc", "npm", "userenv"), pytest.mark.timeout(300)]

SERVICE = """
c.JupyterHub.services.append({{"name": "tests", "api_token": {token!r}}})
scopes = ["admin:users", "admin:servers", "access:servers"]
c.JupyterHub.load_roles.append({{"name": "tests", "scopes": scopes, "services": ["tests"]}})
"""


class Site(AdminRun):
    """A run whose hub can be asked by a service's token."""

    def __init__(self, top: Path) -> None:
        self.token = secrets.token_hex(16)
        super().__init__(top, more=SERVICE.format(token=self.token), prefix=str(VENVS / "user"))

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request through the proxy."""
        url = self.wait_for(r"^ready at (\S+)/$")[-1] + path
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return int(answer.status), json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def spawn(self, user: str) -> None:
        """Start a server and wait until it is ready; the hub gives an API caller no event."""
        assert self.ask("POST", f"/hub/api/users/{user}")[0] == 201
        assert self.ask("POST", f"/hub/api/users/{user}/server", {"profile": "cpu-small"})[0] in (201, 202)
        deadline = time.monotonic() + 100
        while not self.ask("GET", f"/hub/api/users/{user}")[1]["servers"][""]["ready"]:
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.2)


@pytest.fixture
def site(evidence: Callable[[str, Callable[[], str]], Callable[[], None]]) -> Iterator[Site]:
    """A site that nobody has started yet."""
    run = Site(site_directory())
    forget = evidence("output and logs of the run", lambda: run.text() + run.logs())
    yield run
    forget()
    run.erase()


def test_a_kept_sandbox_is_taken_over_and_ends_with_the_next_run(
    site: Site, control: Callable[[str, bool], None]
) -> None:
    """With --keep-sandboxes a server answers again after the restart of everything; without it, it ends."""
    site.start("--keep-sandboxes")
    site.spawn("ann")
    status, first = site.ask("GET", "/user/ann/api/status")
    control("the server answers before the restart", status == 200)
    assert site.stop() == 0
    site.start()
    site.wait_for(r"^ready at ")
    status, second = site.ask("GET", "/user/ann/api/status")
    assert status == 200, second
    assert second["started"] == first["started"]
    assert site.stop() == 0
    assert "1 sandbox ended" in site.text()
    assert not (site.top / "run").exists()
    assert str(site.top) not in Path("/proc/self/mountinfo").read_text()
