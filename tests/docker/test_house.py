"""Does the whole product work on Docker? A real hub, gateway, control and launcher, two users."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub_config.demo.upstream import GREETING, MIRROR_HOST
from tests.support.house import House, open_house

from .bench import container_cgroups
from .daemon import IMAGE, Daemon

pytestmark = pytest.mark.lane("docker", "npm", "hub6")
Control = Callable[[str, bool], None]


@pytest.fixture(scope="module")
def house(
    daemon: Daemon, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[House]:
    """The product with the Docker backend; its end is checked, on the machine and at the daemon."""
    container = daemon.ask("create", "--network=none", IMAGE, "/bin/true").strip()
    daemon.ask("commit", "--change", "ENV FROM_IMAGE=yes HOME=/root", container, "with-env:test")
    daemon.ask("rm", container)
    variables = {
        "SANDBOX_BACKEND": "docker",
        "SANDBOX_IMAGE": "with-env:test",
        "DOCKER_HOST": f"unix://{daemon.socket}",
    }
    with open_house(variables=variables) as opened:
        forget = evidence("the house's programs", opened.running.log)
        yield opened
        forget()
    assert daemon.ask("ps", "--all", "--quiet") == ""
    assert container_cgroups(daemon) == []


@pytest.mark.proves("E07", "E08", "C03")
def test_a_users_day(house: House, daemon: Daemon, control: Control) -> None:
    """Login, start, a cell, an allowed and a refused host, no network, stop: and nothing is left."""
    began = time.monotonic()
    sandbox = house.server("alice")
    print(f"ready after {time.monotonic() - began:.1f} s")
    body = f"""
import urllib.request
attempt("allowed", lambda: urllib.request.urlopen("http://{MIRROR_HOST}/", timeout=20).read().decode())
attempt("refused", lambda: urllib.request.urlopen("http://example.com/", timeout=20))
attempt("direct", lambda: socket.create_connection(("1.1.1.1", 443), 3))
attempt("write home", lambda: open("/home/jovyan/mine", "w").write("x"))
attempt("write root", lambda: open("/usr/mine", "w"))
attempt("token", lambda: os.environ.get("JUPYTERHUB_API_TOKEN", ""))
names = ("FROM_IMAGE", "HOME", "JUPYTER_IMAGE_SPEC")
attempt("environment", lambda: [os.environ.get(name) for name in names])
attempt("who", lambda: os.popen("whoami").read().strip())
"""
    seen = house.attack("alice", body)
    control("the allowed host answers", seen["allowed"].get("value") == GREETING)
    control("the home can be written", seen["write home"]["ok"])
    assert "403" in seen["refused"]["text"]
    assert seen["direct"]["errno"] == "ENETUNREACH"
    assert seen["write root"]["errno"] == "EROFS"
    assert seen["who"]["value"] == "jovyan"
    assert seen["environment"]["value"] == ["yes", "/home/jovyan", "with-env:test"]
    shown = daemon.ask("inspect", f"jupyter-sandbox-spawner-{sandbox}")
    assert json.loads(shown)[0]["HostConfig"]["NetworkMode"] == "none"
    token = seen["token"].get("value")
    assert not token or token not in shown
    house.stop("alice")
    assert daemon.ask("ps", "--all", "--quiet") == ""
    assert house.inventory() == ()
    assert sandbox not in Path("/proc/self/mountinfo").read_text()
    assert sandbox not in Path("/proc/net/unix").read_text()
    assert list(house.running.run_dir.rglob(f"*{sandbox}*")) == []


@pytest.mark.proves("O04")
def test_two_users(house: House, daemon: Daemon, control: Control) -> None:
    """Two users' containers have uids of their own; neither sees the other's files."""
    house.run("alice", "open('/home/jovyan/secret', 'w').write('of alice')")
    seen = house.attack(
        "bob", "attempt('home', lambda: os.listdir('/home/jovyan'))\nattempt('uid', os.getuid)"
    )
    other = house.attack(
        "alice", "attempt('home', lambda: os.listdir('/home/jovyan'))\nattempt('uid', os.getuid)"
    )
    control("alice sees her file", "secret" in other["home"]["value"])
    assert "secret" not in seen["home"]["value"]
    assert seen["uid"]["value"] != other["uid"]["value"]
    assert len(daemon.ask("ps", "--quiet").split()) == 2
