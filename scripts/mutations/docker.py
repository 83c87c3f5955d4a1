"""Which guards of the Docker backend must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_CHECK = "jupyter_sandbox_spawner/backends/docker/check.py"
_CHECK_TESTS = "tests/backends/test_docker_check.py -k opening_is_refused"
_SANDBOX = "jupyter_sandbox_spawner/backends/docker/sandbox.py"
_REMAINS = "jupyter_sandbox_spawner/backends/docker/remains.py"
_SHIM = "tests/docker/test_shim.py -k "
_STARTING = "tests/docker/test_shim.py -k killed_while_starting"
_ATTACKS = "tests/docker/test_attacks.py -k "
_LIMITS = "tests/docker/test_limits.py -k "


def _opened(name: str, opening: str, tests: str) -> Guard:
    """One flag of a real container, opened where the check of the request would have refused it."""
    return Guard(
        name=f"docker, live: {name}",
        file="jupyter_sandbox_spawner/backends/docker/backend.py",
        pattern=r"check\(request, spec, record\.doors, place\)",
        replacement=opening,
        tests=tests,
        live=True,
    )


def _undone(name: str, file: str, pattern: str, replacement: str, tests: str) -> Guard:
    """One step that is taken where Docker fails."""
    name = f"docker fails: {name}"
    return Guard(name=name, file=file, pattern=pattern, replacement=replacement, tests=tests, live=True)


_HOST = 'request["HostConfig"]'
_FLAGS = (
    _opened("NetworkMode", f'{_HOST}["NetworkMode"] = "host"', _ATTACKS + "test_no_network"),
    _opened("CapDrop", f'{_HOST}["CapDrop"] = []', _ATTACKS + "test_no_privilege"),
    _opened("Privileged", f'{_HOST}["Privileged"] = True', _ATTACKS + "test_no_host_files"),
    _opened("no-new-privileges", f'del {_HOST}["SecurityOpt"][0]', _ATTACKS + "test_no_privilege"),
    _opened(
        "seccomp", f'{_HOST}["SecurityOpt"][1] = "seccomp=unconfined"', _ATTACKS + "test_socket_families"
    ),
    _opened("ReadonlyRootfs", f'{_HOST}["ReadonlyRootfs"] = False', _ATTACKS + "test_read_only_root"),
    _opened("User", 'request["User"] = "0:0"', _ATTACKS + "test_no_privilege"),
    _opened("PidMode", f'{_HOST}["PidMode"] = "host"', _ATTACKS + "test_other_processes_do_not_exist"),
    _opened("IpcMode", f'{_HOST}["IpcMode"] = "host"', _ATTACKS + "test_what_inspect_shows"),
    _opened("MaskedPaths", f'{_HOST}["MaskedPaths"] = []', _ATTACKS + "test_no_host_files"),
    _opened("PidsLimit", f'{_HOST}["PidsLimit"] = 0', _LIMITS + "test_fork_bomb"),
    _opened("Memory", f'{_HOST} |= {{"Memory": 1 << 30, "MemorySwap": -1}}', _LIMITS + "test_out_of_memory"),
    _opened("Ulimits", f'{_HOST}["Ulimits"] = []', _LIMITS + "test_open_files"),
    _opened(
        "size of a tmpfs",
        f'{_HOST}["Tmpfs"] = {{at: text.split(",size=")[0] for at, text in {_HOST}["Tmpfs"].items()}}',
        _LIMITS + "test_tmpfs_is_full",
    ),
    _opened("LogConfig", f'{_HOST}["LogConfig"]["Config"] = {{}}', _LIMITS + "test_output_is_bounded"),
)
_FAILURES = (
    _undone(
        "what a failed start left is ended",
        _SANDBOX,
        r"try:\n            await self\._end_processes\(\)",
        "try:\n            pass",
        _STARTING,
    ),
    _undone(
        "a shim that Docker forgot is ended",
        _REMAINS,
        r"for pid in _shims\(container\):",
        "for pid in ():",
        _STARTING,
    ),
    _undone(
        "cgroups that Docker forgot are removed",
        _REMAINS,
        r"await cgroups\.remove\(name\)",
        "pass",
        _STARTING,
    ),
    _undone(
        "the kernel signals where Docker cannot",
        _SANDBOX,
        r"self\._process\.send\(signal\.Signals\[name\]\)",
        "pass",
        _SHIM + "orphans",
    ),
    _undone(
        "the first process is watched by the kernel",
        _SANDBOX,
        r"self\._watch = asyncio\.create_task\([^\n]*",
        "pass",
        _SHIM + "shim_and_containerd",
    ),
    _undone(
        "a full disk is told with its remedy",
        "jupyter_sandbox_spawner/backends/records.py",
        r"if error\.errno not in _FULL:",
        "if error:",
        "tests/docker/test_disk.py -k launcher",
    ),
    _undone(
        "ends come on a full disk",
        "jupyter_sandbox_spawner/backends/recorded.py",
        r'if now\.phase not in \("stopping", "over"\):',
        "if error:",
        "tests/docker/test_disk.py -k launcher",
    ),
    _undone(
        "Podman is refused",
        "jupyter_sandbox_spawner/backends/docker/engine.py",
        r"if is_podman\(answer\):",
        "if not answer:",
        "tests/docker/test_podman.py -k by_name",
    ),
)
GUARDS = (
    *_FLAGS,
    *_FAILURES,
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
        pattern=r'only_known\(q\.host, _HOST \| set\(q\.place\.gpus\.host\), "HostConfig\."\)',
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
