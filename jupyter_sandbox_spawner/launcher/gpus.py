"""Which devices can this host give to sandboxes, and what is each made of? CDI specs say how, NVML says what.

Law: a device that is not exactly one sandbox's alone is not given; why not is told in a sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ..backends.base import Backend, is_over
from ..backends.given import Given, Obstacle
from ..errors import RefusedError
from ..gpus import GpuDevice, GpuInventory
from ..models import InventoryItem, SandboxSpec
from ..rules.cdi import CdiDevice, Edits, clashes
from .admission import admit_gpus
from .cdi_files import SpecDevice, read_directories, real_nodes, same_device, without_aliases
from .gpu_overlaps import NVIDIA, Piece, refuse_overlap
from .nvml import DriverGpu, read_nvml

__all__ = ["HostGpus", "Nvml", "holders"]

Nvml = Callable[[], tuple[tuple[DriverGpu, ...] | None, str]]
Why = Callable[[Given], Obstacle | None]
_HOOKS = (
    "Make a spec without hooks, or use a Docker that reads CDI specs itself (25 or newer);"
    " see docs/how-to/give-gpus.md."
)
_NO_SPEC = "Write one: nvidia-ctk cdi generate --output /etc/cdi/nvidia.yaml"


@dataclass(frozen=True, kw_only=True)
class _Known:
    """A device and, where a spec has it, how it is given."""

    device: GpuDevice
    spec: SpecDevice | None


class HostGpus:
    """The devices of this host as they were at the last `look`."""

    def __init__(self, directories: Sequence[str], nvml: Nvml = read_nvml) -> None:
        self._directories = tuple(directories)
        self._nvml = nvml
        self._known: dict[str, _Known] = {}
        self._pieces: tuple[tuple[Piece, ...], tuple[Piece, ...]] = ((), ())
        self._notes: tuple[str, ...] = ()
        self._turn = asyncio.Lock()
        self._looked = False

    async def inventory(self, backend: Backend) -> GpuInventory:
        """What can be given now on this backend; blocks nobody while the driver is asked."""
        await asyncio.to_thread(self.look)
        return self._survey(backend.gpu_obstacle)

    def survey(self, read_by_daemon: Sequence[str] = ()) -> GpuInventory:
        """What could be given by our own render, or by a daemon that reads these directories. Blocks."""

        def why(given: Given) -> Obstacle | None:
            by_daemon = given.names and set(given.directories) <= set(read_by_daemon)
            return None if by_daemon else given.obstacle

        self.look()
        return self._survey(why)

    def _survey(self, why: Why) -> GpuInventory:
        usable, notes = [], list(self._notes)
        for name, known in self._known.items():
            obstacle = why(self.give((name,)))
            if obstacle is None:
                usable.append(known.device)
            else:
                notes.append(f"{name} is not given: {obstacle.message} {obstacle.remedy}".strip())
        return GpuInventory(devices=tuple(usable), notes=tuple(dict.fromkeys(notes)))

    @asynccontextmanager
    async def giving(self, spec: SandboxSpec, backend: Backend) -> AsyncIterator[None]:
        """While this is open nobody else is given a device. Raises RefusedError for one that may not be."""
        if not spec.gpu_devices:
            yield
            return
        async with self._turn:
            inventory = await self.inventory(backend)
            held = holders(await backend.inventory(), spec.id)
            admit_gpus(spec, inventory, held)
            refuse_overlap(spec.gpu_devices, *self._pieces, held)
            yield

    def give(self, ids: Sequence[str]) -> Given:
        """See GpuSource.give."""
        if ids and not self._looked:
            self.look()
        given = Given()
        for name in ids:
            if name not in self._known:
                raise RefusedError(
                    f"gpu_devices: this host has no device {name!r}.",
                    code="launcher.gpu_unknown",
                    field="gpu_devices",
                )
            given = _together(given, _given(name, self._known[name].spec))
        return given

    def look(self) -> None:
        """Ask the driver and read every spec again. Blocks."""
        found, notes = read_directories(self._directories)
        specs = without_aliases(found)
        shared = clashes([item.device for item in specs], same_device)
        notes += [f"{why}: neither is given." for why in shared.values()]
        gpus, silence = self._nvml()
        specs = [item for item in specs if item.device.cdi not in shared]
        if gpus is None:
            specs = [item for item in specs if item.kind != NVIDIA]
        known = _merge(gpus or (), specs, notes)
        if not known:
            where = ", ".join(self._directories)
            notes.append(f"No GPU was found: no device in the CDI specs of {where}. {silence}".strip())
        elif gpus is None:
            notes.append(silence)
        self._known = {item.device.id: item for item in known}
        self._pieces = (
            tuple(_piece(item.device.id, item.spec) for item in known),
            tuple(_piece(item.device.cdi, item) for item in found),
        )
        self._notes, self._looked = tuple(notes), True


def holders(items: Iterable[InventoryItem], but: str) -> dict[str, str]:
    """By device, the id of the sandbox that has it; `but`: a sandbox that may have its own again."""
    held: dict[str, str] = {}
    for item in items:
        if item.id != but and not is_over(item.status):
            held |= dict.fromkeys(item.labels.get("gpus", "").split(), item.id)
    return held


def _merge(gpus: Sequence[DriverGpu], specs: Sequence[SpecDevice], notes: list[str]) -> list[_Known]:
    """The driver's GPUs with the specs that name them, then what only specs know."""
    left = list(specs)
    found = []
    for gpu in gpus:
        named = [item for item in left if item.kind == NVIDIA and item.device.name in gpu.names]
        left = [item for item in left if item not in named]
        spec = max(named, key=lambda item: item.device.name == gpu.device.id, default=None)
        cdi = spec.device.cdi if spec else ""
        found.append(_Known(device=replace(gpu.device, cdi=cdi), spec=spec))
    for item in left:
        if gpus and item.kind == NVIDIA:
            notes.append(f"{item.device.cdi} is no GPU that the driver has: it is not given.")
            continue
        found.append(_Known(device=_own(item.device), spec=item))
    return found


def _own(device: CdiDevice) -> GpuDevice:
    has_uuid = device.name.startswith(("GPU-", "MIG-"))
    return GpuDevice(
        id=device.name if has_uuid else device.cdi,
        kind=device.kind,
        parent=device.parent,
        cdi=device.cdi,
    )


def _piece(name: str, spec: SpecDevice | None) -> Piece:
    if spec is None:
        return Piece(name=name, kind=NVIDIA)  # only NVIDIA's driver is asked
    nodes = frozenset(same_device(node) for node in spec.device.own.nodes)
    return Piece(name=name, kind=spec.kind, nodes=nodes)


def _given(name: str, spec: SpecDevice | None) -> Given:
    if spec is None:
        obstacle = Obstacle(code="gpu.unusable", message=f"No CDI spec names {name}.", remedy=_NO_SPEC)
        return Given(ids=(name,), obstacle=obstacle)
    edits = spec.device.common + spec.device.own
    nodes, why = real_nodes(edits)
    return Given(
        ids=(name,),
        names=(spec.device.cdi,),
        directories=(spec.directory,),
        nodes=nodes,
        mounts=tuple((mount.source, mount.target) for mount in edits.mounts),
        environment=edits.environment,
        obstacle=_obstacle(spec.device.cdi, edits, why),
    )


def _obstacle(cdi: str, edits: Edits, why: str) -> Obstacle | None:
    if edits.hooks:
        text = f"The CDI spec of {cdi} wants programs run on the host as root ({edits.hooks[0]})."
        return Obstacle(code="gpu.hooks", message=text, remedy=_HOOKS)
    if edits.obstacles:
        return Obstacle(code="gpu.unusable", message=f"The CDI spec of {cdi}: {edits.obstacles[0]}.")
    if why or not edits.nodes:
        text = why or f"The CDI spec of {cdi} names no device node."
        return Obstacle(code="gpu.unusable", message=text, remedy="See: jupyter-sandbox-admin doctor")
    return None


def _together(one: Given, more: Given) -> Given:
    return Given(
        ids=(*one.ids, *more.ids),
        names=(*one.names, *more.names),
        directories=tuple(dict.fromkeys((*one.directories, *more.directories))),
        nodes=tuple(dict.fromkeys((*one.nodes, *more.nodes))),
        mounts=tuple(dict.fromkeys((*one.mounts, *more.mounts))),
        environment={**one.environment, **more.environment},
        obstacle=one.obstacle or more.obstacle,
    )
