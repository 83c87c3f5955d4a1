"""Which guards of the Docker backend must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_CHECK = "jupyter_sandbox_spawner/backends/docker/check.py"
_CHECK_TESTS = "tests/backends/test_docker_check.py -k opening_is_refused"
GUARDS = (
    Guard(
        name="docker: no network",
        file=_CHECK,
        pattern=r'if q\.host\.get\("NetworkMode"\) != "none":',
        replacement='if not q.host.get("NetworkMode"):',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="docker: no capability, not privileged",
        file=_CHECK,
        pattern=r'if q\.host\.get\("Privileged"\) is not False or [^\n]*',
        replacement='if q.host.get("CapDrop") is None:',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="docker: our seccomp profile and no other option",
        file=_CHECK,
        pattern=r"if not q\.place\.seccomp or set\(options\)[^\n]*",
        replacement="if not options:",
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="docker: only known bind mounts",
        file=_CHECK,
        pattern=r'if not source or mount\.get\("Source"\) != source:',
        replacement='if not mount.get("Source"):',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="docker: no field that nobody knows",
        file=_CHECK,
        pattern=r'only_known\(q\.host, _HOST, "HostConfig\."\)',
        replacement="pass",
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="docker: settings that open a sandbox stop the start",
        file="jupyter_sandbox_spawner/rules/docker_settings.py",
        pattern=r"if name not in _HARMLESS_HOST:",
        replacement='if name == "nothing":',
        tests="tests/rules/test_docker_settings.py -k test_refused",
    ),
    Guard(
        name="docker: a container of somebody else is left alone",
        file="jupyter_sandbox_spawner/backends/docker/sandbox.py",
        pattern=r"if not ours\.items\(\) <= labels\.items\(\):",
        replacement="if not ours:",
        tests="tests/docker/test_daemon.py -k foreign",
        live=True,
    ),
    Guard(
        name="docker: images with volumes are refused",
        file="jupyter_sandbox_spawner/backends/docker/host.py",
        pattern=r"if volumes:",
        replacement='if volumes == ["none"]:',
        tests="tests/docker/test_daemon.py -k volume",
        live=True,
    ),
)
