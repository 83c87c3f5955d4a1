"""Where do a user's own packages live? In an overlay: a virtual environment in the home over the base.

It holds no copy of anything: its site-packages come first on sys.path and the base environment's follow, so
`pip install` writes only into the home and a newer version there hides the base's. Made on first use, kept
across restarts, one for each Python version and base environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import sys
import tempfile
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Base", "OverlayError", "ensure_overlay", "overlay_directory", "this_base", "user_environment"]

LAST_PTH = (
    "zzzz-sandbox-base.pth"  # .pth files are read in this order: the user's own paths stay before the base's
)
STARTUP = os.path.join("etc", "ipython", "startup")
FOR_THE_SERVER_ONLY = (
    "PYTHONSAFEPATH",
    "PYTHONNOUSERSITE",
    "JUPYTER_CONFIG_DIR",
    "JUPYTERHUB_DISABLE_USER_CONFIG",
)
_PIP = """#!{python}
import sys
from pip._internal.cli.main import main
sys.exit(main())
"""


class OverlayError(Exception):
    """The overlay cannot be made or used; the message says what to do."""


class Base(NamedTuple):
    """The environment below an overlay: prefix, interpreter, package directories, version."""

    prefix: str
    python: str
    site_packages: tuple[str, ...]
    version: str  # major and minor


def this_base() -> Base:
    """The environment of the running interpreter."""
    return Base(
        prefix=sys.prefix,
        python=os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
        site_packages=tuple(path for path in site.getsitepackages() if os.path.isdir(path)),
        version=f"{sys.version_info[0]}.{sys.version_info[1]}",
    )


def overlay_directory(home: str, base: Base) -> str:
    """`HOME/.sandbox/env-3.11-1a2b3c4d`; the same base always has the same overlay."""
    digest = hashlib.sha256(base.prefix.encode()).hexdigest()[:8]
    return os.path.join(home, ".sandbox", f"env-{base.version}-{digest}")


def ensure_overlay(home: str, base: Base) -> str:
    """The overlay's directory, made or repaired where needed; several kernels may ask at once.

    Raises OverlayError where the home refuses it or something else stands in its place.
    """
    directory = overlay_directory(home, base)
    try:
        if not os.path.lexists(directory):
            _make(directory, base)
        _repair(directory, base)
    except OSError as error:
        raise OverlayError(
            f"The environment for your own packages, {directory}, cannot be used: {error}. "
            f"Remove it in a terminal (rm -rf {directory}) and start again."
        ) from error
    return directory


def user_environment(environment: Mapping[str, str], directory: str | None) -> dict[str, str]:
    """The environment for a user's own processes; `directory` is the overlay, None where there is none.

    What protects the server from the home is taken away: the user's code may import what lies beside it.
    """
    changed = {name: value for name, value in environment.items() if name not in FOR_THE_SERVER_ONLY}
    if directory is not None:
        changed["VIRTUAL_ENV"] = directory
        changed["PATH"] = os.pathsep.join([os.path.join(directory, "bin"), changed.get("PATH", os.defpath)])
    return changed


def _make(directory: str, base: Base) -> None:
    parent = os.path.dirname(directory)
    os.makedirs(parent, mode=0o700, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=".new-", dir=parent)
    try:
        _write_files(fresh, directory, base)
        os.rename(fresh, directory)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not os.path.isdir(directory):  # else another kernel was first, and its overlay is as good
            raise


def _repair(directory: str, base: Base) -> None:
    """Put back what an image update or a slip of the user changed; installed packages are not touched."""
    expected = {
        os.path.join(directory, "bin", "python"): base.python,
        os.path.join(directory, "bin", "python3"): base.python,
    }
    links_right = all(os.path.islink(path) and os.readlink(path) == to for path, to in expected.items())
    texts_right = all(_has(os.path.join(directory, name), text) for name, text in _texts(base).items())
    if not (links_right and texts_right):
        _write_files(directory, directory, base)
    _link_startup(directory, base)


def _link_startup(directory: str, base: Base) -> None:
    """IPython runs start-up files below its own prefix, the overlay: those of the image are linked there."""
    here, images = os.path.join(directory, STARTUP), os.path.join(base.prefix, STARTUP)
    wanted, found = _startup_files(images), _startup_files(here)
    if wanted:
        os.makedirs(here, exist_ok=True)
    for name in wanted - found:
        _link(os.path.join(images, name), os.path.join(here, name))
    for name in found - wanted:
        path = os.path.join(here, name)
        if os.path.islink(path) and os.path.dirname(os.readlink(path)) == images:
            os.unlink(path)  # an updated image has it no more


def _startup_files(directory: str) -> set[str]:
    try:
        return {name for name in os.listdir(directory) if name.endswith((".py", ".ipy"))}
    except FileNotFoundError:
        return set()


def _write_files(into: str, final: str, base: Base) -> None:
    """Write the overlay's own files below `into`; they name `final`, where it will be."""
    bin_directory = os.path.join(into, "bin")
    for path in (bin_directory, os.path.join(into, "include"), os.path.join(into, _library(base))):
        os.makedirs(path, exist_ok=True)
    for name in ("python", "python3", f"python{base.version}"):
        _link(base.python, os.path.join(bin_directory, name))
    for name, text in _texts(base).items():
        _write(os.path.join(into, name), text)
    for name in ("pip", "pip3"):
        if not os.path.lexists(os.path.join(bin_directory, name)):
            python = os.path.join(final, "bin", "python")
            _write(os.path.join(bin_directory, name), _PIP.format(python=python), mode=0o755)


def _library(base: Base) -> str:
    return os.path.join("lib", f"python{base.version}", "site-packages")


def _texts(base: Base) -> dict[str, str]:
    added = "".join(f"import site; site.addsitedir({path!r})\n" for path in base.site_packages)
    return {
        "pyvenv.cfg": f"home = {os.path.dirname(base.python)}\ninclude-system-site-packages = false\n"
        f"version = {base.version}\nsandbox-base = {base.prefix}\n",
        os.path.join(_library(base), LAST_PTH): added,
    }


def _has(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() == text
    except FileNotFoundError:
        return False


def _write(path: str, text: str, mode: int = 0o644) -> None:
    descriptor, fresh = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.replace(fresh, path)


def _link(target: str, path: str) -> None:
    fresh = f"{path}.{os.getpid()}"
    os.symlink(target, fresh)
    os.replace(fresh, path)
