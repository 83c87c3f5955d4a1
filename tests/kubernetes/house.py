"""How do tests live in a house on a real cluster? By the shipped manifests, as an admin applies them.

`open_cluster_house(cluster)` is the whole product: hub, proxy, control, launcher, gateway, broker and MLflow
in their pods, PostgreSQL and Vault outside. Law: tests reach it as people do, by browser and kernel; what
they ask of the cluster besides they ask as its administrator.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from hub_config.demo.visitor import Visitor
from hub_config.vault.own_vault import Refused
from jupyter_sandbox_spawner.backends.kubernetes.layout import SANDBOX_LABEL
from jupyter_sandbox_spawner.models import InventoryItem, Status
from jupyter_sandbox_spawner.names import LABEL_OWNER, stable_hash
from tests.lanes import missing
from tests.support.cluster import Cluster
from tests.support.house import House

from .house_outside import SECRET, Outside, open_outside
from .house_overlay import HOST, NAMESPACE, Overlay, write_overlay
from .shipped import KUBERNETES

__all__ = ["LANES", "PODS", "ClusterHouse", "cluster_house", "open_cluster_house"]

LANES = ("cluster", "vault", "postgresql", "npm", "hub6")

PODS = "jupyter-sandbox-pods"
_PYTHON = "/opt/jupyter-sandbox/hub/bin/python"
_READY_WITHIN = 480


class _Everywhere(AbstractResolver):
    """Every name is the proxy's, as a wildcard record in DNS would say."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=self._address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return


class SubdomainVisitor(Visitor):
    """A person at a hub where each server has a host name of its own."""

    def server(self, path: str, owner: str | None = None, server: str = "") -> URL:
        """See Visitor.server."""
        name = quote(owner or self.name)
        place = f"user/{name}/" + (f"{quote(server)}/" if server else "")
        return URL(f"https://{name}.{HOST}/{place}{path}", encoded=True)

    def service(self, path: str) -> URL:
        """See Visitor.service."""
        return URL(f"https://{path.partition('/')[0]}--service.{HOST}/services/{path}", encoded=True)


class _Running:
    """What House asks of a running site."""

    def __init__(self, address: str, password: str, trust: ssl.SSLContext) -> None:
        self._address, self._password, self._trust = address, password, trust

    def visitor(self, name: str) -> Visitor:
        """A person at a browser, not logged in yet."""
        connector = aiohttp.TCPConnector(resolver=_Everywhere(self._address), ssl=self._trust)
        return SubdomainVisitor(f"https://{HOST}/", name, self._password, connector)


class ClusterHouse(House):
    """See House: visitor, server, kernel, run, attack, stop. alice, bob and carol may log in."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        running: Any,
        stack: AsyncExitStack,
        cluster: Cluster,
        outside: Outside,
    ) -> None:
        super().__init__(loop, running, stack)
        self.cluster = cluster
        self.outside = outside
        self.password = secrets.token_urlsafe(24)  # in Vault alone, for whom a profile grants it

    def sandbox(self, name: str) -> InventoryItem | None:
        """This person's running sandbox, by what the cluster knows of its pod."""
        chosen = f"{LABEL_OWNER}/user={stable_hash('user', name)}"
        for pod in self.cluster.get("pods", "-n", PODS, "-l", chosen)["items"]:
            ended = "deletionTimestamp" in pod["metadata"]
            if pod["status"].get("phase") == "Running" and not ended:
                found = pod["metadata"]["labels"][SANDBOX_LABEL]
                return InventoryItem(id=found, user=name, server="", status=Status(value="running"))
        return None

    def pods_of(self, program: str) -> list[str]:
        """Names of a program's pods that are not being deleted."""
        chosen = f"{LABEL_OWNER}/program={program}"
        items = self.cluster.get("pods", "-n", NAMESPACE, "-l", chosen)["items"]
        return [item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]]

    def inside(self, program: str, *words: str, container: str = "") -> str:
        """What a command says inside of a program's first pod."""
        pod = self.pods_of(program)[0]
        where = ("-n", NAMESPACE, pod, "-c", container or program)
        return self.cluster.kubectl("exec", *where, "--", *words).stdout

    def admin(self, program: str, *words: str) -> str:
        """What jupyter-sandbox-admin says inside of a program's pod."""
        command = f"{Path(_PYTHON).parent}/jupyter-sandbox-admin"
        return self.inside(program, command, *words, "--site", "/etc/jupyter-sandbox/site.json")

    def objects(self) -> list[str]:
        """Every pod, policy and Secret of the sandboxes' namespace that belongs to a sandbox."""
        found = self.cluster.kubectl(
            "get", "pods,networkpolicies,secrets", "-n", PODS, "-l", SANDBOX_LABEL, "-o", "name"
        )
        return sorted(found.stdout.split())

    def doors(self) -> list[str]:
        """Ids of the sandboxes that have doors in the gateway, and of those whose pods its wires know.

        Of a pod that was forgotten an empty file `ID.gone` stays for a while, so that its id is nobody's.
        """
        places = ("/run/jupyter-sandbox/run/doors", "/var/lib/jupyter-sandbox/state/wires/pods")
        told = self.inside("gateway", "ls", *places).split()
        known = (word for word in told if word.startswith("sb-") and not word.endswith(".gone"))
        return sorted({word.partition(".")[0] for word in known})

    def logins_at_vault(self) -> list[str]:
        """Accessors of sandboxes' tokens that live."""
        vault, found = self.outside.vault, []
        for accessor in vault.accessors():
            with suppress(Refused):  # it ended meanwhile
                told = vault.call("PUT", "auth/token/lookup-accessor", {"accessor": accessor})
                found += [accessor] if told["data"]["path"] == "auth/jwt-sandbox/login" else []
        return found

    def records(self, statement: str) -> list[str]:
        """What control's database answers."""
        return self.outside.postgres.sql(statement, self.outside.database)

    def logs(self) -> str:
        """The end of what each program said."""
        parts = [self.cluster.kubectl("get", "pods", "-A", "-o", "wide", check=False).stdout]
        items = self.cluster.get("pods", "-n", NAMESPACE)["items"]
        for item in items:
            name = item["metadata"]["name"]
            for container in (*item["spec"].get("initContainers", []), *item["spec"]["containers"]):
                where = ("-n", NAMESPACE, name, "-c", container["name"])
                said = self.cluster.kubectl("logs", *where, "--tail=40", check=False).stdout
                parts.append(f"--- {name} {container['name']}\n{said[-4000:]}")
        return "\n".join(parts)


@contextmanager
def open_cluster_house(cluster: Cluster, with_images: bool = True) -> Iterator[ClusterHouse]:
    """The house for the block; its namespaces are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="jss-house-"))
    _clear(cluster)
    if with_images:
        give_images(cluster)
    try:
        with open_outside(cluster) as outside:
            trust, overlay = _papers(directory)
            write_overlay(overlay, cluster, outside)
            try:
                furnish(cluster, overlay, outside)
                running = _Running(_public_address(cluster), overlay.password, trust)
                with _lived_in(running, cluster, outside) as house:
                    _introduce(house, directory)
                    yield house
            finally:
                _clear(cluster)
    finally:
        shutil.rmtree(directory)


def _clear(cluster: Cluster) -> None:
    """No namespace of a house is there any more: what comes next applies the same manifests."""
    names = (NAMESPACE, PODS, "world")
    cluster.kubectl("delete", "namespace", *names, "--ignore-not-found", "--wait")


def give_images(cluster: Cluster) -> None:
    """Build what is not in the cache, and give it to the node."""
    done = subprocess.run([KUBERNETES / "build-images"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for line in done.stdout.splitlines():
        cluster.import_image(Path(line.split()[1]))


def _papers(directory: Path) -> tuple[ssl.SSLContext, Overlay]:
    authority = trustme.CA()
    pages = authority.issue_cert(HOST, f"*.{HOST}")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    chain = "".join(part.bytes().decode() for part in pages.cert_chain_pems)
    password = secrets.token_urlsafe(16)
    return trust, Overlay(directory, password, pages.private_key_pem.bytes().decode(), chain)


def furnish(cluster: Cluster, overlay: Overlay, outside: Outside) -> None:
    """Steps 2 to 5 of the guide. Raises ClusterError where a program does not become ready."""
    shipped = overlay.directory
    cluster.kubectl("apply", "-f", str(shipped / "base/namespaces.yaml"))
    _certificates(cluster, shipped / "certificates")
    tokens = [
        f"--from-literal={name}.token={secrets.token_hex(32)}" for name in ("control", "mlflow", "proxy")
    ]
    where = ("-n", NAMESPACE, "create", "secret", "generic")
    cluster.kubectl(*where, "tokens", *tokens)
    cluster.kubectl(*where, "database", f"--from-file=password={outside.postgres.password_file}")
    cluster.kubectl("apply", "--server-side", "-k", str(shipped / "yours"))
    wanted = ("--for=condition=Available", "deployment", "--all", f"--timeout={_READY_WITHIN}s")
    cluster.kubectl("wait", "-n", NAMESPACE, *wanted)


def _certificates(cluster: Cluster, directory: Path) -> None:
    words = [sys.executable, "-m", "jupyter_sandbox_spawner.admin", "certificates"]
    for command in ("make", "manifest"):
        done = subprocess.run(
            [*words, command, "--directory", directory], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=done.stdout)


def _public_address(cluster: Cluster) -> str:
    found = cluster.get("service", "proxy-public", "-n", NAMESPACE)
    return str(found["spec"]["clusterIP"])


def _introduce(house: ClusterHouse, directory: Path) -> None:
    """Vault learns the broker's keys, and gets a secret, as in docs/how-to/use-vault.md."""
    keys = directory / "keys.pem"
    keys.write_text(house.admin("broker", "secrets", "keys"))
    vault = house.outside.vault
    vault.set_up("--only-keys", "--jwt-key", str(keys))
    vault.put(SECRET, {"user": "reader", "password": house.password})


@pytest.fixture(scope="module")
def cluster_house(
    cluster: Cluster, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[ClusterHouse]:
    """A house for this module; what its programs said is the evidence of a failed test."""
    for lane in LANES:
        if reason := missing(lane):
            pytest.skip(f"lane {lane}: {reason}")
    with open_cluster_house(cluster) as house:
        forget = evidence("the house on the cluster", house.logs)
        yield house
        forget()


@contextmanager
def _lived_in(running: _Running, cluster: Cluster, outside: Outside) -> Iterator[ClusterHouse]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="house", daemon=True)
    thread.start()
    stack = AsyncExitStack()
    house = ClusterHouse(loop, running, stack, cluster, outside)
    try:
        yield house
    finally:
        house.wait(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
