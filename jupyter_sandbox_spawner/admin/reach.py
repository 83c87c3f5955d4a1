"""Can each program read under its own uid what it needs? Asked of the kernel, before anything starts.

Law: a program that cannot is never given root instead; the admin moves its files or accepts one uid in words.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .accounts import Account, as_account
from .installation import Installation
from .requirements import search_path

__all__ = ["ONE_UID", "Barrier", "check_reach", "existing", "find_barrier", "needs", "python_barrier"]

ONE_UID = "one_uid=True"
_PACKAGE = "import jupyter_sandbox_spawner.settings, jupyter_sandbox_spawner.errors"
# A path that ends in "/." has to be passed through; others have to be read.
_LOOK = 'for p; do case "$p" in */.) [ -e "$p" ];; *) [ -r "$p" ];; esac || { echo "$p"; exit 9; }; done'


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """A path that an account cannot use, and the reason as far as the modes tell it."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def needs(installation: Installation) -> Mapping[str, tuple[str, ...]]:
    """The files that each program reads, besides the package."""
    site = installation.site
    profiles = (site.profiles,) if site.profiles else ()
    node = shutil.which("node", path=search_path()) or ""
    proxy = shutil.which(installation.proxy_command[0], path=search_path()) or ""
    environments = (item for item in site.environments.values() if not item.image)
    images = (f"{environment.prefix}/bin/python" for environment in environments)
    passed = tuple(f"{existing(path)}/." for path in (site.run_dir, site.state_dir))
    return {
        "hub": (*passed, installation.config_file, *profiles, *images),
        "gateway": passed,
        "control": (*passed, *profiles),
        **({"tracking": (*passed, f"{site.tracking}/bin/python")} if site.tracking else {}),
        "broker": passed,
        "proxy": tuple(path for path in (node, proxy, *installation.tls) if path),
    }


def check_reach(installation: Installation, accounts: Mapping[str, Account]) -> None:
    """Raises ConfigurationError `site.unreachable` for the first program that cannot read what it needs."""
    for name, paths in needs(installation).items():
        account = accounts.get(name)
        if account is None:
            continue
        barrier = find_barrier(account, paths) or (None if name == "proxy" else python_barrier(account))
        if barrier is not None:
            raise ConfigurationError(
                f"{name} runs under uid {account.uid}, which cannot use {barrier}.",
                code="site.unreachable",
                field=name,
                remedy="Put it where others may read it, such as below /opt or /etc, with a Python of the"
                f" system (/usr/bin/python3); or accept one uid for all programs: setup_hub(c, {ONE_UID}).",
            )


def existing(path: str) -> Path:
    """The path, or the nearest directory above it that is there."""
    place = Path(path)
    while not place.exists():
        place = place.parent
    return place


def python_barrier(account: Account) -> Barrier | None:
    """What keeps an account from running this Python with this package; None if nothing does."""
    barrier = find_barrier(account, (sys.executable, str(Path(__file__).resolve().parents[2]) + "/."))
    if barrier is not None:
        return barrier
    answer = _ask(account, (sys.executable, "-I", "-c", _PACKAGE))
    if answer.returncode == 0:
        return None
    lines = answer.stderr.strip().splitlines()
    return Barrier(path=sys.executable, reason=lines[-1] if lines else "it cannot be run")


def find_barrier(account: Account, paths: Sequence[str]) -> Barrier | None:
    """The first of these paths that an account cannot read (or, ending in "/.", pass through)."""
    answer = _ask(account, ("/bin/sh", "-c", _LOOK, "sh", *paths))
    if answer.returncode == 0:
        return None
    if answer.returncode == 9:
        path = answer.stdout.strip()
        return Barrier(path=path.removesuffix("/."), reason=_reason(path, account))
    return Barrier(path=paths[0], reason=answer.stderr.strip() or f"status {answer.returncode}")


def _ask(account: Account, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*as_account(account), *command],
        cwd="/",
        env={"PATH": search_path(), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _reason(path: str, account: Account) -> str:
    """The first step on the way that a mode closes: a hint only, for the verdict was the kernel's."""
    for place in (path.removesuffix("/."), os.path.realpath(path)):
        for step in reversed([Path(place), *Path(place).parents]):
            try:
                status = os.stat(step)
            except OSError as error:
                return f"{step}: {error.strerror}"
            wanted = stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH
            if status.st_uid != account.uid and not status.st_mode & wanted:
                return f"{step} has mode {stat.S_IMODE(status.st_mode):o}"
    return "permission denied"
