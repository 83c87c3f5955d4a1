"""Does the set-up of one site hold: uids, what they can read, directories, disks? Looks only."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from ..errors import ConfigurationError, SandboxError
from ..settings import Site
from ..setup_services import CULLER
from ..vault_site import VaultSite
from .accounts import Account, accounts_of, with_uids
from .database_findings import database_finding
from .directories import LEAST_FREE
from .finding import Finding
from .installation import Installation
from .profile_findings import profile_findings, profiles_of
from .reach import ONE_UID, check_reach, existing, python_barrier

__all__ = ["disk", "origin_findings", "other_cullers", "secrets_finding", "site_findings"]

_SPARE = 1 << 30  # bytes; a state directory with less is soon full
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "fuse.sshfs", "ceph", "9p")


def site_findings(installation: Installation | None) -> Iterator[Finding]:
    """Findings about a site; without one, about what a site with the defaults would meet here."""
    site = installation.site if installation else _default()
    if os.geteuid() == 0:
        yield from _uids(site, installation)
        yield _range(site)
    yield from origin_findings(site)
    if installation is not None:
        yield from other_cullers(installation.cullers)
        yield secrets_finding(site)
        yield database_finding(site)
        yield from profile_findings(site)
    yield _run_dir(site.run_dir)
    # A directory that is not there yet is judged by the nearest one above it.
    for field in ("run_dir", "state_dir"):
        yield disk(field, getattr(site, field))


def _default() -> Site:
    run_dir, state_dir = "/run/jupyter-sandbox", "/var/lib/jupyter-sandbox"
    if os.geteuid() != 0:  # as docs/how-to/run-without-root.md says
        run_dir = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/jupyter-sandbox"  # noqa: S108 - looked at
        state_dir = str(Path.home() / ".local/share/jupyter-sandbox")
    return Site(
        run_dir=run_dir,
        state_dir=state_dir,
        profiles="",
        public_port=8000,
        hub_port=0,
        proxy_api_port=0,
        front_port=0,
    )


def _uids(site: Site, installation: Installation | None) -> Iterator[Finding]:
    if site.one_uid:
        yield Finding(
            name="uids",
            fine=False,
            needed=False,
            seen=f"{ONE_UID}: a program that is broken into can read what the others hold",
            remedy=f"Remove {ONE_UID} from setup_hub; the next run says what is in the way.",
        )
        return
    try:
        accounts = accounts_of(with_uids(site))
    except ConfigurationError as error:
        yield Finding(name="uids", fine=False, seen=error.message, remedy=error.remedy)
        return
    numbers = ", ".join(f"{name} {account.uid}" for name, account in accounts.items())
    yield Finding(name="uids", fine=True, seen=f"launcher 0, {numbers}")
    yield _reachable(installation, accounts)


def origin_findings(site: Site) -> Iterator[Finding]:
    """Have servers origins of their own?"""
    if site.subdomain_host:
        yield Finding(name="subdomains", fine=True, seen=site.subdomain_host)
    if site.accept_shared_origin:
        yield Finding(
            name="origin",
            fine=False,
            needed=False,
            seen="accept_shared_origin=True: a page of a user's server can act as an admin who visits it",
            remedy="Set c.JupyterHub.subdomain_host (a wildcard name and certificate) before setup_hub.",
        )


def other_cullers(names: Sequence[str]) -> Iterator[Finding]:
    """Services of the hub that end servers besides us."""
    if names:
        sentence, _, remedy = CULLER.partition(". ")
        seen = f"service {', '.join(names)}: {sentence}"
        yield Finding(name="idle culler", fine=False, needed=False, seen=seen, remedy=remedy)


def _reachable(installation: Installation | None, accounts: Mapping[str, Account]) -> Finding:
    remedy = f"Use a Python and a checkout that others may read (below /opt), or {ONE_UID}."
    if installation is None:
        barrier = python_barrier(accounts["gateway"])
        seen = "other uids can run this Python" if barrier is None else f"other uids cannot use {barrier}"
        return Finding(name="reach", fine=barrier is None, seen=seen, remedy=remedy)
    try:
        check_reach(installation, accounts)
    except ConfigurationError as error:
        return Finding(name="reach", fine=False, seen=error.message, remedy=error.remedy)
    return Finding(name="reach", fine=True, seen="each program can read what it needs")


def _range(site: Site) -> Finding:
    """Do host uids of sandboxes belong to anybody else?"""
    first, last = site.uid_base, site.uid_base + site.uid_count - 1
    people = [record.pw_name for record in pwd.getpwall() if first <= record.pw_uid <= last]
    owners = people + [
        name for name, start, count in _subordinate() if start <= last and first < start + count
    ]
    taken = f"{first}..{last} belongs to {', '.join(sorted(set(owners))[:3])}, too"
    return Finding(
        name="uid range",
        fine=not owners,
        seen=taken if owners else f"{first}..{last}, nobody else's",
        remedy="Give setup_hub another uid_base.",
    )


def secrets_finding(site: Site) -> Finding:
    """Which store do granted secrets lie in, and is it one for people's real ones?"""
    granted = {grant.name for profile in profiles_of(site) for grant in profile.secrets}
    if not granted:
        return Finding(name="secrets", fine=True, seen="no profile grants one")
    if site.vault is not None:
        if site.backend == "kubernetes":
            seen = f"{len(granted)} granted; Vault is the broker's to ask: jupyter-sandbox-admin health"
            return Finding(name="secrets", fine=True, seen=seen)
        return _vault(site.vault, len(granted))
    return Finding(
        name="secrets",
        fine=False,
        needed=False,
        seen=f"{len(granted)} granted; the built-in store ({site.broker_dir}) is for trying out",
        remedy="Store only what can be replaced: its key lies beside it, and values never expire.",
    )


def _vault(vault: VaultSite, granted: int) -> Finding:
    """Does Vault answer here, unsealed, under the name and authority that the site gives?"""
    if find_spec("hvac") is None or find_spec("jwt") is None:
        return Finding(
            name="secrets",
            fine=False,
            seen="vault is set, and hvac or PyJWT is missing",
            remedy="pip install 'jupyter_sandbox_spawner[vault]'",
        )
    from ..clients.vault import VaultClient

    async def ask() -> None:
        async with VaultClient(vault) as client:
            await client.health()

    try:
        asyncio.run(ask())
    except SandboxError as error:
        return Finding(name="secrets", fine=False, needed=False, seen=error.message, remedy=error.remedy)
    return Finding(name="secrets", fine=True, seen=f"{granted} granted; Vault at {vault.address} answers")


def _subordinate() -> Iterator[tuple[str, int, int]]:
    path = Path("/etc/subuid")
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, numbers = line.partition(":")
        start, _, count = numbers.partition(":")
        if start.isdigit() and count.isdigit():
            yield name, int(start), int(count)


def _run_dir(path: str) -> Finding:
    place = existing(path)
    kind = _file_system(place)
    problems: tuple[tuple[bool, str, str], ...] = (
        (os.path.realpath(path) != path, "is reached through a symbolic link", "Write its real path."),
        (kind in _NETWORK_FILE_SYSTEMS, f"lies on {kind}", "Choose one on this machine, such as below /run."),
        (
            os.path.isdir(path) and os.stat(path).st_uid not in (0, os.geteuid()),
            f"belongs to uid {os.stat(path).st_uid if os.path.isdir(path) else 0}",
            f"chown root: {path}",
        ),
    )
    for found, what, remedy in problems:
        if found:
            return Finding(name="run_dir", fine=False, seen=f"{path} {what}", remedy=remedy)
    memory = "in memory" if kind in _MEMORY_FILE_SYSTEMS else f"on {kind}; it stays after a crash of the host"
    return Finding(name="run_dir", fine=True, seen=f"{path}, {memory}")


def disk(field: str, path: str) -> Finding:
    """Is there room in this directory of the site?"""
    free = shutil.disk_usage(existing(path)).free
    least = LEAST_FREE if field == "run_dir" else _SPARE
    return Finding(
        name=f"disk of {field}",
        fine=free >= least,
        needed=free < LEAST_FREE,
        seen=f"{path}: {free >> 20} MiB free",
        remedy=f"Make space, or choose another disk: df -h {existing(path)}",
    )


def _file_system(place: Path) -> str:
    """The kind of the file system of a path, by the longest mount point above it (proc(5) mountinfo)."""
    best, kind = "", "unknown"
    real = os.path.realpath(place)
    above: Callable[[str], bool] = lambda point: real == point or real.startswith(point.rstrip("/") + "/")  # noqa: E731
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        if above(words[4]) and len(words[4]) >= len(best):
            best, kind = words[4], words[words.index("-") + 1]
    return kind
