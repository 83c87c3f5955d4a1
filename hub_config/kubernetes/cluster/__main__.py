"""A real cluster on this machine: scripts/cluster --help"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .layout import NODE, PROGRAMS
from .own_cluster import ClusterError, OwnCluster

__all__ = ["main"]

_HELP = """A real Kubernetes on this machine, with one node, apart from everything else: for tests, and to
try things with. Needs root, and scripts/prepare cluster. An agent of our own enforces NetworkPolicies."""


def main() -> int:
    """Exit status: 0 done, 1 it failed, 2 wrong argument, 3 something is missing (the remedy is printed)."""
    asked = _parser().parse_args()
    cluster = OwnCluster(Path(asked.at))
    try:
        return int(_COMMANDS[asked.command](cluster, asked) or 0)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 3 if "run: scripts/prepare" in str(error) else 1
    except RuntimeError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/cluster", description=_HELP)
    place = "/tmp/jupyter-sandbox-cluster"  # noqa: S108 - it is made 0711, and keys lie in a 0700 directory
    parser.add_argument("--at", default=place, metavar="DIRECTORY", help=f"where all of it lies ({place})")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make it, and wait until its node is Ready")
    up.add_argument("--no-node", action="store_true", help="only etcd, API server, controllers and scheduler")
    commands.add_parser(
        "down", help="end all of it, and remove its directory; its addresses stay unreachable"
    )
    commands.add_parser("status", help="what runs, and where")
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    image = commands.add_parser("import-image", help="give the node an image")
    image.add_argument("file", help="a tar as `docker save` or an OCI builder writes it")
    image.add_argument(
        "--root", metavar="NAME", help="the tar is a root directory, to be called docker.io/local/NAME"
    )
    logs = commands.add_parser("logs", help="the end of what a program wrote")
    logs.add_argument("program", nargs="?", choices=PROGRAMS)
    for name, text in (("start", "start a program of the cluster"), ("stop", "end a program of the cluster")):
        commands.add_parser(name, help=text).add_argument("program", choices=PROGRAMS)
    enforce = commands.add_parser("policies", help="are NetworkPolicies enforced?")
    enforce.add_argument("switch", choices=("on", "off"))
    kubectl = commands.add_parser("kubectl", help="run kubectl as the administrator")
    kubectl.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _up(cluster: OwnCluster, asked: argparse.Namespace) -> None:
    try:
        cluster.up(node=not asked.no_node)
    except BaseException:
        if cluster.made_here:
            cluster.down()
        raise
    print(f"export KUBECONFIG={cluster.layout.kubeconfig}")


def _status(cluster: OwnCluster, asked: argparse.Namespace) -> int:
    layout = cluster.layout
    print(
        f"directory {cluster.directory}, API server {layout.api}, for pods this host is {layout.host_address}"
    )
    for name in PROGRAMS:
        print(f"{name:24} {cluster.pid(name) or 'does not run'}")
    ready = cluster.node_is_ready()
    print(f"{NODE:24} {'Ready' if ready else 'not Ready'}")
    return 0 if ready else 1


def _import(cluster: OwnCluster, asked: argparse.Namespace) -> None:
    if asked.root:
        cluster.import_root(Path(asked.file), f"docker.io/local/{asked.root}")
    else:
        cluster.import_image(Path(asked.file))


def _logs(cluster: OwnCluster, asked: argparse.Namespace) -> None:
    for name in [asked.program] if asked.program else PROGRAMS:
        print(f"== {name}\n{cluster.log(name)}")


def _kubectl(cluster: OwnCluster, asked: argparse.Namespace) -> int:
    stdin = "" if sys.stdin.isatty() or "-" not in asked.words else sys.stdin.read()
    done = cluster.kubectl(*asked.words, stdin=stdin, check=False)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


_COMMANDS = {
    "up": _up,
    "down": lambda cluster, asked: cluster.down(),
    "status": _status,
    "kubeconfig": lambda cluster, asked: print(cluster.layout.kubeconfig),
    "import-image": _import,
    "logs": _logs,
    "start": lambda cluster, asked: cluster.start(asked.program),
    "stop": lambda cluster, asked: cluster.stop(asked.program),
    "policies": lambda cluster, asked: cluster.enforce(asked.switch == "on"),
    "kubectl": _kubectl,
}

if __name__ == "__main__":
    sys.exit(main())
