"""Which guards of the sandbox itself must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_CHECK = "jupyter_sandbox_spawner/backends/oci/check.py"
_ADMISSION = "jupyter_sandbox_spawner/launcher/admission.py"
_CHECK_TESTS = "tests/backends/test_oci_check.py -k opening_is_refused"

GUARDS = (
    Guard(
        name="soft limits: memory is watched",
        file="jupyter_sandbox_spawner/rules/soft_limits.py",
        pattern=r'if "memory" in soft and memory > most\.memory:',
        replacement="if False:",
        tests="tests/rules/test_soft_limits.py -k above_the_limit",
    ),
    Guard(
        name="soft limits: processes are held",
        file="jupyter_sandbox_spawner/backends/oci/host.py",
        pattern=r"await hold_processes\(pid, spec\.resources\.pids\)",
        replacement="pass",
        tests="tests/backends/test_oci_soft.py -k fork_bomb",
        live=True,
    ),
    Guard(
        name="check: all namespaces are there",
        file=_CHECK,
        pattern=r"if sorted\(item\.get\(\"type\"[^\n]*",
        replacement="if not found:",
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="check: no capability",
        file=_CHECK,
        pattern=r"if any\(q\.process\.get\(\"capabilities\"[^\n]*",
        replacement='if "process" not in q.config:',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="check: only known bind mounts",
        file=_CHECK,
        pattern=r"if mount\.get\(\"source\"\) != source:",
        replacement='if not mount.get("source"):',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="launcher: the uid is the user's own",
        file=_ADMISSION,
        pattern=r"if spec\.host_uid != place\.host_uid:",
        replacement="if False:",
        tests="tests/programs/test_launcher_admission.py -k difference_is_refused",
    ),
    Guard(
        name="launcher: a uid for each user",
        file="jupyter_sandbox_spawner/launcher/users.py",
        pattern=r"uid = max\(\[self\._base, \*self\._uids\.values\(\), \*retired\]\) \+ 1",
        replacement="uid = self._base + 1",
        tests="tests/attacks/test_credentials.py -k c04",
        live=True,
    ),
    Guard(
        name="canary: no sandbox without a proof",
        file="jupyter_sandbox_spawner/launcher/routes.py",
        pattern=r"await self\._canary\.require\(asked\.spec\.runtime, asked\.overlay\)",
        replacement="await self._people()",
        tests="tests/programs/test_launcher.py -k without_a_proof",
    ),
    Guard(
        name="canary: an escape takes the proof away",
        file="jupyter_sandbox_spawner/rules/canary.py",
        pattern=r"return not self\.escapes and not self\.broken",
        replacement="return not self.broken",
        tests="tests/backends/test_canary.py -k open_host",
    ),
    Guard(
        name="canary: what was not tried is not proved",
        file="jupyter_sandbox_spawner/rules/canary.py",
        pattern=r"if name not in observed\]",
        replacement="if not name]",
        tests="tests/rules/test_canary.py -k not_tried",
    ),
    Guard(
        name="seccomp: the default is refusal",
        file="jupyter_sandbox_spawner/backends/seccomp.json",
        pattern=r'"SCMP_ACT_ERRNO",\s*"defaultErrnoRet": 1,',
        replacement='"SCMP_ACT_ALLOW",',
        tests="tests/attacks/test_isolation.py -k i03",
        live=True,
    ),
    Guard(
        name="profiles: another runtime is offered to nobody",
        file="jupyter_sandbox_spawner/rules/profiles.py",
        pattern=r"if profile\.unavailable:",
        replacement="if False:",
        tests="tests/rules/test_profiles.py -k another_runtime",
    ),
    Guard(
        name="runtime: an unfit one is refused",
        file="jupyter_sandbox_spawner/backends/oci/runtime.py",
        pattern=r'return _UNFIT\.get\(program, ""\)',
        replacement='return ""',
        tests="tests/backends/test_oci_limits.py -k unfit_runtime",
    ),
)
