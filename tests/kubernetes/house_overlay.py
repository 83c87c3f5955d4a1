"""How does an admin make hub_config/kubernetes/example her own? Here for the test cluster, as the guide says.

docs/how-to/run-on-kubernetes.md, step 4: a copy of the directory, and in it what only she knows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import STORAGE_CLASS, Cluster

from .house_outside import NAME, SECRET, Outside
from .shipped import KUBERNETES

__all__ = ["HOST", "Overlay", "write_overlay"]

HOST = "hub.example.org"
NAMESPACE = "jupyter-sandbox"
# The address of the outside (TEST-NET-2) counts as private.
_WAY_OUT = {"host": NAME, "ports": [80], "allow_private": ["198.51.100.0/24"]}
_SANDBOX = {"cpu": 0.1, "memory": "1G", "pids": 256, "disk": "1G", "egress": [_WAY_OUT], "secrets": [SECRET]}
_PROFILES = [
    {"display_name": "Small", "slug": "small", "default": True, "sandbox": {**_SANDBOX, "ttl": "2h"}},
    {"display_name": "Idle", "slug": "idle", "sandbox": {**_SANDBOX, "ttl": "2h", "idle_timeout": "1m"}},
]
# The node of the test cluster has two processors, and other tests' servers ask for theirs.
_LESS = [{"op": "replace", "path": "/spec/template/spec/containers/N/resources/requests/cpu", "value": "10m"}]


@dataclass(frozen=True)
class Overlay:
    """Where it lies, how people log in, and who signed the certificate of the hub's pages."""

    directory: Path
    password: str
    public_key: str
    public_certificate: str


def write_overlay(overlay: Overlay, cluster: Cluster, outside: Outside) -> None:
    """The directories base, common, hub and yours below the overlay's directory."""
    for name in ("base", "common", "hub"):
        shutil.copytree(KUBERNETES / name, overlay.directory / name)
    yours = overlay.directory / "yours"
    shutil.copytree(KUBERNETES / "example", yours)
    _site(yours / "site.json", cluster, outside)
    _addresses(yours / "addresses.yaml", cluster, outside)
    storage = (yours / "storage.yaml").read_text()
    (yours / "storage.yaml").write_text(storage.replace("shared-files", STORAGE_CLASS))
    (yours / "database-authority.pem").write_text(outside.postgres.authority)
    (yours / "vault-authority.pem").write_text(outside.vault.ca_file.read_text())
    (yours / "profiles.yaml").write_text(yaml.safe_dump(_PROFILES))
    (yours / "more.yaml").write_text(yaml.safe_dump_all(_more(overlay, cluster, outside)))
    (yours / "broker.yaml").write_text(yaml.safe_dump(_vault_authority()))
    _kustomization(yours / "kustomization.yaml")
    _who_may_log_in(overlay)


def _service_address(cluster: Cluster, last: int) -> str:
    return cluster.layout.services.replace("0/24", str(last))


def _site(file: Path, cluster: Cluster, outside: Outside) -> None:
    site = json.loads(file.read_text())
    version = site["kubernetes"]["link_image"].rpartition(":")[2]
    site["environments"]["default"]["image"] = f"docker.io/local/jupyter-sandbox-user:{version}"
    place = f"{outside.postgres.host}:{outside.postgres.port}/{outside.database}"
    _, _, options = site["database"].partition("?")
    site["database"] = f"postgresql://control@{place}?{options}"
    site["kubernetes"] |= {
        "gateway_address": _service_address(cluster, 44),
        "link_image": f"docker.io/local/jupyter-sandbox-link:{version}",
        "host_users": "allowed",  # containerd 1.6 has no user namespaces for pods
    }
    site["vault"] = {
        "address": outside.vault.address,
        "ca": "/etc/jupyter-sandbox-vault/ca.pem",
        "login": "kubernetes",
        "token_file": "/run/jupyter-sandbox-vault/token",
    }
    file.write_text(json.dumps(site, indent=1))


def _addresses(file: Path, cluster: Cluster, outside: Outside) -> None:
    gateway, api, database = yaml.safe_load_all(file.read_text())
    gateway["spec"]["clusterIP"] = _service_address(cluster, 44)
    api["spec"]["egress"][0]["to"] = [
        {"ipBlock": {"cidr": f"{address}/32"}}
        for address in (_service_address(cluster, 1), cluster.layout.node_address)
    ]
    database["spec"]["egress"] = [_open(outside.postgres.host, outside.postgres.port)]
    file.write_text(yaml.safe_dump_all([gateway, api, database]))


def _open(address: str, port: int) -> dict[str, Any]:
    return {"to": [{"ipBlock": {"cidr": f"{address}/32"}}], "ports": [{"protocol": "TCP", "port": port}]}


def _more(overlay: Overlay, cluster: Cluster, outside: Outside) -> list[dict[str, Any]]:
    """What the guide leaves to the admin: the way to Vault, and the certificate of the hub's pages."""
    port = int(outside.vault.address.rpartition(":")[2])
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "broker-to-vault", "namespace": NAMESPACE},
            "spec": {
                "podSelector": {"matchLabels": {"jupyter-sandbox-spawner/program": "broker"}},
                "policyTypes": ["Egress"],
                "egress": [_open(cluster.host_address, port)],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "pages", "namespace": NAMESPACE},
            "stringData": {"tls.key": overlay.public_key, "tls.crt": overlay.public_certificate},
        },
    ]


def _vault_authority() -> dict[str, Any]:
    place = {"name": "vault-authority", "mountPath": "/etc/jupyter-sandbox-vault", "readOnly": True}
    spec = {
        "containers": [{"name": "broker", "volumeMounts": [place]}],
        "volumes": [{"name": "vault-authority", "configMap": {"name": "vault-authority"}}],
    }
    return _deployment("broker", spec)


def _deployment(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "namespace": NAMESPACE}
    body = {"template": {"spec": dict(spec)}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": body}


def _kustomization(file: Path) -> None:
    words = yaml.safe_load(file.read_text())
    del words["images"]
    words["resources"].append("more.yaml")
    words["configMapGenerator"] += [
        {"name": "profiles", "namespace": NAMESPACE, "behavior": "replace", "files": ["profiles.yaml"]},
        {"name": "vault-authority", "namespace": NAMESPACE, "files": ["ca.pem=vault-authority.pem"]},
    ]
    words["patches"] += [
        {"path": "broker.yaml"},
        {"target": {"kind": "Deployment"}, "patch": json.dumps(_less(0))},
        {
            "target": {"kind": "Deployment", "labelSelector": "jupyter-sandbox-spawner/wires=true"},
            "patch": json.dumps(_less(1)),
        },
        {"target": {"kind": "Deployment", "name": "proxy"}, "patch": json.dumps(_proxy_with_tls())},
        {"target": {"kind": "Service", "name": "proxy-public"}, "patch": json.dumps(_at_443())},
    ]
    file.write_text(yaml.safe_dump(words))


def _less(number: int) -> list[dict[str, Any]]:
    return [{**step, "path": str(step["path"]).replace("N", str(number))} for step in _LESS]


def _proxy_with_tls() -> list[dict[str, Any]]:
    spec = "/spec/template/spec"
    place = {"name": "pages", "mountPath": "/run/pages", "readOnly": True}
    volume = {"name": "pages", "secret": {"secretName": "pages", "defaultMode": 0o444}}
    return [
        {"op": "add", "path": f"{spec}/containers/0/args/-", "value": "--ssl-key=/run/pages/tls.key"},
        {"op": "add", "path": f"{spec}/containers/0/args/-", "value": "--ssl-cert=/run/pages/tls.crt"},
        {"op": "add", "path": f"{spec}/containers/0/volumeMounts/-", "value": place},
        {"op": "add", "path": f"{spec}/volumes/-", "value": volume},
    ]


def _at_443() -> list[dict[str, Any]]:
    return [{"op": "replace", "path": "/spec/ports/0/port", "value": 443}]


def _who_may_log_in(overlay: Overlay) -> None:
    file = overlay.directory / "hub/config/jupyterhub_config.py"
    lines = f"""
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = {overlay.password!r}
c.Authenticator.allowed_users = {{"alice", "bob", "carol"}}
"""
    marker = "c.JupyterHub.allow_named_servers"
    file.write_text(file.read_text().replace(marker, lines + marker, 1))
