"""Where does everything of one cluster lie, and which addresses has it? Pure.

Law: two clusters differ in their number, and nothing that they make is named without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DOMAIN",
    "NODE",
    "NUMBERS",
    "PAUSE_IMAGE",
    "POD_PIDS",
    "PROGRAMS",
    "STORAGE_CLASS",
    "TRY_IMAGE",
    "Layout",
]

NODE = "node-1"
DOMAIN = "cluster.local"
NUMBERS = range(1, 250)
PAUSE_IMAGE = "docker.io/local/pause:test"
TRY_IMAGE = "docker.io/local/busybox:test"
STORAGE_CLASS = "directories"
POD_PIDS = 1024  # processes and threads of a pod; the kubelet counts them
# In the order in which they start; the last three are ours, for tests only.
PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
    "names",
    "volumes",
    "policies",
)


@dataclass(frozen=True)
class Layout:
    """One cluster: its directory (absolute, short: unix sockets lie in it) and its number on this machine."""

    directory: Path
    number: int

    @property
    def link(self) -> str:
        """The network device of the host that leads to the cluster's own network."""
        return f"jss-k8s-{self.number}"

    @property
    def host_address(self) -> str:
        """Where pods reach what tests listen with on the host."""
        return f"10.201.{self.number}.1"

    @property
    def node_address(self) -> str:
        """Where the host reaches the API server, and the node's InternalIP."""
        return f"10.201.{self.number}.2"

    @property
    def pods(self) -> str:
        """The network of pods; the host has a route to it."""
        return f"10.202.{self.number}.0/24"

    @property
    def services(self) -> str:
        """The network of Services; the host has a route to it."""
        return f"10.203.{self.number}.0/24"

    @property
    def names_address(self) -> str:
        """Where pods ask for the names of Services."""
        return f"10.204.{self.number}.10"

    @property
    def networks(self) -> tuple[str, ...]:
        """Everything of it that has an address, as this machine would route it."""
        link = f"{self.host_address.removesuffix('.1')}.0/30"
        return (link, self.pods, self.services, f"{self.names_address}/32")

    @property
    def api(self) -> str:
        """The API server's address."""
        return f"https://{self.node_address}:6443"

    @property
    def cgroup(self) -> str:
        """The cgroup of all pods, in every hierarchy."""
        return self.link

    @property
    def authority(self) -> Path:
        """Keys and certificates."""
        return self.directory / "authority"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.directory / "kubeconfig"

    @property
    def containerd(self) -> Path:
        """containerd's socket."""
        return self.directory / "containerd.sock"

    @property
    def policies_off(self) -> Path:
        """Exists while the agent that enforces NetworkPolicies is switched off."""
        return self.directory / "policies-off"

    def program(self, name: str) -> Path:
        """A program of Kubernetes under its name."""
        return self.directory / "bin" / name

    def log(self, name: str) -> Path:
        """What a program wrote."""
        return self.directory / "logs" / f"{name}.log"

    def config(self, name: str) -> Path:
        """A program's configuration file."""
        return self.directory / "config" / name
