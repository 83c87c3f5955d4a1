"""Who makes volumes for PVCs on the test cluster? This controller, one directory for each. Test-only.

They are `local` volumes, so the kubelet gives them to a pod's fsGroup as it does with a disk; nothing limits
their size. Started as a module with a cluster's directory and number.
"""

from __future__ import annotations

import http.client
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .api import Api, ApiError, Followed
from .layout import NODE, STORAGE_CLASS, Layout

__all__ = ["PROVISIONER", "main", "storage_class", "volume"]

PROVISIONER = "test.local/directories"
_MADE_BY = "pv.kubernetes.io/provisioned-by"
Item = dict[str, Any]


def storage_class() -> Item:
    """The default StorageClass."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
    }


def volume(claim: Item, directory: str) -> Item:
    """The volume for a claim, bound to it. Pure."""
    meta, spec = claim["metadata"], claim["spec"]
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pvc-{meta['uid']}", "annotations": {_MADE_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Delete",
            "local": {"path": directory},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }


def main(layout: Layout) -> None:
    """Until it is ended."""
    changed = threading.Event()
    api = Api(layout)
    claims = Followed(api, "/api/v1/persistentvolumeclaims", changed.set)
    volumes = Followed(api, "/api/v1/persistentvolumes", changed.set)
    claims.complete.wait()
    volumes.complete.wait()
    place = layout.directory / "volumes"
    place.mkdir(mode=0o711, exist_ok=True)
    while True:
        changed.clear()
        for claim in claims.items.values():
            if _waits(claim):
                _try(_make, api, claim, place)
        for item in volumes.items.values():
            if _is_over(item):
                _try(_remove, api, item, place)
        changed.wait(5)


def _waits(claim: Item) -> bool:
    spec, phase = claim["spec"], claim.get("status", {}).get("phase", "Pending")
    return spec.get("storageClassName") == STORAGE_CLASS and phase == "Pending" and not spec.get("volumeName")


def _is_over(item: Item) -> bool:
    ours = item["metadata"].get("annotations", {}).get(_MADE_BY) == PROVISIONER
    return ours and item.get("status", {}).get("phase") in ("Released", "Failed")


def _make(api: Api, claim: Item, place: Path) -> None:
    directory = place / f"pvc-{claim['metadata']['uid']}"
    directory.mkdir(mode=0o755, exist_ok=True)
    try:
        api.ask("POST", "/api/v1/persistentvolumes", volume(claim, str(directory)))
    except ApiError as error:
        if error.status != 409:
            raise


def _remove(api: Api, item: Item, place: Path) -> None:
    name = item["metadata"]["name"]
    shutil.rmtree(place / name, ignore_errors=True)
    try:
        api.ask("DELETE", f"/api/v1/persistentvolumes/{name}")
    except ApiError as error:
        if error.status != 404:
            raise


def _try(act: Callable[[Api, Item, Path], None], api: Api, item: Item, place: Path) -> None:
    try:
        act(api, item, place)
    except (OSError, ApiError, http.client.HTTPException) as error:
        print(error, flush=True)


if __name__ == "__main__":
    main(Layout(Path(sys.argv[1]), int(sys.argv[2])))
