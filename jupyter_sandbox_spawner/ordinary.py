"""How does an ordinary user come to own sandboxes? As uid 0 of a user namespace that lasts as they do.

Law: numbers mean the same inside and outside: only 0 is another's (it is us); each subordinate uid keeps its
number, so that homes, doors and records name one uid whoever looks.
Law: the namespace outlives the launcher. The kernel lets a process act on namespaces below its own only, so a
launcher that made itself a new one could no longer end the sandboxes of the one before.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import ConfigurationError
from .rules.subids import Facts, Subids, first_obstacle, subids_of, usable

__all__ = [
    "end_namespace",
    "has_namespace",
    "has_own_namespace",
    "inside_namespace",
    "look_at_host",
    "mapped_subids",
    "require_subids",
]

_FILE = "namespace.json"
_TOOLS = ("unshare", "nsenter", "setpriv")
_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
# It does nothing: namespaces live as long as a process in them.
_HOLDER = ("sleep", "infinity")
_MAKE = ("unshare", "--user", "--mount", "--propagation", "slave", "--")


def has_own_namespace() -> bool:
    """Are we uid 0 of a user namespace, and not of the host?"""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def mapped_subids() -> Subids:
    """The subordinate uids of the namespace that we are in."""
    lines = (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    found = [Subids(first=int(inside), count=int(count)) for inside, _, count in lines if inside != "0"]
    return max(found, key=lambda item: item.count)


def look_at_host() -> Facts:
    """What this host says about us; `rules.subids` judges it."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Facts(
        user=user,
        uid=uid,
        subuid=_text("/etc/subuid") or "",
        subgid=_text("/etc/subgid") or "",
        newuidmap=_found("newuidmap"),
        newgidmap=_found("newgidmap"),
        tools=all(_found(name) for name in _TOOLS),
        max_user_namespaces=_text("/proc/sys/user/max_user_namespaces"),
        unprivileged_userns_clone=_text("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restrict_unprivileged_userns=_apparmor(),
    )


def require_subids(facts: Facts | None = None) -> Subids:
    """The uids for sandboxes of an ordinary user. Raises ConfigurationError `ordinary.*` with the way out."""
    facts = facts or look_at_host()
    obstacle, found = first_obstacle(facts), usable(facts)
    if obstacle is not None or found is None:
        seen = obstacle.seen if obstacle else "there are no subordinate ids"
        raise ConfigurationError(
            f"Without root, sandboxes cannot be made here: {seen}.",
            code=f"ordinary.{obstacle.code}" if obstacle else "ordinary.no_subuid",
            remedy=f"Run: {obstacle.remedy}" if obstacle else "",
        )
    return found


def inside_namespace(directory: str, command: Sequence[str]) -> list[str]:
    """What runs `command` as uid 0 of the namespace of `directory` (0700, ours), which is made on first use.

    Where it replaces this process, that keeps its number, and dies with its parent if it did before. Raises
    ConfigurationError `ordinary.*`.
    """
    pid = _holder(directory) or _make(directory)
    end = ("setpriv", "--pdeathsig", "KILL", "--") if _dies_with_parent() else ()
    # nsenter also gives up our groups: what a sandbox starts from has none of the host's.
    enter = (_program("nsenter"), "--user", "--mount", "--target", str(pid), "--wd=/", "--")
    return [*enter, *end, *command]


def has_namespace(directory: str) -> bool:
    """Does the namespace of a directory still stand?"""
    return _holder(directory) is not None


def end_namespace(directory: str) -> None:
    """End the namespace of a directory; what runs in it by then goes on. No-op if there is none."""
    pid = _holder(directory)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # a launcher that came later has not made it
            os.waitpid(pid, 0)
    Path(directory, _FILE).unlink(missing_ok=True)


def _make(directory: str) -> int:
    """A new namespace with its holder; the pid of that, recorded."""
    facts = look_at_host()
    uids = require_subids(facts)
    gids = subids_of(facts.subgid, facts.user, facts.uid)
    holder = subprocess.Popen(
        # "ready" is said inside, so the maps are written to a namespace that is there.
        [*_MAKE, "sh", "-c", f"echo ready; read -r _; exec {' '.join(_HOLDER)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={"PATH": _search_path(), "JUPYTER_SANDBOX_NAMESPACE": directory},
    )
    try:
        _map(holder, uids, gids.first if gids else uids.first)
    except BaseException:
        holder.kill()
        raise
    finally:
        for stream in (holder.stdin, holder.stdout, holder.stderr):
            if stream is not None:
                stream.close()
    _record(directory, holder.pid)
    holder.returncode = 0  # it outlives this object, which shall not complain
    return holder.pid


def _map(holder: subprocess.Popen[bytes], uids: Subids, first_gid: int) -> None:
    if holder.stdin is None or holder.stdout is None or holder.stderr is None:
        raise _failed("its holder has no pipes")
    if holder.stdout.readline() != b"ready\n":
        raise _failed(holder.stderr.read().decode(errors="replace").strip())
    for program, ours, first in (
        ("newuidmap", os.getuid(), uids.first),
        ("newgidmap", os.getgid(), first_gid),
    ):
        numbers = (0, ours, 1, uids.first, first, uids.count)
        answer = subprocess.run(
            [_program(program), str(holder.pid), *map(str, numbers)],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            raise _failed(answer.stderr.strip())
    holder.stdin.write(b"\n")
    holder.stdin.flush()


def _failed(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"No user namespace could be made: {reason}.",
        code="ordinary.namespace",
        remedy="Run: jupyter-sandbox-admin doctor",
    )


def _record(directory: str, pid: int) -> None:
    temporary = Path(directory, f"{_FILE}.new")
    temporary.write_text(json.dumps({"pid": pid, "start_time": _start_time(pid)}))
    os.replace(temporary, Path(directory, _FILE))


def _holder(directory: str) -> int | None:
    """The pid of the recorded holder; None if it is gone or another process has its number by now."""
    try:
        record = json.loads(Path(directory, _FILE).read_text())
        pid, started = int(record["pid"]), int(record["start_time"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return pid if _start_time(pid) == started else None


def _start_time(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _dies_with_parent() -> bool:
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)  # PR_GET_PDEATHSIG
    return number.value != 0


def _search_path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{_PATH}"


def _found(program: str) -> bool:
    return shutil.which(program, path=_search_path()) is not None


def _program(name: str) -> str:
    return shutil.which(name, path=_search_path()) or name


def _apparmor() -> str | None:
    """What AppArmor says; "0" also where it lets our own programs through, as an admin may have told it."""
    switch = _text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if switch != "1":
        return switch
    tried = subprocess.run([*_MAKE, "true"], capture_output=True, check=False, cwd="/")
    return "1" if tried.returncode else "0"


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
