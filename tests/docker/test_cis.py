"""What does section 5 of the CIS Docker Benchmark say of a live sandbox? Attack I14.

Numbers and subjects are those of version 1.6.0 as docker/docker-bench-security checks them; its script
asks the daemon the same questions. 5.1 and 5.28 are about the daemon and its images. A warning must be one
that is named here with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .bench import DockerBench

Control = Callable[[str, bool], None]
Inspected = dict[str, Any]
SENSITIVE = ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
# What remains, and why. AppArmor and SELinux are the host's; both may be absent.
NAMED = {
    "5.2": "the host has no AppArmor",
    "5.3": "the host has no SELinux",
    "5.27": "the hub and the gateway watch the server; a health check would run a program in every container",
}


def _of_the_host(host: Inspected, found: Inspected) -> Iterator[tuple[str, bool]]:
    """Checks of what a container shares with its host."""
    mounts = found["Mounts"]
    yield "5.6", not [mount["Source"] for mount in mounts if mount["Source"] in SENSITIVE]
    yield "5.10", host["NetworkMode"] != "host"
    yield "5.16", host["PidMode"] != "host"
    yield "5.17", host["IpcMode"] != "host"
    yield "5.18", not host["Devices"]
    yield "5.20", not [mount for mount in mounts if mount.get("Propagation") in ("shared", "rshared")]
    yield "5.21", host["UTSMode"] != "host"
    yield "5.25", host["CgroupParent"] == ""
    yield "5.30", "bridge" not in found["NetworkSettings"]["Networks"]
    yield "5.31", host["UsernsMode"] != "host"
    yield "5.32", not [mount["Source"] for mount in mounts if mount["Source"].endswith("docker.sock")]


def _of_the_container(host: Inspected, found: Inspected) -> Iterator[tuple[str, bool]]:
    """Checks of what a container may do and use."""
    options = host["SecurityOpt"] or []
    yield "5.2", bool(found["AppArmorProfile"])
    yield "5.3", any(option.startswith("label") for option in options)
    yield "5.4", not host["CapAdd"]
    yield "5.5", not host["Privileged"]
    yield "5.8", not host["PortBindings"]
    yield "5.9", not found["NetworkSettings"]["Ports"]
    yield "5.11", host["Memory"] > 0
    yield "5.12", host["CpuShares"] > 0
    yield "5.13", bool(host["ReadonlyRootfs"])
    yield "5.14", not host["PublishAllPorts"]
    yield (
        "5.15",
        host["RestartPolicy"]["Name"] in ("no", "") or host["RestartPolicy"]["MaximumRetryCount"] <= 5,
    )
    yield "5.19", bool(host["Ulimits"])
    yield "5.22", not [option for option in options if option == "seccomp=unconfined"]
    yield "5.26", "no-new-privileges" in {option.partition(":")[0].partition("=")[0] for option in options}
    yield "5.27", bool(found["State"].get("Health"))
    yield "5.29", (host["PidsLimit"] or 0) > 0


def warnings(found: Inspected) -> set[str]:
    """Numbers of the checks that a container does not pass."""
    host = found["HostConfig"]
    checks = [*_of_the_host(host, found), *_of_the_container(host, found)]
    return {number for number, good in checks if not good}


@pytest.mark.proves("I14")
async def test_no_warning_but_those_that_are_named(docker: DockerBench, control: Control) -> None:
    """A live sandbox passes every check of section 5 but three, each with its reason."""
    spec = await docker.running()
    plain = docker.daemon.ask(
        "create", "--privileged", "--pid=host", "--volume=/etc:/host", docker.image, "/bin/true"
    )
    try:
        careless = warnings(docker.inspect_named(plain.strip()))
    finally:
        docker.daemon.ask("rm", plain.strip())
    control("a careless container is found out", {"5.5", "5.6", "5.11", "5.13", "5.16", "5.29"} <= careless)
    assert warnings(docker.inspect(spec)) <= set(NAMED)


@pytest.mark.proves("I14")
async def test_nothing_but_the_server_runs_inside(docker: DockerBench, control: Control) -> None:
    """5.7: no sshd; 5.23, 5.24: the launcher never executes anything in a running container."""
    spec = await docker.running()
    name = f"jupyter-sandbox-spawner-{spec.id}"
    rows = docker.daemon.ask("top", name, "-eo", "pid,comm").splitlines()[1:]
    control("its own process is seen", len(rows) == 1)
    assert not [row for row in rows if "sshd" in row]
    assert docker.inspect(spec)["ExecIDs"] is None
