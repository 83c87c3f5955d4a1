"""How is the OCI runtime called? Each command is a subprocess with a timeout; its complaint is our error."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import BackendError
from ...models import Resources
from ...names import is_sandbox_id

__all__ = ["SEARCH_PATH", "Runtime", "runtime_identity", "unfit"]

_PATIENCE = 30.0  # seconds for one command; measured 20-140 ms
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A runtime that is refused by name is never tried, and none takes its place. Seen: crun 1.8.1.
_UNFIT = {
    "kata-runtime": "Kata is not supported by the local backend",
}
_HYBRID = "crun refuses hosts with cgroup v1 and v2 controllers side by side"


def unfit(program: str, cgroup_root: str = "/sys/fs/cgroup") -> str:
    """Why the local backend cannot use this runtime on this host, in a sentence; "" where it may try."""
    controllers = Path(cgroup_root, "unified/cgroup.controllers")
    if program == "crun" and controllers.exists() and controllers.read_text().strip():
        return _HYBRID
    return _UNFIT.get(program, "")


def runtime_identity(program: str) -> str:
    """A text that changes when the runtime's file is replaced, empty where there is none."""
    path = shutil.which(program, path=SEARCH_PATH)
    if path is None:
        return ""
    found = os.stat(path)
    return f"{os.path.realpath(path)} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


class Runtime:
    """One OCI runtime and its state directory. Raises BackendError `runtime.failed` or `runtime.timeout`.

    `own_kernel`: the sandbox has a kernel of its own. Then it makes its user namespace itself, its limits are
    those of a cgroup that we make and that it starts in, and its processes are known by that cgroup alone.
    """

    own_kernel = False

    def __init__(self, program: str, state: str) -> None:
        self.program = program
        self.state = state
        self._command: tuple[str, ...] = (program, "--root", state)

    def found(self) -> bool:
        """Is the program on this host?"""
        return shutil.which(self.program, path=SEARCH_PATH) is not None

    async def version(self) -> str:
        """`1.1.5+ds1`, from the first line of `--version`."""
        answer = await self._run(self.program, "--version")
        return answer.split("\n", 1)[0].rpartition(" ")[2]

    async def lacks(self) -> str:
        """What it cannot do that every sandbox needs, in words; "" where nothing is missing."""
        return "" if await self._filters_calls() else "cannot filter system calls"

    def filter(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        """The package's seccomp profile as this runtime has to be told it."""
        return profile

    def held(self, resources: Resources) -> Resources:
        """The limits of the sandbox's cgroup, the runtime's own needs included."""
        return resources

    def pids(self, counted: int) -> int:
        """How much of a profile's `pids` the processes are that the kernel counted in the cgroup."""
        return counted

    def open_files(self, resources: Resources) -> int:
        """The limit of open files with which the runtime itself is started."""
        return resources.files

    async def _filters_calls(self) -> bool:
        """Does it load the seccomp filter of a bundle? One that cannot say so in any way does not."""
        if (await self._features()).get("linux", {}).get("seccomp", {}).get("enabled"):
            return True
        return "+SECCOMP" in (await self._run(self.program, "--version")).split()

    async def _features(self) -> dict[str, Any]:
        """What it was built with, after the runtime specification's features.md; {} if it cannot say."""
        try:
            answer = json.loads(await self._run(self.program, "features"))
        except (BackendError, json.JSONDecodeError):
            return {}
        return answer if isinstance(answer, dict) else {}

    async def create(
        self, sandbox_id: str, bundle: Path, log: int, open_files: int, cgroups: Sequence[Path] = ()
    ) -> int:
        """Make the sandbox up to its first instruction; its init's pid.

        `log` is its output; the runtime, and so all that it starts, first enters the `cgroups`.
        """
        pid_file, errors = bundle / "pid", bundle / "runtime.log"
        errors.unlink(missing_ok=True)
        await self._run(
            *_inside(cgroups),
            # Half a sandbox must not go on being made after the launcher died: recovery sweeps it up.
            *("setpriv", "--pdeathsig=KILL", "--"),
            *("prlimit", "--core=0:0", f"--nofile={open_files}:{open_files}", "--"),
            *self._way(bundle),
            *(*self._command, "--log", str(errors), "--log-format", "json"),
            *("create", "--bundle", str(bundle), "--pid-file", str(pid_file), sandbox_id),
            output=log,
            errors=errors,
        )
        return int(pid_file.read_text())

    def _way(self, bundle: Path) -> tuple[str, ...]:
        """A prefix by which the runtime gets to the directories of a bundle; root passes everywhere."""
        return ()

    async def start(self, sandbox_id: str) -> None:
        """Let the created sandbox's init process run."""
        await self._run(*self._command, "start", sandbox_id)

    async def find(self, sandbox_id: str) -> tuple[str, int] | None:
        """Status (`created`, `running`, `stopped`) and pid; None where the runtime does not know the id."""
        try:
            answer = json.loads(await self._run(*self._command, "state", sandbox_id))
        except BackendError as error:
            if "does not exist" in error.message:
                return None
            raise
        return str(answer["status"]), int(answer["pid"])

    async def delete(self, sandbox_id: str) -> None:
        """Kill what is left and erase the runtime's own state and cgroup; no-op if unknown."""
        if sandbox_id in self.ids():
            await self._run(*self._command, "delete", "--force", sandbox_id)

    def ids(self) -> list[str]:
        """The sandboxes that its state directory knows."""
        state = Path(self.state)
        return [path.name for path in state.iterdir() if is_sandbox_id(path.name)] if state.is_dir() else []

    async def _run(self, *command: str, output: int | None = None, errors: Path | None = None) -> str:
        target = asyncio.subprocess.PIPE if output is None else output
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            env={"PATH": SEARCH_PATH},
            start_new_session=True,
        )
        try:
            said, complained = await asyncio.wait_for(process.communicate(), _PATIENCE)
        except asyncio.TimeoutError as error:
            raise BackendError(
                f"{self.program} did not answer within {_PATIENCE:g} s.", code="runtime.timeout"
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            reason = _last_error(errors) or (complained or b"").decode(errors="replace").strip()
            raise BackendError(f"{self.program}: {reason}", code="runtime.failed", remedy=_remedy(reason))
        return (said or b"").decode(errors="replace")


def _inside(cgroups: Sequence[Path]) -> tuple[str, ...]:
    """A prefix by which a command enters cgroups before its program runs, so nothing of it is outside."""
    if not cgroups:
        return ()
    enter = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
    return ("sh", "-c", enter, "sh", *map(str, cgroups), "--")


def _last_error(errors: Path | None) -> str:
    if errors is None or not errors.exists():
        return ""
    lines = errors.read_text(errors="replace").splitlines()
    last = lines[-1] if lines else ""
    try:
        # Several processes of gVisor write at once, and not each ends its line.
        said = [json.loads(text) for text in last.replace("}{", "}\n{").split("\n") if text]
        return "; ".join(str(item.get("msg", "")).strip() for item in said)
    except (ValueError, AttributeError):  # cut by a full disk, or something else wrote there
        return last[-300:]


def _remedy(reason: str) -> str:
    if "no space left" in reason.lower():
        return "Free space on the file system of run_dir."
    return "The launcher's log has the command; run: jupyter-sandbox-admin doctor"
