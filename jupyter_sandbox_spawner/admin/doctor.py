"""Can this machine run sandboxes, and if not, what helps? Looks only; changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .requirements import LEAST_NODE, node_version, search_path

__all__ = ["Finding", "examine"]

_CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: fine or not, what was seen, and what to do where it is not fine."""

    name: str
    fine: bool
    seen: str
    remedy: str = ""


def examine() -> Sequence[Finding]:
    """Every finding, in the order in which a start would meet them."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _runtime,
        _node,
        _proxy,
        _cgroups,
        _seccomp,
        _user_namespaces,
        _privilege,
    )
    return [check() for check in checks]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        name="python", fine=sys.version_info >= (3, 10), seen=version, remedy="Use Python 3.10 or newer."
    )


def _runtime() -> Finding:
    path = shutil.which("runc", path=search_path())
    remedy = "apt-get install runc"
    if path is None:
        return Finding(name="runc", fine=False, seen="not installed", remedy=remedy)
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    first = answer.stdout.partition("\n")[0] or answer.stderr.strip()
    return Finding(name="runc", fine=answer.returncode == 0, seen=first, remedy=remedy)


def _node() -> Finding:
    remedy = "apt-get install nodejs npm"
    if shutil.which("node") is None:
        return Finding(name="node", fine=False, seen="not installed", remedy=remedy)
    version = node_version()
    return Finding(name="node", fine=version >= LEAST_NODE, seen=f"version {version}", remedy=remedy)


def _proxy() -> Finding:
    path = shutil.which("configurable-http-proxy", path=search_path())
    remedy = "npm install -g 'configurable-http-proxy@^5.3', or set c.ConfigurableHTTPProxy.command"
    return Finding(name="proxy", fine=path is not None, seen=path or "not on PATH", remedy=remedy)


def _cgroups() -> Finding:
    """Which hierarchy carries the controllers that the limits need."""
    top = Path("/sys/fs/cgroup")
    unified = top / "cgroup.controllers"
    if unified.exists():
        mode, present = "v2", set(unified.read_text().split())
    else:
        mode = "hybrid (v1 and v2)" if (top / "unified").is_dir() else "v1"
        present = {name for name in _CONTROLLERS if (top / name).is_dir()}
    absent = [name for name in _CONTROLLERS if name not in present]
    seen = f"{mode}, " + (f"without {', '.join(absent)}" if absent else "memory, pids and cpu")
    remedy = "Limits are soft without them; boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)."
    return Finding(name="cgroups", fine=not absent, seen=seen, remedy=remedy)


def _seccomp() -> Finding:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    fine = actions.exists() and "errno" in actions.read_text().split()
    return Finding(
        name="seccomp",
        fine=fine,
        seen="filters available" if fine else "the kernel has no seccomp filters",
        remedy="Use a kernel with CONFIG_SECCOMP_FILTER; nothing starts without it.",
    )


def _user_namespaces() -> Finding:
    """Three switches can forbid them: the count, Debian's for ordinary users, Ubuntu's AppArmor."""
    switches = (
        ("user.max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel.unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    )
    for name, forbidding, remedy in switches:
        path = Path("/proc/sys", *name.split("."))
        only_ordinary = name.startswith("kernel.") and os.geteuid() == 0
        if path.exists() and path.read_text().strip() == forbidding and not only_ordinary:
            return Finding(name="user namespaces", fine=False, seen=f"{name} = {forbidding}", remedy=remedy)
    return Finding(name="user namespaces", fine=True, seen="allowed")


def _privilege() -> Finding:
    if os.geteuid() == 0:
        return Finding(name="privilege", fine=True, seen="root: a host uid for each user")
    return Finding(
        name="privilege",
        fine=False,
        seen=f"uid {os.geteuid()}: every sandbox would share it",
        remedy="Run as root; ordinary-user mode comes with a later version.",
    )
