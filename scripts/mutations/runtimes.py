"""Guards of several runtimes: gVisor's own, and that each is proved by itself."""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_GVISOR = "jupyter_sandbox_spawner/backends/oci/gvisor.py"

GUARDS = (
    Guard(
        name="gvisor: the guest's calls are filtered",
        file=_GVISOR,
        pattern=r', "--oci-seccomp"\)',
        replacement=")",
        tests="tests/backends/test_oci_attacks.py -k no_new_namespace",
    ),
    Guard(
        name="gvisor: no network of the host",
        file=_GVISOR,
        pattern=r"--network=none",
        replacement="--network=host",
        tests="tests/backends/test_oci_attacks.py -k no_network",
    ),
    Guard(
        name="gvisor: limits that were not set are noticed",
        file="jupyter_sandbox_spawner/backends/oci/cgroups.py",
        pattern=r"self\._file\(name, key\)\.write_text\(value\)\n        return",
        replacement="pass\n        return",
        tests="tests/backends/test_gvisor.py -k limits_are_those",
    ),
    Guard(
        name="gvisor: its first process starts inside the cgroup",
        file="jupyter_sandbox_spawner/backends/oci/runtime.py",
        pattern=r"\*_inside\(cgroups\),",
        replacement="",
        tests="tests/backends/test_gvisor.py -k limits_are_those",
    ),
    Guard(
        name="gvisor: its file server sees its own sandbox alone",
        file="jupyter_sandbox_spawner/backends/oci/passage.py",
        pattern=r"closed = barriers\(paths\)",
        replacement="closed = []",
        tests="tests/backends/test_gvisor.py -k passage_shows",
    ),
    Guard(
        name="gvisor: exit statuses of its processes are taken",
        file="jupyter_sandbox_spawner/backends/oci/sandbox.py",
        pattern=r"await reap\(self\._sessions\)",
        replacement="pass",
        tests="tests/backends/test_gvisor.py -k remove_leaves_nothing",
    ),
    Guard(
        name="gvisor: a file server that does not end is killed",
        file="jupyter_sandbox_spawner/backends/oci/sandbox.py",
        pattern=r"self\._host\.cgroups\.kill\(self\.cgroup\)  # what",
        replacement="pass  # what",
        tests="tests/backends/test_gvisor.py -k file_server_that_does_not_end",
    ),
    Guard(
        name="canary: an attempt that broke shows nothing",
        file="jupyter_sandbox_spawner/rules/canary.py",
        pattern=r"untried \+= \[.*\]",
        replacement="untried += []",
        tests="tests/rules/test_canary.py -k broke",
    ),
    Guard(
        name="docker: what the daemon forgot is ended",
        file="jupyter_sandbox_spawner/backends/docker/sandbox.py",
        pattern=r"# A daemon whose shim died says so too[^\n]*\n            await self\._end_processes\(\)",
        replacement="pass",
        tests="tests/docker/test_shim.py -k forgotten",
        live=True,
    ),
    Guard(
        name="gvisor: open files are limited inside",
        file="jupyter_sandbox_spawner/backends/oci/host.py",
        pattern=r"rlimits=limits if runtime\.own_kernel else \{\}",
        replacement="rlimits={}",
        tests="tests/backends/test_gvisor.py -k open_files",
    ),
    Guard(
        name="launcher: whose doors a sandbox comes to",
        file="jupyter_sandbox_spawner/launcher/admission.py",
        pattern=r"if spec\.door_uid != door_uid\(spec\.runtime, place, site\.carrier_uid\):",
        replacement="if False:",
        tests="tests/programs/test_launcher_admission.py -k doors",
    ),
    Guard(
        name="runtime: one that was not verified starts nothing",
        file="jupyter_sandbox_spawner/backends/base.py",
        pattern=r"if spec\.runtime in capabilities\.runtimes:",
        replacement="if True:",
        tests="tests/backends/test_gvisor.py -k not_verified",
    ),
    Guard(
        name="canary: each runtime is proved by itself",
        file="jupyter_sandbox_spawner/launcher/canary.py",
        pattern=r"proof = self\.proofs\.get\(runtime\)\n        if proof is None",
        replacement="proof = next(iter(self.proofs.values()), None)\n        if proof is None",
        tests="tests/backends/test_canary.py -k open_runtime",
    ),
)
