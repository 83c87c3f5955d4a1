"""Who owns a sandbox's user namespace? Its own host uid, so the kernel charges that user for what it uses.

The kernel counts inotify instances, locked memory, signals and processes for the user inside *and* for the
owner of each namespace around it. Made by root, all sandboxes would share root's counts: measured, one
sandbox took 126 of 128 inotify instances and its neighbour got none. Trap T7.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ...errors import BackendError
from .layout import USER_ID

__all__ = ["hold_processes", "share_inotify", "user_namespace"]

_PATIENCE = 10.0  # seconds for three small programs to start
# Of an ordinary user's 128 for all sandboxes; a notebook server needs one or two.
_INOTIFY_INSTANCES = 16


@asynccontextmanager
async def user_namespace(host_uid: int, root_uid: int) -> AsyncIterator[str]:
    """A new user namespace made by `host_uid`: 0 inside is `root_uid`, 1000 inside is `host_uid`.

    Yields its path, which is good while the context is open; what has joined it by then keeps it alive.
    """
    # CAP_SYS_ADMIN for one call: hosts may refuse user namespaces to those without it (AppArmor, sysctl).
    holder = await asyncio.create_subprocess_exec(
        *("setpriv", f"--reuid={host_uid}", f"--regid={host_uid}", "--clear-groups"),
        *("--inh-caps=+sys_admin", "--ambient-caps=+sys_admin", "--"),
        *("unshare", "--user", "--", "cat"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath},
    )
    try:
        await _wait_until_unshared(holder)
        mapping = f"0 {root_uid} 1\n{USER_ID} {host_uid} 1\n"
        _map(holder.pid, mapping)
        yield f"/proc/{holder.pid}/ns/user"
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.communicate()


async def hold_processes(pid: int, most: int) -> None:
    """Let a sandbox that is made and not started have so many processes, or as many as we where that is less.

    The kernel counts them by uid and user namespace, and that is the sandbox's own: so this limit is each
    sandbox's (before Linux 5.14: each user's). It is not set on the runtime, for which everything else of its
    uid would count as well. Raises BackendError `namespace.failed`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)  # which the sandbox has from us
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    await _in_namespace(pid, "prlimit", "--pid", str(pid), f"--nproc={limit}:{limit}")


async def share_inotify(pid: int) -> None:
    """Leave other sandboxes their part of an ordinary user's inotify instances, which all of them share."""
    file = "/proc/sys/user/max_inotify_instances"
    await _in_namespace(pid, "sh", "-c", f"echo {_INOTIFY_INSTANCES} > {file}")


async def _in_namespace(pid: int, *command: str) -> None:
    """Run a program as uid 0 of a sandbox's namespace: there it may what a container's root may not."""
    process = await asyncio.create_subprocess_exec(
        *("nsenter", "--user", "--target", str(pid), "--", *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": f"{os.defpath}:/usr/sbin:/sbin"},
    )
    _, complaint = await asyncio.wait_for(process.communicate(), _PATIENCE)
    if process.returncode:
        raise BackendError(
            f"A limit could not be set: {complaint.decode(errors='replace').strip()}",
            code="namespace.failed",
            remedy="The launcher's log has the command; run: jupyter-sandbox-admin doctor",
        )


def _map(pid: int, mapping: str) -> None:
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text(mapping)


async def _wait_until_unshared(holder: asyncio.subprocess.Process) -> None:
    if holder.stdin is None or holder.stdout is None or holder.stderr is None:
        raise BackendError("The namespace's holder has no pipes.", code="namespace.failed")
    holder.stdin.write(b"\n")
    echo = await asyncio.wait_for(holder.stdout.read(1), _PATIENCE)  # cat answers once it runs
    if not echo:
        reason = (await holder.stderr.read()).decode(errors="replace").strip()
        raise BackendError(
            f"No user namespace could be made: {reason}",
            code="namespace.failed",
            remedy="Raise the limit: sysctl user.max_user_namespaces=10000",
        )
