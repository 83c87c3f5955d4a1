"""What is the smallest site on a real cluster with all programs that own sandboxes, each of which may die?

Pods are real, with the real link; the programs are processes of this machine, which come back by
themselves as under a kubelet. Of launcher and control there are two, of which one works. The hub is a
stand-in (hub_desk.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from jupyter_sandbox_spawner.clients.control import ControlAdminClient, control_socket
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.clients.pod_gateway import gateway_of
from jupyter_sandbox_spawner.clients.pods import PodsClient
from jupyter_sandbox_spawner.errors import ProgramError
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite, WiresSite
from jupyter_sandbox_spawner.settings import Environment, Site, write_site
from tests.lanes import CHECKOUT
from tests.programs.control_neighbours import TOKEN
from tests.programs.wires_street import GATEWAY_NAME, Certificates, free_ports
from tests.support.cluster import Cluster

from .images import IMAGE, PREFIX

__all__ = ["CLOSED", "GATEWAY", "Quay"]

CLOSED = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
PROGRAMS = {
    "launcher-0": ("jupyter_sandbox_spawner.launcher", "--site"),
    "launcher-1": ("jupyter_sandbox_spawner.launcher", "--site"),
    "control-0": ("tests.chaos.hasty_control",),
    "control-1": ("tests.chaos.hasty_control",),
    "gateway": ("jupyter_sandbox_spawner.gateway", "--site"),
    "wires": ("jupyter_sandbox_spawner.wires", "--program", "gateway", "--site"),
}
GATEWAY = ("gateway", "wires")  # the two containers of its pod
_PATIENCE = 240.0  # seconds; a busy machine imports slowly
_LOOK = 0.1


class Quay:
    """The site, its programs, and their clients."""

    def __init__(
        self, directory: Path, cluster: Cluster, namespace: str, hub_port: int, database: str
    ) -> None:
        self.directory, self.cluster, self.namespace = directory, cluster, namespace
        self.deaths: list[str] = []
        for name in ("run", "run/control", "state", "tls"):
            (directory / name).mkdir(mode=0o700)
        self.site = _site(directory, cluster, namespace, hub_port, database)
        write_site(directory / "site.json", self.site)
        token = directory / "run/control.token"
        token.touch(0o600)
        token.write_text(TOKEN)
        self.launcher = LauncherClient(self.site.launcher_socket)
        self.gateway = gateway_of(self.site)
        self.pods = PodsClient(self.site.pods_socket)
        self.control = ControlAdminClient(control_socket(self.site, "admin"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._away: set[str] = set()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start all, and wait until they answer."""
        for name in PROGRAMS:
            self._start(name)
        self._keeper = asyncio.create_task(self._keep())
        await self.answers()
        await self.proved()

    async def proved(self) -> None:
        """Until a probe has shown that sandboxes are closed here."""
        deadline = time.monotonic() + _PATIENCE
        while not (await self.launcher.canary())["proved"]:
            assert time.monotonic() < deadline, "no probe has proved it"
            await asyncio.sleep(_LOOK)

    async def answers(self) -> None:
        """Until all of them answer."""
        deadline = time.monotonic() + _PATIENCE
        for ask in (
            self.launcher.inventory,
            self.gateway.inventory,
            self.pods.health,
            self.control.sandboxes,
        ):
            while True:
                with suppress(ProgramError):
                    await ask()
                    break
                assert time.monotonic() < deadline, self.log()
                await asyncio.sleep(_LOOK)  # nobody says that a program listens

    def end(self, *names: str) -> None:
        """kill -9; they stay away until `bring`."""
        self._away.update(names)
        for name in names:
            self._processes[name].kill()

    async def bring(self, *names: str) -> None:
        """They come back, and all answer."""
        self._away.difference_update(names)
        await self.answers()

    async def active(self, program: str) -> str:
        """Which of the two works: the one that has the Lease, or the database."""
        for name in (f"{program}-0", f"{program}-1"):
            word = "works now" if program == "launcher" else ""
            if word and self._process_holds_lease(name):
                return name
            if not word and self._listens(name):
                return name
        raise AssertionError(f"no {program} works\n{self.log()}")

    def _process_holds_lease(self, name: str) -> bool:
        lease = self.cluster.get("lease", "launcher", "-n", self.namespace)
        return str(lease["spec"].get("holderIdentity") or "").startswith(f"{name}-")

    def _listens(self, name: str) -> bool:
        """Has it control's socket for the hub open?"""
        number = self._processes[name].pid
        listening = Path("/proc/net/unix").read_text().splitlines()
        path = control_socket(self.site, "hub")
        inodes = {line.split()[6] for line in listening if line.endswith(f" {path}")}
        entries: list[Path] = []
        # It, or one of its descriptors, may go while we look.
        with suppress(OSError):
            entries = list(Path(f"/proc/{number}/fd").iterdir())
        for entry in entries:
            with suppress(OSError):
                target = os.readlink(entry)
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    return True
        return False

    async def close(self) -> None:
        """End all of them politely."""
        for client in (self.launcher, self.gateway, self.pods, self.control):
            await client.close()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            await asyncio.to_thread(process.wait, 30)

    def _start(self, name: str) -> None:
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "POD_NAMESPACE": self.namespace,
            "POD_NAME": name,
        }
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *PROGRAMS[name], str(self.directory / "site.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=variables,
                start_new_session=True,
            )

    async def _keep(self) -> None:
        """Whoever ends is started again, as a kubelet does it."""
        while True:
            for name, process in list(self._processes.items()):
                if process.poll() is not None and name not in self._away:
                    self.deaths.append(f"{name} {process.returncode}")
                    self._start(name)
            await asyncio.sleep(_LOOK)

    def log(self) -> str:
        """The end of what each program wrote."""
        files = sorted(self.directory.glob("*.log"))
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')[-5000:]}" for file in files)


def _site(directory: Path, cluster: Cluster, namespace: str, hub_port: int, database: str) -> Site:
    here = cluster.host_address
    certificates = Certificates(directory / "tls").make("gateway", here, GATEWAY_NAME)
    front, control, port, pods_port = free_ports(4)
    return Site(
        run_dir=str(directory / "run"),
        state_dir=str(directory / "state"),
        profiles="",
        public_port=0,
        hub_port=hub_port,
        proxy_api_port=1,
        front_port=front,
        control_port=control,
        listen_host=here,
        hosts={"gateway": here, "control": here},
        environments={"user": Environment(prefix=PREFIX, image=IMAGE)},
        uid_base=10_000,
        uid_count=1000,
        backend="kubernetes",
        database=database,
        kubernetes=KubernetesSite(
            namespace=namespace,
            gateway_name=GATEWAY_NAME,
            gateway_address=here,
            gateway_namespace="elsewhere",
            gateway_labels={},
            link_image=IMAGE,
            authority=str(certificates / "ca.pem"),
            home_size=8 << 20,
            host_users="allowed",
            pull_policy="Never",
        ),
        wires=WiresSite(port=port, pods_port=pods_port, certificates=str(certificates)),
    )
