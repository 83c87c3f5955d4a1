"""What does the read-only root of every sandbox hold? Mount points and a small /etc; one tree serves all.

Law: it lies where any uid may pass, since the runtime walks to it as the sandbox's own uid 0, and nothing in
it is worth reading. Everything else is bound over it, from sources that the runtime opens as root.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import BackendError, ConfigurationError
from ...names import stable_hash
from ...rules.catalogue import DATA
from ...settings import Environment
from .kernel import mount_tmpfs, own_mounts
from .layout import DOORS, HOME, HOSTNAME, INSIDE, RUNTIME_DIR, TMPFS, USER_ID, USER_NAME

__all__ = [
    "add_points",
    "environment_directories",
    "own_top",
    "prepare_rootfs",
    "remove_rootfs",
    "rootfs_path",
    "system_directories",
]

_PLACES = ("/mnt", "/media", "/srv")  # the FHS has them on every host
_OWN_TOP, _OWN_SIZE, _OWN_INODES = "jupyter-sandbox-top", 16 << 20, 65536
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_OURS = ("/proc", "/sys", "/dev", "/etc", "/run/sandbox", RUNTIME_DIR, HOME)
_COPIED = ("ld.so.cache", "localtime", "mime.types", "protocols", "services", "ssl/openssl.cnf")
_BOUND = ("/etc/alternatives", "/etc/fonts", "/etc/ssl/certs")
_ETC = {
    "passwd": (
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
        f"{USER_NAME}:x:{USER_ID}:{USER_ID}:{USER_NAME}:{HOME}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    ),
    "group": f"root:x:0:\n{USER_NAME}:x:{USER_ID}:\nnogroup:x:65534:\n",
    "hostname": f"{HOSTNAME}\n",
    "hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n",
    # Files only: no question for a name ever leaves the sandbox, and an unknown one fails at once.
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
    "resolv.conf": "# There is no name server: the egress door resolves the names that the profile allows.\n",
}


def rootfs_path(state: str, top: str = "/run") -> Path:
    """Where the root of the launcher with this state directory lies."""
    return Path(top) / f"jupyter-sandbox-root-{stable_hash('rootfs', state, length=10)}"


def own_top(used: Sequence[str]) -> str:
    """A tmpfs of our own mount namespace that any uid may pass through, at a place that none of `used` needs.

    An ordinary user may not write to /run, and nobody else may pass through what is theirs. Mounted once: the
    namespace outlives the launcher. Raises ConfigurationError `rootfs.no_place`.
    """
    mounted = own_mounts(_OWN_TOP)
    if mounted:
        return mounted[0]
    for place in _PLACES:
        if os.path.isdir(place) and not any(f"{path}/".startswith(f"{place}/") for path in used):
            mount_tmpfs(place, _OWN_SIZE, inodes=_OWN_INODES, mode=0o755, name=_OWN_TOP)
            return place
    raise ConfigurationError(
        f"None of {', '.join(_PLACES)} is a directory that this site leaves free.",
        code="rootfs.no_place",
        remedy="Make one (sudo mkdir /mnt), or move the site's directories and environments out of it.",
    )


def system_directories(host: str = "/") -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Host directories that every sandbox gets, and the links beside them (`/bin -> usr/bin`)."""
    directories, links = ["/usr"], {}
    for name in _SYSTEM:
        path = Path(host, name)
        if path.is_symlink():
            links[f"/{name}"] = os.readlink(path)
        elif path.is_dir():
            directories.append(f"/{name}")
    directories += [path for path in _BOUND if Path(f"{host}{path}").is_dir()]
    return tuple(directories), links


def environment_directories(name: str, environment: Environment) -> tuple[str, ...]:
    """Host directories of one user image outside /usr: its prefix, its base Python, what the admin added.

    Raises ConfigurationError `environment.missing` or `environment.place`.
    """
    interpreter = Path(environment.prefix, "bin/python")
    if not os.access(interpreter, os.X_OK):
        raise ConfigurationError(
            f"environments.{name}: {interpreter} is not a program.",
            code="environment.missing",
            field=f"environments.{name}",
            remedy="Make it with: python -m venv PREFIX; PREFIX/bin/pip install jupyterhub jupyterlab",
        )
    base = interpreter.resolve().parent.parent
    wanted = [environment.prefix, str(base), *_named_base(environment), *environment.read_only]
    found: list[str] = []
    for path in sorted({os.path.normpath(item) for item in wanted}):
        if path == "/usr" or path.startswith("/usr/"):
            continue
        _refuse_place(name, path)
        if not any(path.startswith(f"{above}/") for above in found):
            found.append(path)
    return tuple(found)


def _named_base(environment: Environment) -> list[str]:
    """The base Python as the virtual environment names it, which may be a link to where it really is."""
    settings = Path(environment.prefix, "pyvenv.cfg")
    if not settings.exists():
        return []
    pairs = (line.partition("=") for line in settings.read_text().splitlines())
    return [str(Path(value.strip()).parent) for key, _, value in pairs if key.strip() == "home"]


def _refuse_place(name: str, path: str) -> None:
    clash = [
        ours for ours in _OURS if path == ours or path.startswith(f"{ours}/") or ours.startswith(f"{path}/")
    ]
    if path in ("/", "/tmp") or clash:  # noqa: S108 - a place inside the sandbox
        raise ConfigurationError(
            f"environments.{name}: {path} would hide {clash[0] if clash else path} of the sandbox.",
            code="environment.place",
            field=f"environments.{name}",
            remedy="Move the environment, for example to /opt/jupyter-environments.",
        )


def prepare_rootfs(root: Path, mountpoints: Sequence[str], links: Mapping[str, str]) -> None:
    """Make or refresh the tree; sandboxes that run on it see the new /etc. Raises ConfigurationError."""
    root.mkdir(mode=0o755, exist_ok=True)
    status = os.lstat(root)
    if status.st_uid != os.geteuid() or root.is_symlink():
        raise ConfigurationError(
            f"{root} belongs to uid {status.st_uid}.",
            code="rootfs.foreign",
            remedy=f"Remove it: rm -r {root}",
        )
    for path in ("/proc", "/sys", "/dev", "/etc/ssl", *TMPFS, DOORS, INSIDE, HOME, DATA, *mountpoints):
        below_tmpfs = path != "/tmp" and path.startswith(("/dev/", "/tmp/"))  # noqa: S108 - inside
        if not below_tmpfs:  # else the runtime makes it, in the fresh tmpfs
            Path(f"{root}{path}").mkdir(mode=0o755, parents=True, exist_ok=True)
    # The runtime gives a tmpfs the mode of its mount point, whatever its options say.
    os.chmod(f"{root}/tmp", 0o1777)  # noqa: S103, S108 - inside, hidden by the tmpfs
    os.chmod(f"{root}{RUNTIME_DIR}", 0o700)
    for path, target in {**links, "/etc/mtab": "/proc/self/mounts"}.items():
        if not os.path.lexists(f"{root}{path}"):
            os.symlink(target, f"{root}{path}")
    _fill_etc(Path(root, "etc"), Path("/etc"))


def add_points(root: Path, binds: Mapping[str, str], read_only: Sequence[str]) -> None:
    """Points for further mounts (target to source). Raises BackendError `gpu.unusable` where none can be."""
    for target, source in binds.items():
        real = os.path.realpath(target)
        shown = any(f"{real}/".startswith(f"{path}/") for path in read_only)
        if shown and not os.path.exists(real):
            raise BackendError(
                f"{target} cannot be mounted: a sandbox sees the host's directory, and there is no {real}.",
                code="gpu.unusable",
                remedy="Make it as an empty file or directory, or leave that mount out of the CDI spec.",
            )
        if shown or target.startswith("/dev/"):  # the runtime makes it in the fresh tmpfs
            continue
        point = Path(f"{root}{target}")
        point.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.path.isdir(source):
            point.mkdir(mode=0o755, exist_ok=True)
        else:
            point.touch(mode=0o644)


def _fill_etc(target: Path, host: Path) -> None:
    for name, text in _ETC.items():
        _replace(target / name, text.encode())
    for name in _COPIED:
        if (host / name).is_file():
            _replace(target / name, (host / name).read_bytes())


def _replace(target: Path, content: bytes) -> None:
    """In one step, since running sandboxes may be reading it."""
    temporary = target.with_name(f"{target.name}.new")
    temporary.write_bytes(content)
    temporary.chmod(0o644)
    os.replace(temporary, target)


def remove_rootfs(root: Path) -> None:
    """Take the tree away; only when no sandbox runs on it. No-op if gone."""
    shutil.rmtree(root, ignore_errors=True)
