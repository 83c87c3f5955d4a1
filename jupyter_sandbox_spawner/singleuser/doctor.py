"""What is wrong in this sandbox, seen from inside, and what can its user do about it?"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .. import __version__
from ..errors import SandboxError
from ..units import format_size
from .door import is_inside
from .questions import status
from .view import Shown, Table

__all__ = ["Check", "Findings", "examine"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_LOCAL = ("localhost", "127.0.0.1")
_PATIENCE = 2.0  # seconds; the relay keeps a connection for 5 when the gateway is away
_LITTLE = 256 << 20  # bytes
_BUILT = "share/jupyter/labextensions/jupyter-sandbox-spawner/static/remoteEntry*.js"
_ROUTES = "etc/jupyter/jupyter_server_config.d/jupyter_sandbox_spawner.json"
_RESTART = "Stop this server and start it again from the hub's home page."


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing looked at: what was seen, and what to do where it is not fine."""

    name: str
    fine: bool
    seen: str
    remedy: str = ""


@dataclass(frozen=True, repr=False)
class Findings(Shown):
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def fine(self) -> bool:
        """Is nothing wrong?"""
        return all(check.fine for check in self.checks)

    def blocks(self) -> Iterator[str | Table]:
        """A row a check, then what to do."""
        yield Table([("ok" if check.fine else "WRONG", check.name, check.seen) for check in self.checks])
        yield from (f"{check.name}: {check.remedy}" for check in self.checks if check.remedy)


def examine() -> Findings:
    """Look at everything, within seconds; raises SandboxError `sandbox.outside` outside of one."""
    if not is_inside():
        status()
    looks: tuple[Callable[[], Check], ...] = (_proxies, _egress_door, _packages, _disk, _panel)
    return Findings((*_control(), *(look() for look in looks)))


def _control() -> Iterator[Check]:
    """The API door, the gateway and control, and whether both halves are of one version."""
    try:
        server = status().version
    except SandboxError as error:
        yield Check(name="control", fine=False, seen=error.message, remedy=error.remedy)
        return
    yield Check(name="control", fine=True, seen="answers through the API door")
    same = server in ("", __version__)
    yield Check(
        name="version",
        fine=same,
        seen=f"{__version__} here, {server or 'not told'} on the hub's side",
        remedy="" if same else f"Ask the hub's admin to install version {server} in the user image.",
    )


def _proxies() -> Check:
    values = {os.environ.get(name, "") for name in _PROXIES}
    unset = [name for name in _PROXIES if not os.environ.get(name)]
    direct = os.environ.get("NO_PROXY", ""), os.environ.get("no_proxy", "")
    local = all(name in text.split(",") for name in _LOCAL for text in direct)
    if unset or len(values) > 1 or not local:
        seen = f"{unset[0]} is not set" if unset else "they differ" if local else "NO_PROXY lacks localhost"
        return Check(
            name="proxy variables", fine=False, seen=seen, remedy=f"Something changed them. {_RESTART}"
        )
    return Check(name="proxy variables", fine=True, seen=values.pop())


def _egress_door() -> Check:
    # Our end of the connection is closed at once and nothing is asked, so that nothing is denied and
    # written down: the gateway answers that with its own end, while without it the relay goes on dialling.
    address = urlsplit(os.environ.get("HTTPS_PROXY", ""))
    remedy = "The way out is closed for now; try again in a minute, and tell the hub's admin if it stays."
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), _PATIENCE) as door:
            door.shutdown(socket.SHUT_WR)
            door.recv(1)
    except (OSError, OverflowError) as error:
        return Check(name="egress door", fine=False, seen=f"does not answer ({error})", remedy=remedy)
    return Check(name="egress door", fine=True, seen="answers")


def _packages() -> Check:
    overlay = os.environ.get("VIRTUAL_ENV", "")
    if not overlay:
        remedy = f"Packages you install here are not kept. {_RESTART}"
        return Check(name="packages", fine=False, seen="no environment of your own", remedy=remedy)
    try:
        with tempfile.TemporaryFile(dir=overlay):
            return Check(name="packages", fine=True, seen=f"{overlay} can be written")
    except OSError as error:
        remedy = f"Free some space, or remove it (rm -rf {overlay}) and restart the kernel."
        return Check(name="packages", fine=False, seen=f"{overlay}: {error.strerror}", remedy=remedy)


def _disk() -> Check:
    home = os.path.expanduser("~")
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        return Check(name="disk", fine=False, seen=f"{home}: {error.strerror}", remedy=_RESTART)
    fine = free >= _LITTLE
    remedy = "" if fine else f"Delete what you do not need: du -xh {home} | sort -h | tail"
    return Check(name="disk", fine=fine, seen=f"{format_size(free)} free in {home}", remedy=remedy)


def _panel() -> Check:
    """The panel of JupyterLab: its built files, which an image made without npm lacks, and its routes."""
    labs = [prefix for prefix in _prefixes() if (prefix / "share/jupyter/lab").is_dir()]
    if not labs:
        return Check(name="JupyterLab's panel", fine=True, seen="there is no JupyterLab here")
    lacking = [
        what
        for what, pattern in (("its built files", _BUILT), ("its routes", _ROUTES))
        if not any(next(prefix.glob(pattern), None) for prefix in labs)
    ]
    if not lacking:
        return Check(name="JupyterLab's panel", fine=True, seen=f"is installed in {labs[0]}")
    remedy = (
        f"Ask the hub's admin to install jupyter_sandbox_spawner {__version__} anew in the user image, from a"
        " wheel or with npm there (SANDBOX_LABEXT=require). %sandbox needs none of it."
    )
    seen = f"{' and '.join(lacking)} are not in {labs[0]}"
    return Check(name="JupyterLab's panel", fine=False, seen=seen, remedy=remedy)


def _prefixes() -> list[Path]:
    """Where this package's data may be: the kernel's environment, or the one the package is in."""
    own = Path(__file__).resolve().parents
    found = [Path(sys.prefix), Path(sys.base_prefix), *([own[5]] if own[2].name == "site-packages" else [])]
    return list(dict.fromkeys(found))
