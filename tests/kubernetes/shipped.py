"""What is in hub_config/kubernetes, as `kubectl kustomize` makes it? Read once a session."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from jupyter_sandbox_spawner.settings import Site, load_site
from tests.lanes import CHECKOUT, kubectl

__all__ = [
    "KUBERNETES",
    "OVERLAYS",
    "PROGRAM",
    "Manifest",
    "found",
    "kustomized",
    "pod_templates",
    "rendered",
    "site_of",
]

Manifest = dict[str, Any]
KUBERNETES = CHECKOUT / "hub_config/kubernetes"
OVERLAYS = ("base", "example")
PROGRAM = "jupyter-sandbox-spawner/program"


@cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """All objects of a directory of hub_config/kubernetes."""
    return kustomized(KUBERNETES / overlay)


def kustomized(directory: Path) -> tuple[Manifest, ...]:
    """All objects of a kustomization."""
    words = ["kubectl", "kustomize", directory]
    done = subprocess.run(
        words, executable=kubectl(), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return tuple(item for item in yaml.safe_load_all(done.stdout) if item)


def found(overlay: str, kind: str, name: str = "", namespace: str = "") -> list[Manifest]:
    """Objects of a kind."""
    return [
        item
        for item in rendered(overlay)
        if item["kind"] == kind
        and name in ("", item["metadata"]["name"])
        and namespace in ("", item["metadata"].get("namespace"))
    ]


def pod_templates(overlay: str) -> Mapping[str, Manifest]:
    """Pod templates by the name of their Deployment."""
    return {item["metadata"]["name"]: item["spec"]["template"] for item in found(overlay, "Deployment")}


def site_of(overlay: str) -> Site:
    """The site that the ConfigMap brings."""
    place = {"base": "base/config/site.json", "example": "example/site.json"}[overlay]
    return load_site(KUBERNETES / place)
