"""What does a house on a cluster use that is outside of it? A database, Vault, and a host of the world.

All of it listens on this machine, where pods reach it by routes and by what NetworkPolicies open.
"""

from __future__ import annotations

import http.server
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from hub_config.kubernetes.cluster import room
from hub_config.vault.own_postgres import NOBODY
from tests.support.cluster import Cluster
from tests.support.control_databases import ControlPostgres
from tests.support.sinks import public_address
from tests.support.vault_server import VaultServer

__all__ = ["NAME", "OTHER_NAME", "SECRET", "Outside", "World", "open_outside"]

SECRET = "warehouse/reader"
REVIEWER = "vault-reviewer"
# Both names are the world's, by the cluster's DNS, which knows nothing but Services.
NAME, OTHER_NAME = "mirror.world.svc.cluster.local", "other.world.svc.cluster.local"


class HousePostgres(ControlPostgres):
    """A PostgreSQL that pods reach, by TLS alone; `authority` is who signed its certificate."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host
        self.authority = ""

    def _make(self) -> None:
        super()._make()
        signer = trustme.CA()
        self.authority = signer.cert_pem.bytes().decode()
        certificate = signer.issue_cert(self.host)
        data = self.directory / "data"
        certificate.private_key_pem.write_to_path(data / "server.key")
        for part in certificate.cert_chain_pems:
            part.write_to_path(data / "server.crt", append=True)
        for name in ("server.key", "server.crt"):
            (data / name).chmod(0o600)
            os.chown(data / name, NOBODY, NOBODY)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("hostssl all all 10.0.0.0/8 scram-sha-256\n")

    def _settings(self) -> dict[str, str]:
        return super()._settings() | {"listen_addresses": f"127.0.0.1,{self.host}", "ssl": "on"}


@dataclass
class World:
    """A web server at an address that looks public; `heard` has each path that was asked for."""

    address: str
    heard: list[str] = field(default_factory=list)


@dataclass
class Outside:
    """What is outside: `database` is control's in `postgres`; `world` hears what reaches it."""

    postgres: HousePostgres
    database: str
    vault: VaultServer
    world: World


@contextmanager
def open_outside(cluster: Cluster) -> Iterator[Outside]:
    """All of it for the block. Vault knows the cluster's service accounts by the API server itself."""
    with ExitStack() as stack:
        postgres = HousePostgres(cluster.host_address)
        postgres.start()
        stack.callback(postgres.stop)
        database = postgres.make()
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tests-vault-")))
        vault = VaultServer(place, host=cluster.host_address, tls=True)
        stack.callback(vault.stop)
        vault.prepare("--shared", "warehouse/*", *_kubernetes_login(cluster, place))
        world = World(stack.enter_context(public_address()))
        stack.enter_context(_serving(world))
        stack.enter_context(_way_to(cluster, world.address))
        _give_name(cluster, world.address)
        yield Outside(postgres, database, vault, world)


def _kubernetes_login(cluster: Cluster, place: Path) -> list[str]:
    """As an admin does it whose Vault is outside of the cluster."""
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named()},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": REVIEWER},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:auth-delegator",
            },
            "subjects": [{"kind": "ServiceAccount", **_named()}],
        },
    )
    token = place / "reviewer"
    token.touch(mode=0o600)
    token.write_text(cluster.kubectl("create", "token", REVIEWER, "-n", "default").stdout)
    login = ["--kubernetes", cluster.layout.api, "--kubernetes-ca", str(cluster.layout.authority / "ca.pem")]
    return [*login, "--kubernetes-reviewer", str(token), "--service-account", "jupyter-sandbox/broker"]


def _named() -> dict[str, str]:
    return {"name": REVIEWER, "namespace": "default"}


@contextmanager
def _serving(world: World) -> Iterator[None]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            world.heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer((world.address, 80), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _give_name(cluster: Cluster, address: str) -> None:
    cluster.make_namespace("world")
    for name in (NAME, OTHER_NAME):
        meta = {"name": name.partition(".")[0], "namespace": "world"}
        labels = {"kubernetes.io/service-name": meta["name"]}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": "None"}},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address]}],
            },
        )


@contextmanager
def _way_to(cluster: Cluster, address: str) -> Iterator[None]:
    """Nothing of a cluster leaves the machine but what goes to this address of it."""
    route = [f"{address}/32", "via", cluster.host_address]
    subprocess.run(room.enter(cluster.first, ["ip", "route", "add", *route]), check=True)
    try:
        yield
    finally:
        if cluster.first:
            subprocess.run(room.enter(cluster.first, ["ip", "route", "del", *route]), check=False)
