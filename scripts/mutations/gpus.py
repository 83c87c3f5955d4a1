"""Guards of GPUs: one device is one sandbox's alone, and nothing beyond it gets in."""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RENDER = "tests/backends/test_gpu_render.py -k "
_LAUNCHER = "tests/programs/test_launcher_gpus.py -k "
_NAMES = "tests/programs/test_launcher_gpu_names.py -k "
_LIVE = "tests/backends/test_gpus.py -k "
_ADMISSION = "jupyter_sandbox_spawner/launcher/admission.py"
_CHECK = "jupyter_sandbox_spawner/backends/oci/check.py"
_LAYOUT = "jupyter_sandbox_spawner/backends/oci/layout.py"
_FILES = "jupyter_sandbox_spawner/launcher/cdi_files.py"


def _guard(name: str, file: str, pattern: str, replacement: str, tests: str) -> Guard:
    return Guard(name=f"gpus: {name}", file=file, pattern=pattern, replacement=replacement, tests=tests)


GUARDS = (
    _guard(
        "device rules of config.json are checked",
        _CHECK,
        r'resources\.get\("devices"\) != device_rules\(q\.place\.gpus\)',
        "False",
        _RENDER + "config_with_more",
    ),
    _guard(
        "what is bound in a device's place is checked",
        _CHECK,
        r'\(mount\.get\("source"\), frozenset\(options\)\) != q\.devices\[target\]',
        "False",
        _RENDER + "config_with_more",
    ),
    _guard(
        "device requests to Docker are checked",
        "jupyter_sandbox_spawner/backends/docker/check.py",
        r"name not in q\.place\.gpus\.host or q\.host\[name\] != q\.place\.gpus\.host\[name\]",
        "name not in q.place.gpus.host",
        _RENDER + "container_with_more",
    ),
    _guard(
        "a device of nobody is refused",
        _ADMISSION,
        r"if name not in known:",
        "if False:",
        _LAUNCHER + "device_is_refused",
    ),
    _guard(
        "a device of somebody else is refused",
        _ADMISSION,
        r"if same in holders:",
        "if False:",
        _LAUNCHER + "device_is_refused",
    ),
    _guard(
        "a silent driver's GPUs are nobody's",
        "jupyter_sandbox_spawner/launcher/gpus.py",
        r"if item\.kind != NVIDIA",
        "if True",
        _NAMES + "silent_driver",
    ),
    _guard(
        "a device under a new name is refused",
        "jupyter_sandbox_spawner/launcher/gpus.py",
        r"refuse_overlap\(spec\.gpu_devices, \*self\._pieces, held\)",
        "pass",
        _NAMES + "nvml_is",
    ),
    _guard(
        "requests take turns",
        "jupyter_sandbox_spawner/launcher/gpus.py",
        r"async with self\._turn:",
        "if True:",
        _LAUNCHER + "many_at_once",
    ),
    _guard(
        "devices with a node in common are nobody's",
        "jupyter_sandbox_spawner/launcher/gpus.py",
        r"if item\.device\.cdi not in shared",
        "if True",
        _LAUNCHER + "shared_node",
    ),
    _guard(
        "a spec that others may write is not read",
        _FILES,
        r"found\.st_mode & 0o022",
        "False",
        _LAUNCHER + "file_of_others",
    ),
    _guard(
        "a node is the device that its spec says",
        _FILES,
        r"one is not None and one != true",
        "False",
        _LAUNCHER + "wrong_numbers",
    ),
    _guard(
        "a sandbox makes no node",
        "jupyter_sandbox_spawner/rules/cdi.py",
        r'for letter in "rw" if',
        'for letter in "rwm" if',
        "tests/rules/test_cdi.py -k ever_made",
    ),
    _guard(
        "the device cgroup is told of the given ones alone",
        _LAYOUT,
        r"return \[dict\(DENIED\), \*allowed\.values\(\)\]",
        'return [{"allow": True, "access": "rwm"}]',
        _LIVE + "cgroup_refuses",
    ),
    _guard(
        "specs with hooks are refused",
        "jupyter_sandbox_spawner/launcher/gpus.py",
        r"if edits\.hooks:",
        "if False:",
        _LIVE + "hooks_are_refused",
    ),
    _guard(
        "visible devices are not the user's to say",
        "jupyter_sandbox_spawner/hub/environment.py",
        r'return limits \| \{"NVIDIA_VISIBLE_DEVICES": devices\}',
        "return limits",
        "tests/hub/test_parts.py -k given_devices",
    ),
)
