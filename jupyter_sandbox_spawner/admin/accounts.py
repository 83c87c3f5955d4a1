"""Under which uid does each program run, and with which privileges?

Law: only the launcher is root. A named system user (`jss-hub`) counts before a number, the admin's own choice
before both; nobody gets a supplementary group.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from ..errors import ConfigurationError
from ..ordinary import require_subids
from ..rules.subids import LEAST_IDS
from ..settings import Site

__all__ = ["PROGRAMS", "ROOT", "Account", "accounts_of", "as_account", "with_uids"]

PROGRAMS = ("hub", "proxy", "gateway", "control", "broker", "tracking")
_PREFIX = "jss-"
_RESERVED = 16  # uids below uid_base that belong to programs where no system users exist
# Who calls launcher and gateway shares one group, so that the sockets' modes keep everybody else away.
_CALLERS = ("hub", "control")
_DEFAULT = {item.name: item.default for item in fields(Site)}


@dataclass(frozen=True, kw_only=True)
class Account:
    """A uid and a gid of the host. `low_ports`: it may bind ports below 1024 and nothing else."""

    uid: int
    gid: int
    low_ports: bool = False


ROOT = Account(uid=0, gid=0)


def with_uids(site: Site) -> Site:
    """The site with the uid of each program filled in: none for an ordinary user or where one is accepted.

    An ordinary user's sandboxes get the uids of /etc/subuid. Raises ConfigurationError `site.program_uids`,
    or `ordinary.*` where those cannot be had.
    """
    if os.geteuid() != 0:
        return _with_subids(replace(site, program_uids={}))
    if site.one_uid:
        return replace(site, program_uids={})
    unknown = sorted(set(site.program_uids) - set(PROGRAMS))
    if unknown:
        raise _wrong(f"{unknown[0]!r} is no program with a uid", f"Known are: {', '.join(PROGRAMS)}.")
    uids = {name: _uid(name, site) for name in PROGRAMS}
    _check(uids, site)
    return replace(site, program_uids=uids)


def accounts_of(site: Site) -> Mapping[str, Account]:
    """The account of each program of a site that `with_uids` has completed; {} where all share one."""
    if not site.program_uids:
        return {}
    accounts = {name: Account(uid=uid, gid=_gid(uid)) for name, uid in site.program_uids.items()}
    callers = accounts["hub"].gid
    for name in _CALLERS:
        accounts[name] = replace(accounts[name], gid=callers)
    accounts["proxy"] = replace(accounts["proxy"], low_ports=0 < site.public_port < 1024)
    return accounts


def as_account(account: Account | None) -> tuple[str, ...]:
    """The command that runs what follows it under an account, for good; None: as we are.

    Either way the kernel ends it when the process that started it dies, even by SIGKILL, and writes no core
    dump, which would hold the tokens and secrets that pass through it.
    """
    no_core = ("prlimit", "--core=0:0", "--")
    end = ("--pdeathsig", "KILL", "--")
    if account is None:
        return (*no_core, "setpriv", *end)
    held = "+net_bind_service" if account.low_ports else ""
    capabilities = f"-all,{held}" if held else "-all"
    return (
        *no_core,
        *("setpriv", "--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"),
        *("--bounding-set", capabilities, "--inh-caps", capabilities, "--ambient-caps", capabilities),
        "--no-new-privs",
        *end,
    )


def _with_subids(site: Site) -> Site:
    """An own choice of uids stays if /etc/subuid gives it; so two sites of one user can share a range."""
    found = require_subids()
    end = found.first + found.count
    if (site.uid_base, site.uid_count) == (_DEFAULT["uid_base"], _DEFAULT["uid_count"]):
        return replace(site, uid_base=found.first, uid_count=found.count)
    if found.first <= site.uid_base and site.uid_base + site.uid_count <= end and site.uid_count >= LEAST_IDS:
        return site
    raise ConfigurationError(
        f"uid_base, uid_count: {site.uid_base}, {site.uid_count} is not in what /etc/subuid gives:"
        f" {found.first}..{end - 1}.",
        code="ordinary.range_foreign",
        field="uid_base",
        remedy="Leave both out of setup_hub to use all of it.",
    )


def _uid(name: str, site: Site) -> int:
    chosen = site.program_uids.get(name)
    if chosen is not None:
        return chosen
    try:
        return pwd.getpwnam(f"{_PREFIX}{name}").pw_uid
    except KeyError:
        return site.uid_base - _RESERVED + PROGRAMS.index(name)


def _gid(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _check(uids: Mapping[str, int], site: Site) -> None:
    owners: dict[int, str] = {}
    for name, uid in uids.items():
        if uid <= 0 or site.uid_base <= uid < site.uid_base + site.uid_count:
            raise _wrong(
                f"{name}: {uid} is root or belongs to a sandbox",
                f"Choose one outside 0 and {site.uid_base}..{site.uid_base + site.uid_count - 1}.",
            )
        if uid in owners:
            raise _wrong(f"{owners[uid]} and {name} both have {uid}", "Give each program a uid of its own.")
        owners[uid] = name


def _wrong(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"program_uids: {what}.", code="site.program_uids", field="program_uids", remedy=remedy
    )
