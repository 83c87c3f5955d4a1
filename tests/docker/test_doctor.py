"""Does doctor see whether a site's Docker daemon can hold sandboxes?"""

from __future__ import annotations

from pathlib import Path

from jupyter_sandbox_spawner.admin.docker_findings import docker_findings
from jupyter_sandbox_spawner.admin.finding import Finding
from jupyter_sandbox_spawner.settings import Environment, Site

from .daemon import IMAGE, PREFIX, Daemon


def found(socket: str, backend: str = "docker") -> dict[str, Finding]:
    """Findings by name for a site with one image that is here and one that is not."""
    site = Site(
        run_dir="/run/x",
        state_dir="/srv/x",
        profiles="",
        public_port=0,
        hub_port=0,
        proxy_api_port=0,
        front_port=0,
        backend=backend,  # type: ignore[arg-type]
        docker_socket=socket,
        environments={
            "here": Environment(image=IMAGE, prefix=PREFIX),
            "away": Environment(image="no-such/image:1", prefix=PREFIX),
        },
    )
    return {finding.name: finding for finding in docker_findings(site)}


def test_daemon_and_images(daemon: Daemon) -> None:
    """The daemon's version and security are told; an image that is not here comes with the command."""
    findings = found(daemon.socket)
    assert findings["docker"].fine
    assert findings["docker security"].fine
    assert findings["image here"].fine
    assert not findings["image away"].fine
    assert findings["image away"].remedy == "docker pull no-such/image:1"


def test_no_daemon(tmp_path: Path) -> None:
    """A socket that nobody answers is one finding with its remedy."""
    (finding,) = found(str(tmp_path / "docker.sock")).values()
    assert not finding.fine
    assert "does not answer" in finding.seen
    assert finding.remedy


def test_other_backends() -> None:
    """A site without Docker is not asked about it."""
    assert found("/nowhere", "local") == {}
