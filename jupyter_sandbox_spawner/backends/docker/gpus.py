"""How is a daemon asked for a sandbox's devices? By CDI if it reads the specs, by NVIDIA's driver, by node.

Law: each way names the given devices and no others; none of them names "all" or a number of devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..given import VISIBLE, Given, Obstacle
from ..oci.layout import ENVIRONMENT, PATH_VARIABLE, variables

__all__ = ["GpuRequest", "choose_way", "way_of"]

_DRIVER = "nvidia"
_CAPABILITIES = ("gpu", "compute", "utility")


@dataclass(frozen=True, kw_only=True)
class GpuRequest:
    """The part of a create request that is about devices.

    `host` are fields of HostConfig; `mounts` maps a target to what is bound there read-only.
    """

    environment: tuple[str, ...] = ENVIRONMENT
    host: Mapping[str, Any] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)


def way_of(info: Mapping[str, Any], given: Given) -> str:
    """`cdi`, `nvidia` or `nodes`; `info` is what the daemon tells of itself.

    CDI: the daemon (25 or newer) reads the directories of the devices' specs. NVIDIA: its container runtime
    is there and the devices have UUIDs.
    """
    if given.directories and set(given.directories) <= set(info.get("CDISpecDirs") or ()):
        return "cdi"
    if given.known_to_driver and _DRIVER in (info.get("Runtimes") or {}):
        return _DRIVER
    return "nodes"


def choose_way(info: Mapping[str, Any], given: Given) -> GpuRequest | Obstacle:
    """The request for these devices, or why there can be none."""
    if not given.ids:
        return GpuRequest()
    way = way_of(info, given)
    if way == "cdi":
        return GpuRequest(host=_request("cdi", given.names, ()))
    if way == _DRIVER:
        environment = (PATH_VARIABLE, f"{VISIBLE}={','.join(given.ids)}")
        return GpuRequest(environment=environment, host=_request(_DRIVER, given.ids, _CAPABILITIES))
    return given.obstacle or GpuRequest(
        environment=tuple(variables(given)),
        host={"Devices": _nodes(given)},
        mounts={target: source for source, target in given.mounts},
    )


def _request(driver: str, ids: tuple[str, ...], capabilities: tuple[str, ...]) -> dict[str, Any]:
    request: dict[str, Any] = {"Driver": driver, "DeviceIDs": list(ids)}
    if capabilities:
        request["Capabilities"] = [list(capabilities)]
    return {"DeviceRequests": [request]}


def _nodes(given: Given) -> list[dict[str, str]]:
    return [
        {"PathOnHost": node.source, "PathInContainer": node.target, "CgroupPermissions": node.access}
        for node in given.nodes
    ]
