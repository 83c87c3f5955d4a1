"""What can this machine run? One function a lane; each answers with the reason why not, or "" for yes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from jupyter_sandbox_spawner.backends.oci.delegation import delegated
from jupyter_sandbox_spawner.backends.oci.runtime import unfit
from jupyter_sandbox_spawner.ordinary import has_own_namespace, look_at_host
from jupyter_sandbox_spawner.rules.subids import first_obstacle

__all__ = [
    "AXE",
    "CHECKOUT",
    "FAKETIME",
    "HUB_PYTHONPATH",
    "LABEXTENSION",
    "LABEXTENSION_OUTPUT",
    "LANES",
    "UI_TESTS",
    "VENVS",
    "kubectl",
    "missing",
    "required",
]

CHECKOUT = Path(__file__).resolve().parent.parent
VENVS = Path(os.environ.get("SANDBOX_VENVS", CHECKOUT / ".venv"))
HUB_PYTHONPATH = f"{CHECKOUT}:{CHECKOUT}/tests/support/lean"  # of every hub that a test starts
FAKETIME = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), "")
BUILD_OPA = CHECKOUT / "hub_config/policy/build-opa"
BUILD_KUBERNETES = CHECKOUT / "hub_config/kubernetes/cluster/build-kubernetes"
BUILD_VAULT = CHECKOUT / "hub_config/vault/build-vault"
PROXY = VENVS / "proxy/node_modules/.bin/configurable-http-proxy"
LABEXTENSION = CHECKOUT / "labextension"
LABEXTENSION_OUTPUT = CHECKOUT / "jupyter_sandbox_spawner/labextension"
UI_TESTS = LABEXTENSION / "ui-tests"
AXE = UI_TESTS / "node_modules/axe-core/axe.min.js"  # finds what is not accessible; to be put into a page


def required(environ: Mapping[str, str]) -> frozenset[str]:
    """The lanes that SANDBOX_REQUIRE names: there a skip counts as a failure."""
    names = frozenset(environ.get("SANDBOX_REQUIRE", "").replace(",", " ").split())
    unknown = names - LANES.keys()
    if unknown:
        raise ValueError(f"SANDBOX_REQUIRE names unknown lanes {sorted(unknown)}; known: {sorted(LANES)}")
    return names


@cache
def missing(lane: str) -> str:
    """Why this machine cannot run the lane, in a sentence; empty if it can."""
    return LANES[lane]()


def _root() -> str:
    if os.geteuid() == 0 and has_own_namespace():
        return "root of a user namespace only; run: sudo scripts/test"
    return "" if os.geteuid() == 0 else "not root; run: sudo scripts/test"


def _hostuids() -> str:
    """May this process itself give files and sandboxes other uids of the host?"""
    return "" if os.geteuid() == 0 else "not root; run: jupyter-sandbox-admin unshare pytest ..., or as root"


def _sandboxes() -> str:
    """Can programs that this process starts make sandboxes: as root, or as an ordinary user with subuids?"""
    if os.geteuid() == 0:
        return _root()
    obstacle = first_obstacle(look_at_host())
    return f"{obstacle.seen}; run: {obstacle.remedy}" if obstacle else ""


def _rootless() -> str:
    """Can root make an ordinary user here who makes sandboxes with this checkout?"""
    absent = [name for name in ("useradd", "userdel", "newuidmap", "runc") if not shutil.which(name)]
    if absent:
        return f"no {absent[0]}; run: apt-get install passwd uidmap runc"
    switches = replace(look_at_host(), subuid="root:1:9", subgid="root:1:9", user="root")
    obstacle = first_obstacle(switches)
    return missing("uids") or (f"{obstacle.seen}; run: {obstacle.remedy}" if obstacle else "")


def _runc() -> str:
    return "" if shutil.which("runc") else "no runc; run: apt-get install runc"


def _crun() -> str:
    return unfit("crun") or ("" if shutil.which("crun") else "no crun; run: apt-get install crun")


def _runsc() -> str:
    """Can root run sandboxes under gVisor here? Nobody else can."""
    return _root() or ("" if shutil.which("runsc") else "no runsc; run: apt-get install runsc")


def _cgroup() -> str:
    """Can a cgroup with a memory and a pids controller be made here (v2, or v1 with both mounted)?"""
    top = Path("/sys/fs/cgroup")
    unified = top / "cgroup.controllers"
    # An ordinary user has at most a part of the tree.
    ours = delegated(str(top), Path("/proc/self/cgroup").read_text()) if has_own_namespace() else ""
    below = ours.lstrip("/")
    places = [top / below] if unified.exists() else [top / "memory" / below, top / "pids" / below]
    if unified.exists() and not {"memory", "pids"} <= set(unified.read_text().split()):
        return "cgroup v2 without its memory and pids controllers"
    for place in places:
        try:
            os.rmdir(tempfile.mkdtemp(prefix="sandbox-lane-", dir=place))
        except OSError as error:
            return f"no cgroup can be made in {place}: {error.strerror}"
    return ""


def _systemd() -> str:
    return "" if shutil.which("systemd-analyze") else "no systemd-analyze; run: apt-get install systemd"


def _docker() -> str:
    """Can root run a Docker daemon of the tests' own here, with an image that is built on the spot?"""
    if os.geteuid() != 0:
        return "not root; run: sudo scripts/test"
    paths = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [name for name in ("dockerd", "docker", "debootstrap") if not shutil.which(name, path=paths)]
    return f"no {absent[0]}; run: apt-get install docker.io debootstrap" if absent else missing("cgroup")


def _cluster() -> str:
    """Can root run a real Kubernetes with one node here (scripts/cluster)?"""
    from hub_config.kubernetes.cluster.own_cluster import unfit

    return unfit() or missing("cgroup")


def _podman() -> str:
    """Can root run a Podman service of the tests' own here?"""
    if os.geteuid() != 0:
        return "not root; run: sudo scripts/test"
    absent = [name for name in ("podman", "docker") if not shutil.which(name)]
    return f"no {absent[0]}; run: apt-get install podman docker.io" if absent else ""


def _faketime() -> str:
    """Can a program that a test starts be given another clock?"""
    return "" if FAKETIME else "no libfaketime; run: apt-get install libfaketime"


def _npm() -> str:
    if shutil.which("node") is None:
        return "no node; run: apt-get install nodejs npm"
    return "" if PROXY.exists() else f"no {PROXY}; run: scripts/prepare proxy"


def _hub(room: str, major: str) -> str:
    interpreter = VENVS / room / "bin/python"
    if not interpreter.exists():
        return f"no {interpreter}; run: scripts/prepare {room}"
    question = "import jupyterhub; print(jupyterhub.__version__)"
    answer = subprocess.run([interpreter, "-c", question], capture_output=True, text=True, check=False)
    version = answer.stdout.strip()
    if not version.startswith(major + "."):
        return f"{interpreter} has JupyterHub {version or 'no'}, not {major}; run: scripts/prepare {room}"
    return ""


def _userenv() -> str:
    server = VENVS / "user/bin/jupyterhub-singleuser"
    return "" if server.exists() else f"no {server}; run: scripts/prepare user"


def _tracking() -> str:
    server = VENVS / "tracking/bin/mlflow"
    return "" if server.exists() else f"no {server}; run: scripts/prepare tracking"


def _chaos() -> str:
    if os.environ.get("SANDBOX_CHAOS") == "1":
        return ""
    return "it kills programs for five minutes; run: SANDBOX_CHAOS=1 scripts/test -n0 tests/chaos"


def _science() -> str:
    """Has the system's Python the packages, which a sandbox sees read-only below /usr?"""
    packages = ("torch", "scipy", "pandas")
    absent = [name for name in packages if not Path(f"/usr/lib/python3/dist-packages/{name}").is_dir()]
    if not absent:
        return ""
    return f"no {absent[0]} of the system; run: apt-get install python3-torch python3-scipy python3-pandas"


def _browser() -> str:
    if not shutil.which("chromium"):
        return "no chromium; run: apt-get install chromium"
    server = VENVS / "browser/bin/jupyter-notebook"
    return "" if server.exists() else f"no {server}; run: scripts/prepare browser"


def _labext() -> str:
    """Is the JupyterLab extension built as its sources are, with what builds it?"""
    absent = [name for name in ("node", "npm") if not shutil.which(name)]
    if absent:
        return f"no {absent[0]}; run: apt-get install nodejs npm"
    asked = [sys.executable, "-I", "-B", LABEXTENSION / "build.py", "--check"]
    if subprocess.run(asked, check=False).returncode or not (LABEXTENSION / "node_modules").is_dir():
        return "the JupyterLab extension is not built as its sources are; run: scripts/prepare labext"
    return ""


def _galata() -> str:
    """Can Galata look at this JupyterLab extension in Chromium?"""
    reason = missing("browser") or missing("labext")
    if reason:
        return reason
    if not (UI_TESTS / "node_modules/.bin/playwright").exists():
        return f"no {UI_TESTS}/node_modules; run: scripts/prepare galata"
    share = VENVS / "browser/share/jupyter/labextensions/jupyter-sandbox-spawner"
    ours, theirs = _build_of(LABEXTENSION_OUTPUT), _build_of(share)
    return "" if ours == theirs else f"{share} is not what is built here; run: scripts/prepare browser"


def _build_of(directory: Path) -> str:
    """Which build of the extension lies there? Its entry file's name has a hash."""
    try:
        return str(json.loads((directory / "package.json").read_text())["jupyterlab"]["_build"]["load"])
    except (OSError, KeyError):
        return ""


def _loop() -> str:
    """Can a file be mounted, which a home with a quota needs?"""
    if os.geteuid() != 0:
        return "not root; run: sudo scripts/test"
    if not Path("/dev/loop-control").exists():
        return "no loop devices; run: modprobe loop"
    return "" if shutil.which("mkfs.ext4") else "no mkfs.ext4; run: apt-get install e2fsprogs"


def _uids() -> str:
    """Can another uid run this Python with this checkout?"""
    if os.geteuid() != 0:
        return "not root; run: sudo scripts/test"
    from jupyter_sandbox_spawner.admin.accounts import Account
    from jupyter_sandbox_spawner.admin.reach import find_barrier, python_barrier

    stranger = Account(uid=65534, gid=65534)
    barrier = python_barrier(stranger) or find_barrier(stranger, [f"{VENVS}/.", f"{CHECKOUT}/hub_config/."])
    return f"other uids cannot use {barrier}; run from a place such as /opt" if barrier else ""


def _vault() -> str:
    """Is the real Vault of scripts/prepare here, with what its set-up needs?"""
    absent = [name for name in ("curl", "jq") if not shutil.which(name)]
    if absent:
        return f"no {absent[0]}; run: apt-get install curl jq"
    asked = subprocess.run([BUILD_VAULT, "--where"], capture_output=True, text=True, check=True)
    where = asked.stdout.strip()
    return "" if os.access(where, os.X_OK) else f"no {where}; run: scripts/prepare vault"


def _opa() -> str:
    """Is the real OPA of scripts/prepare here?"""
    asked = subprocess.run([BUILD_OPA, "--where"], capture_output=True, text=True, check=True)
    where = asked.stdout.strip()
    return "" if os.access(where, os.X_OK) else f"no {where}; run: scripts/prepare opa"


@cache
def kubectl() -> str:
    """A client that renders manifests with components: this machine's, or that of scripts/prepare cluster."""
    asked = subprocess.run([BUILD_KUBERNETES, "--where"], capture_output=True, text=True, check=True)
    for place in (shutil.which("kubectl") or "", asked.stdout.strip()):
        if place and os.access(place, os.X_OK):
            # Kubernetes is one program, which acts by the name it is called by.
            words = ["kubectl", "version", "--client", "-o", "json"]
            done = subprocess.run(words, executable=place, capture_output=True, text=True, check=False)
            if _kustomize(done.stdout) >= 5:
                return place
    return ""


def _kustomize(said: str) -> int:
    """The major version of kustomize that a kubectl tells, 0 where it tells none."""
    try:
        return _major(json.loads(said)["kustomizeVersion"])
    except (ValueError, KeyError, TypeError):
        return 0


def _kubectl() -> str:
    """Is there a client that renders manifests? It asks no cluster for that."""
    return "" if kubectl() else "no kubectl with kustomize 5; run: scripts/prepare cluster"


def _major(version: str) -> int:
    number = version.lstrip("v").partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _postgresql() -> str:
    """Can a PostgreSQL of the tests' own run here, as somebody who is not root?"""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return "" if found else "no initdb in /usr/lib/postgresql; run: scripts/prepare postgresql"


LANES: Mapping[str, Callable[[], str]] = {
    "root": _root,
    "hostuids": _hostuids,
    "sandboxes": _sandboxes,
    "rootless": _rootless,
    "chaos": _chaos,
    "uids": _uids,
    "runc": _runc,
    "crun": _crun,
    "runsc": _runsc,
    "cgroup": _cgroup,
    "docker": _docker,
    "podman": _podman,
    "cluster": _cluster,
    "faketime": _faketime,
    "npm": _npm,
    "systemd": _systemd,
    "science": _science,
    "loop": _loop,
    "browser": _browser,
    "labext": _labext,
    "galata": _galata,
    "hub6": lambda: _hub("hub", "6"),
    "hub5": lambda: _hub("hub5", "5"),
    "userenv": _userenv,
    "tracking": _tracking,
    "vault": _vault,
    "opa": _opa,
    "postgresql": _postgresql,
    "kubectl": _kubectl,
}
