"""What does a user read when a cluster is not set up rightly? A real hub, control and launcher on a real one.

The launcher is a process of its own under the shipped Role, so that it may do what it may do anywhere. The
gateway is a stand-in: nothing of what is tried here gets as far as asking it for more than doors.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.admin.certificate_files import make
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite, WiresSite
from jupyter_sandbox_spawner.names import LABEL_OWNER
from jupyter_sandbox_spawner.settings import Environment, Site
from tests.hub.hub_process import HubProcess, run_hub
from tests.support.cluster import Cluster

from .images import LINK_IMAGE, PREFIX
from .shipped import Manifest, rendered

__all__ = ["Rehearsal", "rehearsal"]

PROFILES = """
- {display_name: Tiny, slug: tiny, default: true, sandbox: {cpu: 0.1, memory: 64M}}
- {display_name: Huge, slug: huge, sandbox: {cpu: 500, memory: 64M}}
- {display_name: Absent, slug: absent, sandbox: {cpu: 0.1, memory: 64M, environment: absent}}
"""
_KINDS = "pods,secrets,networkpolicies,persistentvolumeclaims"


class LauncherProcess:
    """The launcher program, by a kubeconfig of its ServiceAccount; `said` is its log."""

    def __init__(self, cluster: Cluster, programs: str, directory: Path) -> None:
        self._cluster, self._programs = cluster, programs
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, site_file: str) -> None:
        """Start it; whoever calls it waits for it."""
        token = self._cluster.kubectl("create", "token", "launcher", "-n", self._programs).stdout.strip()
        config = self._directory / "launcher.kubeconfig"
        config.touch(0o600)
        known = json.loads(self._cluster.kubectl("config", "view", "--raw", "-o", "json").stdout)
        known["users"] = [{"name": known["users"][0]["name"], "user": {"token": token}}]
        config.write_text(json.dumps(known))
        with (self._directory / "launcher.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_sandbox_spawner.launcher", "--site", site_file],
                env={**os.environ, "KUBECONFIG": str(config), "POD_NAMESPACE": self._programs},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        """End it; pods go on."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    @property
    def said(self) -> str:
        """All it wrote."""
        return (self._directory / "launcher.log").read_text(errors="replace")


class GatewayDoor:
    """Where pods reach the gateway's wires: whoever comes sees its certificate, if any, and is let go."""

    def __init__(self, address: str) -> None:
        self._listener = socket.create_server((address, 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self.certificate: ssl.SSLContext | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> GatewayDoor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who waits in accept
        self._listener.close()
        self._thread.join(20)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            with connection, suppress(OSError):
                if self.certificate is not None:
                    self.certificate.wrap_socket(connection, server_side=True).close()


@dataclass
class Rehearsal:
    """`programs` and `pods` are namespaces. A test that breaks something mends it."""

    cluster: Cluster
    programs: str
    pods: str
    hub: HubProcess
    launcher: LauncherProcess
    door: GatewayDoor
    directory: Path
    _mark: int = 0
    _proof: Any = None

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """In the sandboxes' namespace."""
        return self.cluster.kubectl("-n", self.pods, *words, stdin=stdin).stdout

    def names(self, user: str) -> list[str]:
        """What there is of the user's sandboxes and homes, by kind/name; probes are nobody's."""
        found = json.loads(self.kubectl("get", _KINDS, "-o", "json"))["items"]
        return sorted(
            f"{item['kind'].lower()}/{item['metadata']['name']}"
            for item in found
            if (item["metadata"].get("annotations") or {}).get(f"{LABEL_OWNER}/user") == user
        )

    def left(self, user: str) -> int:
        """How many homes the user has; -1 where there is anything else of theirs."""
        found = self.names(user)
        return len(found) if all(name.startswith("persistentvolumeclaim/") for name in found) else -1

    def prove(self) -> None:
        """Let the canary try now."""
        self._proof = asyncio.run(self._canary())

    @property
    def proved(self) -> bool:
        """What it has shown, by the metric."""
        return bool(self._proof["proved"])

    async def _canary(self) -> Any:
        async with LauncherClient(self.hub.control.site.launcher_socket, 200) as client:
            return await client.canary(again=True)

    def begin(self, user: str, options: Any = None) -> None:
        """Ask the hub for a server; it answers while the server starts or when that has come to nothing."""
        self._mark = len(self.launcher.said)
        self.hub.start(user, options)

    def told(self, user: str) -> list[str]:
        """Every sentence of the user's start page, once the start is over."""
        return [str(event["message"]) for event in self.hub.progress(user)]

    @contextmanager
    def certificates(self, now: datetime) -> Iterator[None]:
        """The gateway shows a certificate that was made at this moment, and pods know its authority."""
        before = self.door.certificate, (self.directory / "ca.pem").read_text()
        self.door.certificate = _certificate(self.directory, self.programs, now)
        try:
            yield
        finally:
            self.door.certificate = before[0]
            (self.directory / "ca.pem").write_text(before[1])

    @property
    def admins_read(self) -> str:
        """The launcher's log since the last `begin`."""
        return self.launcher.said[self._mark :]


@contextmanager
def rehearsal(cluster: Cluster, interpreter: Path, directory: Path, name: str) -> Iterator[Rehearsal]:
    """Two namespaces with the shipped rights and the policy that closes them, and the programs."""
    programs, pods = name, f"{name}-pods"
    with ExitStack() as stack:
        for namespace in (programs, pods):
            cluster.make_namespace(namespace)
            stack.callback(cluster.drop_namespace, namespace, wait=False)
        cluster.apply(*_shipped(programs, pods))
        launcher = LauncherProcess(cluster, programs, directory)

        @contextmanager
        def program(site: Site) -> Iterator[None]:
            launcher.start(f"{site.run_dir}/site.json")
            try:
                yield
            finally:
                launcher.stop()

        profiles = directory / "profiles.yaml"
        profiles.write_text(PROFILES)
        door = stack.enter_context(GatewayDoor(cluster.host_address))
        door.certificate = _certificate(directory, programs, datetime.now(timezone.utc))
        changes = _site(cluster, programs, pods, directory, door.port)
        hub = stack.enter_context(
            run_hub(interpreter, profiles, programs=program, start_timeout=120, **changes)
        )
        yield Rehearsal(cluster, programs, pods, hub, launcher, door, directory)


def _shipped(programs: str, pods: str) -> list[Manifest]:
    """Accounts, rights and the policies that close, with these namespaces in place of their own."""
    kinds = ("ServiceAccount", "Role", "RoleBinding")
    text = json.dumps(
        [
            item
            for item in rendered("example")
            if item["kind"] in kinds
            or (item["kind"], item["metadata"]["name"]) == ("NetworkPolicy", "closed")
        ]
    )
    made: list[Manifest] = json.loads(
        text.replace('"jupyter-sandbox-pods"', f'"{pods}"').replace('"jupyter-sandbox"', f'"{programs}"')
    )
    return made


def _certificate(directory: Path, programs: str, now: datetime) -> ssl.SSLContext:
    """The gateway's, as it would be made at this moment; pods are told its authority from now on."""
    made = directory / f"certificates-{now:%Y%m%d}"
    make(made, programs, {}, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "gateway/certificate.pem", made / "gateway/key.pem")
    (directory / "ca.pem").write_text((made / "gateway/ca.pem").read_text())
    return context


def _site(cluster: Cluster, programs: str, pods: str, directory: Path, port: int) -> dict[str, Any]:
    return {
        "backend": "kubernetes",
        "environments": {
            "default": Environment(image=LINK_IMAGE, prefix=PREFIX),
            "absent": Environment(image="docker.io/local/absent:1", prefix=PREFIX),
        },
        "uid_base": 10_000,
        "uid_count": 1000,
        "wires": WiresSite(pods_port=port),
        "kubernetes": KubernetesSite(
            namespace=pods,
            gateway_name="gateway",
            gateway_address=cluster.host_address,
            gateway_namespace=programs,
            gateway_labels={},
            link_image=LINK_IMAGE,
            authority=str(directory / "ca.pem"),
            host_users="allowed",
            pull_policy="Never",
            home_size=8 << 20,
        ),
    }
