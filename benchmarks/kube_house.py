"""How is the product run on a cluster from here? Its programs on this machine, as beside each other in pods.

Pods reach the gateway's wires by the host's address in the cluster's network; hub, proxy, control and the
launcher meet at their unix sockets, so wires between programs, which a start meets in each of its calls on a
whole cluster, are not part of what is measured.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hub_config.demo.authenticator import USERS_VARIABLE, write_users
from hub_config.demo.running import CHECKOUT, VENVS
from hub_config.demo.visitor import Visitor
from hub_config.kubernetes.cluster.own_cluster import OwnCluster
from jupyter_sandbox_spawner.admin.certificate_files import make
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite, WiresSite
from jupyter_sandbox_spawner.settings import SITE_VARIABLE, Environment, Site, write_site
from jupyter_sandbox_spawner.setup_services import CONTROL_TOKEN

from .kube_cluster import RESTRICTED, make_namespaces
from .machine import LOOPBACK, free_port, program, until_it_listens
from .peer_hub import until_it_serves

__all__ = ["HOME_SIZE", "MEMORY", "USER_PREFIX", "open_kube_hub"]

USER_PREFIX = "/opt/jupyter"  # of the image that build-images makes
HOME_SIZE = MEMORY = 1 << 30
_PODS, _PROGRAMS = "bench-pods", "bench-programs"
_CLOSED = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed", "namespace": _PODS},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
_PROFILES = """
- display_name: CPU small
  slug: cpu-small
  default: true
  sandbox: {cpu: 1, memory: 1G, pids: 256, disk: 1G, egress: [pypi.org]}
"""
_CONFIGURATION = """
import json
import os
from pathlib import Path

from hub_config.demo.authenticator import use_demo_login
from jupyter_sandbox_spawner.settings import Environment
from jupyter_sandbox_spawner.setup_hub import setup_hub

c = get_config()  # noqa: F821 (given by traitlets)
use_demo_login(c, os.environ["SANDBOX_DEMO_USERS"])
site = json.loads(Path(os.environ["JUPYTER_SANDBOX_SITE"]).read_text())
images = {name: Environment(**place) for name, place in site.pop("environments").items()}
# Here the gateway is no pod, and is told from others by its address; the hub has no use for either.
site["kubernetes"]["gateway_labels"] = {"is": "no-pod"}
for derived in ("own_service_hosts", "source_of_hosts", "tracking_url", "subdomain_host"):
    site.pop(derived, None)
setup_hub(c, environments=images, **site)
"""
# In the order in which they need each other; broker and MLflow have no part in a start without secrets.
_OURS = ("launcher", "gateway", "wires", "control")


@asynccontextmanager
async def open_kube_hub(
    directory: Path, cluster: OwnCluster, images: Mapping[str, str], user_name: str
) -> AsyncIterator[Visitor]:
    """Run it while the block lasts; gives its only user at a browser, logged in."""
    await make_namespaces(cluster, {_PODS: RESTRICTED, _PROGRAMS: {}})
    await asyncio.to_thread(cluster.apply, _CLOSED)
    site = _prepare(directory, cluster, images)
    password, tokens = secrets.token_urlsafe(12), (secrets.token_hex(32), secrets.token_hex(32))
    write_users(directory / "users.json", {user_name: {"password": password}})
    _private(Path(site.run_dir, "control.token"), tokens[0])
    environment = _environment(directory, cluster, tokens)
    proxy = [str(VENVS / "proxy/node_modules/.bin/configurable-http-proxy"), f"--ip={LOOPBACK}"]
    proxy += [f"--port={site.public_port}", f"--api-ip={LOOPBACK}", f"--api-port={site.proxy_api_port}"]
    async with AsyncExitStack() as stack:
        for name in _OURS:
            await _start(stack, directory, name, (site, environment))
        log = directory / "proxy.log"
        process = await stack.enter_async_context(program(proxy, log, environment))
        await until_it_listens(site.public_port, process, log)
        log = directory / "hub.log"
        hub = (sys.executable, "-m", "jupyterhub", "-f", str(directory / "jupyterhub_config.py"))
        await stack.enter_async_context(program(hub, log, environment))
        base = f"http://{LOOPBACK}:{site.public_port}/"
        visitor = await stack.enter_async_context(Visitor(base, user_name, password))
        await until_it_serves(visitor, log)
        await visitor.login()
        yield visitor


async def _start(
    stack: AsyncExitStack, directory: Path, name: str, how: tuple[Site, Mapping[str, str]]
) -> None:
    """One of our programs, until it answers at its socket."""
    site, environment = how
    words = [sys.executable, "-m", f"jupyter_sandbox_spawner.{name}", "--site", f"{directory}/site.json"]
    words += ["--program", "gateway"] if name == "wires" else []
    sockets = {"wires": "pods", "control": "control-hub"}
    log = directory / f"{name}.log"
    process = await stack.enter_async_context(program(words, log, environment))
    await until_it_listens(site.socket_path(sockets.get(name, name)), process, log)


def _prepare(directory: Path, cluster: OwnCluster, images: Mapping[str, str]) -> Site:
    """Directories, certificates, site.json and the hub's configuration file."""
    for name in ("run", "run/control", "state", "state/hub"):
        (directory / name).mkdir(mode=0o700)
    papers = directory / "certificates"
    make(papers, _PROGRAMS, {}, datetime.now(timezone.utc))
    site = _site(directory, cluster, images)
    write_site(directory / "site.json", site)
    (directory / "profiles.yaml").write_text(_PROFILES)
    (directory / "jupyterhub_config.py").write_text(_CONFIGURATION)
    return site


def _site(directory: Path, cluster: OwnCluster, images: Mapping[str, str]) -> Site:
    here = cluster.layout.host_address
    papers = directory / "certificates/gateway"
    names = ("public_port", "hub_port", "proxy_api_port", "front_port", "control_port", "port", "pods_port")
    ports: dict[str, Any] = {name: free_port() for name in names}
    wires = WiresSite(certificates=str(papers), port=ports.pop("port"), pods_port=ports.pop("pods_port"))
    places: dict[str, Any] = {
        "listen_host": here,
        "hosts": dict.fromkeys(("hub", "gateway", "control"), here),
    }
    return Site(
        run_dir=str(directory / "run"),
        state_dir=str(directory / "state"),
        profiles=str(directory / "profiles.yaml"),
        **ports,
        **places,
        environments={"default": Environment(prefix=USER_PREFIX, image=images["user"])},
        uid_base=10_000,
        uid_count=50_000,
        backend="kubernetes",
        wires=wires,
        kubernetes=KubernetesSite(
            namespace=_PODS,
            gateway_name="gateway",
            gateway_address=here,
            gateway_namespace=_PROGRAMS,
            gateway_labels={},
            link_image=images["link"],
            authority=str(papers / "ca.pem"),
            home_size=HOME_SIZE,
            host_users="allowed",
            pull_policy="Never",
        ),
    )


def _environment(directory: Path, cluster: OwnCluster, tokens: tuple[str, str]) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "JUPYTERHUB_API_TOKEN"}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(CHECKOUT),
        "KUBECONFIG": str(cluster.layout.kubeconfig),
        SITE_VARIABLE: str(directory / "site.json"),
        USERS_VARIABLE: str(directory / "users.json"),
        CONTROL_TOKEN: tokens[0],
        "CONFIGPROXY_AUTH_TOKEN": tokens[1],
    }


def _private(file: Path, text: str) -> None:
    file.touch(0o600)
    file.write_text(text)
