"""How does a cluster begin, how is it asked, and how does it end? One directory, one room, nothing else.

Law: what `up` has made so far is written down before the next step, so that `down` finds it after any crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from . import room
from .api import Api
from .authority import make_authority, make_kubeconfig
from .images import make_image, make_try_root
from .layout import NODE, PAUSE_IMAGE, PROGRAMS, TRY_IMAGE, Layout
from .programs import command, files
from .volumes import storage_class

__all__ = ["KUBERNETES", "ClusterError", "OwnCluster", "unfit"]

BUILD = Path(__file__).with_name("build-kubernetes")
KUBERNETES = (
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
)
_CONTROL_PLANE = PROGRAMS[:4]
_NEEDED = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "busybox": "busybox-static",
    "nsenter": "util-linux",
}
_LONGEST = 60  # characters of the directory: unix sockets lie below it, and 108 is the end
_PATIENCE = 300.0  # seconds: a machine that runs other tests besides is slow


class ClusterError(Exception):
    """The cluster does not do what was asked; says what, and the way out."""


def unfit() -> str:
    """Why no cluster can be made here, in a sentence with the remedy; "" where one can."""
    if os.geteuid() != 0:
        return "not root; run: sudo scripts/test"
    paths = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [package for name, package in _NEEDED.items() if not shutil.which(name, path=paths)]
    if absent or not Path("/usr/lib/cni/ptp").exists():
        missing = absent[0] if absent else "containernetworking-plugins"
        return f"no {missing}; run: scripts/prepare cluster"
    where = _where()
    return "" if os.access(where, os.X_OK) else f"no {where}; run: scripts/prepare cluster"


def _where() -> str:
    return subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=True).stdout.strip()


class OwnCluster:
    """A cluster in `directory`: `up`, `down`, `start` and `stop` a program, `kubectl`. All calls wait."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.made_here = False  # has `up` of this object begun to make it?
        self._holder: subprocess.Popen[bytes] | None = None

    @property
    def layout(self) -> Layout:
        """Its places and addresses. Raises ClusterError where there is none."""
        return Layout(self.directory, int(self._state()["number"]))

    @property
    def api(self) -> Api:
        """The API server, asked without kubectl."""
        return Api(self.layout)

    @property
    def first(self) -> int:
        """The first process of its room; 0 when that is gone."""
        state = self._state()
        number = int(state.get("first", 0))
        alive = number and _started(number) == state.get("began")
        return number if alive else 0

    def up(self, node: bool = True, tied: bool = False) -> None:
        """Make it, and wait until it answers (and its node is Ready). Tied: it ends with this process."""
        if reason := unfit():
            raise ClusterError(reason)
        if len(str(self.directory)) > _LONGEST:
            raise ClusterError(
                f"{self.directory} is too long for the sockets in it: at most {_LONGEST} characters"
            )
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        if (self.directory / "cluster.json").exists():
            raise ClusterError(f"there is a cluster in {self.directory}; run: scripts/cluster down")
        layout = Layout(self.directory, room.take_number())
        self.made_here = True
        self._write({"number": layout.number})
        self._lay_out(layout)
        self._holder = room.open_room(layout, tied)
        first = room.first_process(self._holder.pid)
        self._write({"number": layout.number, "first": first, "began": _started(first), "node": node})
        room.furnish(layout, first)
        self._begin(node)

    def _lay_out(self, layout: Layout) -> None:
        for name in ("bin", "logs", "config/cni", "plugins"):
            (self.directory / name).mkdir(parents=True)
        for name in KUBERNETES:
            layout.program(name).symlink_to(_where())
        make_authority(layout)
        make_kubeconfig(layout, layout.kubeconfig, "admin")
        make_kubeconfig(layout, self.directory / "kubelet-kubeconfig", "kubelet")
        for name, text in files(layout).items():
            layout.config(name).write_text(text)

    def _begin(self, node: bool) -> None:
        for name in PROGRAMS if node else _CONTROL_PLANE:
            if name == "kube-controller-manager":
                self.wait_for_api()
            if name == "kubelet":
                self._wait_for_containerd()
                self._give_images()
            self.start(name)
        # Not by kubectl, which takes a fifth of a second of a processor each time.
        self.api.ask("POST", "/apis/storage.k8s.io/v1/storageclasses", storage_class())
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("the account of namespace default", lambda: self.api.finds(account))
        if node:
            self._wait("a Ready node", self.node_is_ready)
            self._wait("rules of the agent", (self.directory / "policies-state").exists)

    def down(self) -> None:
        """End all of it and remove its directory. Nothing happens where there is none."""
        if not (self.directory / "cluster.json").exists():
            return
        room.close_room(self.layout, self.first)
        if self._holder is not None:
            self._holder.wait(10)
            if self._holder.stdin is not None:
                self._holder.stdin.close()
        shutil.rmtree(self.directory)

    def start(self, name: str) -> None:
        """Start one of PROGRAMS. Nothing happens when it runs."""
        if name not in PROGRAMS:
            raise ClusterError(f"there is no program {name}; there are {', '.join(PROGRAMS)}")
        if self.pid(name):
            return
        words = room.enter(self._alive(), command(self.layout, name))
        paths = f"{self.directory / 'bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        environment = {"PATH": paths, "PYTHONPATH": str(room.CHECKOUT), "HOME": "/root", "LC_ALL": "C.UTF-8"}
        with self.layout.log(name).open("ab") as log:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                cwd="/",
            )
        _CHILDREN.append(child)
        self._wait(f"{name} to start", lambda: bool(self.pid(name)) or child.poll() is not None)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one of PROGRAMS (and not what it started). Nothing happens when it does not run."""
        if pid := self.pid(name):
            os.kill(pid, number)
            self._wait(f"{name} to end", lambda: self.pid(name) != pid)

    def pid(self, name: str) -> int:
        """Its number on this machine; 0 when it does not run."""
        wanted = command(self.layout, name)
        found = room.processes(self.first) if self.first else {}
        return next((pid for pid, words in found.items() if words == wanted and not room.dead(pid)), 0)

    def enforce(self, on: bool) -> None:
        """Switch the agent that enforces NetworkPolicies on or off; returns when it has obeyed."""
        switch = self.layout.policies_off
        switch.unlink(missing_ok=True) if on else switch.touch()
        state = self.directory / "policies-state"
        self._wait("the agent to obey", lambda: state.read_text() == ("on" if on else "off"))

    def kubectl(self, *words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """What kubectl says, as the administrator. Raises ClusterError with its words where `check`."""
        layout = self.layout
        program = [str(layout.program("kubectl")), "--kubeconfig", str(layout.kubeconfig), *words]
        environment = os.environ | {"HOME": str(self.directory)}
        done = subprocess.run(
            program, input=stdin, capture_output=True, text=True, check=False, env=environment
        )
        if check and done.returncode:
            raise ClusterError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects. Raises ClusterError with what the API server says."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def get(self, *words: str) -> dict[str, Any]:
        """One object or a list of them, as `kubectl get` finds them."""
        return dict(json.loads(self.kubectl("get", "-o", "json", *words).stdout))

    def import_image(self, file: Path) -> None:
        """Give the node the images of a tar as `docker save` or an OCI builder writes it."""
        words = ["ctr", "--address", str(self.layout.containerd), "--namespace", "k8s.io", "images", "import"]
        done = subprocess.run([*words, str(file)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"{file} cannot be imported: {done.stderr.strip()}")

    def import_root(self, root: Path, name: str, **config: object) -> None:
        """Give the node an image `name` (docker.io/local/...) with what the tar of a root directory holds."""
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            file = Path(place) / "image.tar"
            make_image(root, [name], file, **config)
            self.import_image(file)

    def log(self, name: str, length: int = 4000) -> str:
        """The end of what a program wrote."""
        file = self.layout.log(name)
        return file.read_text(errors="replace")[-length:] if file.exists() else ""

    def node_is_ready(self) -> bool:
        """Does the node say that it is ready, now?"""
        path = f"/api/v1/nodes/{NODE}"
        if not self.api.finds(path):
            return False
        conditions = self.api.ask("GET", path)["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def wait_for_api(self) -> None:
        """Until the API server is ready."""
        self._wait("the API server", lambda: self.api.finds("/readyz"), "kube-apiserver")

    def _wait_for_containerd(self) -> None:
        socket = str(self.layout.containerd)
        words = ["ctr", "--address", socket, "version"]
        self._wait(
            "containerd", lambda: subprocess.run(words, capture_output=True, check=False).returncode == 0
        )

    def _give_images(self) -> None:
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            root = Path(place) / "root.tar"
            make_try_root(root)
            self.import_root(root, TRY_IMAGE, Cmd=["sh"], Env=["PATH=/bin"])
            self.import_root(root, PAUSE_IMAGE, Cmd=["sleep", "infinity"], Env=["PATH=/bin"])

    def _wait(self, what: str, ready: Any, name: str = "") -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > end or (name and not self.pid(name)):
                logs = "\n".join(f"== {each}\n{self.log(each, 1500)}" for each in PROGRAMS)
                raise ClusterError(f"waiting for {what} was in vain\n{logs}")
            time.sleep(0.05)  # a cluster announces nothing

    def _alive(self) -> int:
        if not self.first:
            raise ClusterError(f"the cluster in {self.directory} has ended; run: scripts/cluster down")
        return self.first

    def _state(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.directory / "cluster.json").read_text()))
        except FileNotFoundError:
            raise ClusterError(f"there is no cluster in {self.directory}; run: scripts/cluster up") from None

    def _write(self, state: dict[str, Any]) -> None:
        part = self.directory / "cluster.json.part"
        part.write_text(json.dumps(state))
        part.replace(self.directory / "cluster.json")


_CHILDREN: list[subprocess.Popen[bytes]] = []  # kept, or their dead would be complained about


def _started(number: int) -> str:
    """When a process began, in the kernel's words: its number may be another's later."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
