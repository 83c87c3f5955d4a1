"""What does this machine give: programs, kernel switches, cgroups? Looks only; changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ..ordinary import look_at_host
from .finding import Finding
from .ordinary_findings import ordinary_findings
from .requirements import LEAST_NODE, node_version, search_path
from .versions import numbers

__all__ = ["machine_findings", "runtime_finding"]

_CONTROLLERS = ("memory", "pids", "cpu")
_LEAST_KERNEL = (5, 3)
_TOP = Path("/sys/fs/cgroup")


def machine_findings(runtimes: Sequence[str] = ("runc",)) -> Iterator[Finding]:
    """In the order in which a start would meet them; `runtimes` are the OCI runtimes of the site."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _kernel,
        *(partial(runtime_finding, runtime) for runtime in runtimes),
        _node,
        _proxy,
        _cgroups,
        _limits,
        _seccomp,
    )
    for check in checks:
        yield check()
    if os.geteuid() == 0:
        yield _user_namespaces()
        yield Finding(name="privilege", fine=True, seen="root: a host uid for each user")
    else:
        yield from ordinary_findings(look_at_host())


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 10)
    return Finding(name="python", fine=fine, seen=version, remedy="Use Python 3.10 or newer.")


def _kernel() -> Finding:
    """Its number alone tells no hole: distributions patch under the same number."""
    found = os.uname()
    fine = found.sysname == "Linux" and numbers(found.release) >= _LEAST_KERNEL
    remedy = "Boot a newer one: pidfds, by which processes are watched and ended, came with Linux 5.3."
    return Finding(name="kernel", fine=fine, seen=f"{found.sysname} {found.release}", remedy=remedy)


def runtime_finding(name: str) -> Finding:
    """Is the OCI runtime there, and which one is it?"""
    path = shutil.which(name, path=search_path())
    remedy = f"apt-get install {name}"
    if path is None:
        return Finding(name=name, fine=False, seen="not installed", remedy=remedy)
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    first = answer.stdout.partition("\n")[0] or answer.stderr.strip()
    return Finding(name=name, fine=answer.returncode == 0, seen=first, remedy=remedy)


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
    unified = _TOP / "cgroup.controllers"
    if unified.exists():
        mode, present = "v2", set(unified.read_text().split())
    else:
        mode = "hybrid (v1 and v2)" if (_TOP / "unified").is_dir() else "v1"
        present = {name for name in _CONTROLLERS if (_TOP / name).is_dir()}
    absent = [name for name in _CONTROLLERS if name not in present]
    seen = f"{mode}, " + (f"without {', '.join(absent)}" if absent else "memory, pids and cpu")
    remedy = "Limits are soft without them; boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)."
    return Finding(name="cgroups", fine=not absent, seen=seen, remedy=remedy)


def _limits() -> Finding:
    """Would the launcher call them hard? It tries at its start; this is what can be told without trying."""
    places = [_TOP] if (_TOP / "cgroup.controllers").exists() else [_TOP / name for name in _CONTROLLERS]
    closed = [str(place) for place in places if not os.access(place, os.W_OK)]
    if closed:
        remedy = "Run as root, or in a cgroup of its own: systemd-run --user --scope -p Delegate=yes ..."
        seen = f"soft: {closed[0]} is not ours"
        needed = os.geteuid() == 0
        return Finding(name="limits", fine=False, seen=seen, remedy=remedy, needed=needed)
    if _has_swap() and not _limits_swap():
        remedy = "swapoff -a, or boot with swapaccount=1"
        return Finding(
            name="limits", fine=False, seen="soft: swap is on and unlimited", remedy=remedy, needed=False
        )
    return Finding(name="limits", fine=True, seen="hard")


def _has_swap() -> bool:
    return len(Path("/proc/swaps").read_text().splitlines()) > 1


def _limits_swap() -> bool:
    if (_TOP / "cgroup.controllers").exists():
        return any(_TOP.glob("*/memory.swap.max"))
    return (_TOP / "memory/memory.memsw.limit_in_bytes").exists()


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
    """Three switches can forbid them: the count, Debian's for ordinary users, Ubuntu's AppArmor.

    Only the first binds root.
    """
    switches = (
        ("user.max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("kernel.unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    )
    restricted = []
    for name, forbidding, remedy in switches:
        path = Path("/proc/sys", *name.split("."))
        if not path.exists() or path.read_text().strip() != forbidding:
            continue
        if name.startswith("user."):
            return Finding(name="user namespaces", fine=False, seen=f"{name} = {forbidding}", remedy=remedy)
        restricted.append(f"{name} = {forbidding}")
    seen = f"allowed to root ({', '.join(restricted)} binds others)" if restricted else "allowed"
    return Finding(name="user namespaces", fine=True, seen=seen)
