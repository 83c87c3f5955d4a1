"""How is the OCI runtime called? Each command is a subprocess with a timeout; its complaint is our error."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ...errors import BackendError

__all__ = ["Runtime", "runtime_identity", "unfit"]

_PATIENCE = 30.0  # seconds for one command; measured 20-140 ms
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A runtime that is refused by name is never tried, and none takes its place.
# Seen: runsc 20221219 (EINVAL; newer ones are not tried) and crun 1.8.1. Kata was never tried.
_UNFIT = {
    "runsc": "runsc cannot join the user namespace that the sandbox's own uid has made",
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
    path = shutil.which(program, path=_SEARCH_PATH)
    if path is None:
        return ""
    found = os.stat(path)
    return f"{os.path.realpath(path)} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


class Runtime:
    """One OCI runtime and its state directory. Raises BackendError `runtime.failed` or `runtime.timeout`."""

    def __init__(self, program: str, state: str) -> None:
        self.program = program
        self.state = state
        self._command = (program, "--root", state)

    def found(self) -> bool:
        """Is the program on this host?"""
        return shutil.which(self.program, path=_SEARCH_PATH) is not None

    async def version(self) -> str:
        """`1.1.5+ds1`, from the first line of `--version`."""
        answer = await self._run(self.program, "--version")
        return answer.split("\n", 1)[0].rpartition(" ")[2]

    async def filters_calls(self) -> bool:
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

    async def create(self, sandbox_id: str, bundle: Path, log: int, open_files: int) -> int:
        """Make the sandbox up to its first instruction; its init's pid. `log` is its output."""
        pid_file, errors = bundle / "pid", bundle / "runtime.log"
        errors.unlink(missing_ok=True)
        await self._run(
            # Half a sandbox must not go on being made after the launcher died: recovery sweeps it up.
            *("setpriv", "--pdeathsig=KILL", "--"),
            *("prlimit", "--core=0:0", f"--nofile={open_files}:{open_files}", "--"),
            *(*self._command, "--log", str(errors), "--log-format", "json"),
            *("create", "--bundle", str(bundle), "--pid-file", str(pid_file), sandbox_id),
            output=log,
            errors=errors,
        )
        return int(pid_file.read_text())

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
        if (Path(self.state) / sandbox_id).exists():
            await self._run(*self._command, "delete", "--force", sandbox_id)

    async def _run(self, *command: str, output: int | None = None, errors: Path | None = None) -> str:
        target = asyncio.subprocess.PIPE if output is None else output
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            env={"PATH": _SEARCH_PATH},
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


def _last_error(errors: Path | None) -> str:
    if errors is None or not errors.exists():
        return ""
    lines = errors.read_text(errors="replace").splitlines()
    return str(json.loads(lines[-1]).get("msg", "")) if lines else ""


def _remedy(reason: str) -> str:
    if "no space left" in reason.lower():
        return "Free space on the file system of run_dir."
    return "The launcher's log has the command; run: jupyter-sandbox-admin doctor"
