"""Is this request what the launcher's own books say? Asked again for every request, whoever sends it.

Law: a path or a uid in a request is never used; it is compared with ours and refused if it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..backends.oci.layout import HOME
from ..errors import RefusedError
from ..gpus import GpuInventory
from ..models import Doors, Mount, Resources, SandboxSpec, UserPlace
from ..names import is_sandbox_id
from ..rules.catalogue import Dataset
from ..rules.datasets import looseness
from ..rules.profiles import door_uid, runtime_refusal
from ..settings import Site

__all__ = ["Books", "admit", "admit_gpus"]

_LEAST_MEMORY = 16 << 20  # bytes; below it not even the first process starts
_MOST_FILES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Books:
    """What the launcher knows by itself: the site, and the file's datasets by `id@version`."""

    site: Site
    datasets: Mapping[str, Dataset] = field(default_factory=dict)


def admit(
    spec: SandboxSpec, doors: Doors, books: Books, place: UserPlace | None, overlay: Mapping[str, Any]
) -> None:
    """Refuse a spec that differs from the registry, the site, the catalogue or what this backend can hold.

    `place` is what the registry has for the spec's user and zone. Raises RefusedError; its field says where.
    """
    site = books.site
    if not is_sandbox_id(spec.id):
        raise _refuse("id", f"{spec.id!r} is not a sandbox's id.", "launcher.id_invalid")
    if place is None:
        raise RefusedError(
            f"The home of {spec.user!r} is not there any more.",
            code="launcher.no_home",
            field="host_uid",
            remedy="Start the server again: a start makes one.",
        )
    if spec.host_uid != place.host_uid:
        raise _refuse("host_uid", f"{spec.host_uid} is not the uid of {spec.user!r}.", "launcher.uid_foreign")
    if spec.door_uid != door_uid(spec.runtime, place, site.carrier_uid):
        raise _refuse("door_uid", f"{spec.door_uid} is not the uid of its doors.", "launcher.uid_foreign")
    if spec.environment_name not in site.environments:
        known = ", ".join(sorted(site.environments))
        text = f"{spec.environment_name!r} is not one of: {known}."
        raise _refuse("environment_name", text, "launcher.environment_unknown")
    if spec.runtime not in site.runtimes:
        text = runtime_refusal(spec.runtime, site.runtimes)
        raise _refuse("runtime", text, "launcher.runtime_unknown")
    if doors.directory != f"{site.doors_dir}/{spec.id}":
        raise _refuse("doors", f"{doors.directory} are not this sandbox's doors.", "launcher.doors_foreign")
    if bool(doors.ticket) != (site.backend == "kubernetes"):
        has = "has a ticket that nobody asks for" if doors.ticket else "has no ticket for the gateway"
        raise _refuse("doors.ticket", f"The sandbox {has}.", "launcher.ticket")
    _admit_mounts(spec, place, books)
    _admit_resources(spec.resources)
    if len(str(overlay)) > 65536:
        raise _refuse("overlay", "It is larger than 64 KiB.", "launcher.overlay_too_large")


def admit_gpus(spec: SandboxSpec, inventory: GpuInventory, holders: Mapping[str, str]) -> None:
    """Refuse a device that this host has not, or that another sandbox has: whole, or a part or its GPU.

    `holders`: by device, the sandbox that has it. A hub in strange hands gets no device twice either.
    """
    known = {device.id: device for device in inventory.devices}
    for name in spec.gpu_devices:
        if name not in known:
            text = f"{name!r} is no device that can be given here. See: jupyter-sandbox-admin doctor"
            raise _refuse("gpu_devices", text, "launcher.gpu_unknown")
        parts = {device.id for device in inventory.devices if device.parent == name}
        for same in (name, known[name].parent, *sorted(parts)):
            if same in holders:
                raise _refuse("gpu_devices", f"{same} is given to {holders[same]}.", "launcher.gpu_taken")
    if len(set(spec.gpu_devices)) != len(spec.gpu_devices):
        raise _refuse("gpu_devices", "A device is named twice.", "launcher.gpu_taken")


def _admit_mounts(spec: SandboxSpec, place: UserPlace, books: Books) -> None:
    homes = [mount for mount in spec.mounts if mount.kind == "home"]
    for mount in homes:
        if mount != Mount(kind="home", source=place.home, target=HOME, read_only=False):
            zone = f" in the zone {spec.zone!r}" if spec.zone else ""
            text = f"{mount.source} at {mount.target} is not the home of {spec.user!r}{zone}."
            raise _refuse("mounts", text, "launcher.mount_foreign")
    if len(homes) != 1:
        raise _refuse("mounts", f"There must be one home, not {len(homes)}.", "launcher.mount_foreign")
    data = [mount for mount in spec.mounts if mount.kind == "dataset"]
    if len({mount.target for mount in data}) != len(data):
        raise _refuse("mounts", "Two datasets have one place.", "launcher.dataset_foreign")
    loose = looseness(spec, [_dataset_of(mount, books).tags for mount in data], books.site.internal_services)
    if loose:
        raise _refuse("zone", loose, "launcher.zone_loose")


def _dataset_of(mount: Mount, books: Books) -> Dataset:
    """The dataset of the file that is mounted, exactly so and read-only."""
    known = books.datasets.get(mount.dataset)
    if known is None or (mount.source, mount.target) != (known.path, known.target) or not mount.read_only:
        text = f"{mount.source} at {mount.target} is not {mount.dataset!r} of this site's file, read-only."
        raise _refuse("mounts", text, "launcher.dataset_foreign")
    return known


def _admit_resources(resources: Resources) -> None:
    limits = {
        "cpu": 0.01 <= resources.cpu <= 4096,
        "memory": _LEAST_MEMORY <= resources.memory < 1 << 50,
        "pids": 1 <= resources.pids <= 1 << 20,
        "tmpfs": 4096 <= resources.tmpfs < 1 << 50,
        "tmpfs_inodes": 1 <= resources.tmpfs_inodes <= 1 << 30,
        "shm": 4096 <= resources.shm < 1 << 50,
        "files": 64 <= resources.files <= _MOST_FILES,
    }
    for name, fine in limits.items():
        if not fine:
            text = f"{getattr(resources, name)} is no limit that can be enforced."
            raise _refuse(f"resources.{name}", text, "launcher.resources_invalid")


def _refuse(field: str, message: str, code: str) -> RefusedError:
    return RefusedError(f"{field}: {message}", code=code, field=field)
