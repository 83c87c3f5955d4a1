"""How does one command run a whole site? Check everything, start the programs, wait, stop in order."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..clients.launcher import LauncherClient
from ..errors import ConfigurationError, ProgramError
from ..rules.soft_limits import soft_limits
from ..settings import Site, write_site
from .accounts import accounts_of, with_uids
from .directories import (
    erase_run_directory,
    give_directories,
    locked,
    prepare_directories,
)
from .exits import ExitStatus, exit_status
from .installation import Installation
from .ports import check_port, choose_ports, inner_ports
from .profiles import with_profiles_file
from .programs import PROXY_TOKEN, held_sockets, plan_programs
from .reach import ONE_UID, check_reach
from .readiness import Prober, public_url
from .requirements import check_programs
from .service_tokens import give_service_tokens
from .supervisor import Supervisor
from .sweep import end_all_sandboxes

__all__ = ["run"]


def run(installation: Installation, keep_sandboxes: bool = False) -> ExitStatus:
    """Run until SIGINT, SIGTERM or SIGHUP. Raises SandboxError where something forbids the start.

    With `keep_sandboxes` they go on, and the next run on the same directories takes them over.
    """
    # Sandboxes' uids pass through what is made for them; what is private has a mode that says so.
    os.umask(0o022)
    check_programs(installation)
    installation = replace(installation, site=with_uids(installation.site))
    prepare_directories(installation.site)
    with locked(installation.site):
        installation = with_profiles_file(installation)
        installation = replace(installation, site=choose_ports(installation.site))
        _check_ports(installation)
        _separate(installation)
        status = asyncio.run(_run(installation, keep_sandboxes))
        if status != ExitStatus.LEFT_OVER and not keep_sandboxes:
            erase_run_directory(installation.site)
    return status


def _separate(installation: Installation) -> None:
    """Give every program what is its own, and say so where they share one uid instead."""
    accounts = accounts_of(installation.site)
    check_reach(installation, accounts)
    give_directories(installation.site, accounts)
    if not accounts:
        why = ONE_UID if installation.site.one_uid else f"not root, uid {os.geteuid()}"
        _say(f"one uid for all programs ({why}): a program that is broken into can read what the others hold")


def _check_ports(installation: Installation) -> None:
    site = installation.site
    check_port(installation.public_host, site.public_port, "public_port")
    for field in inner_ports(site):
        check_port("127.0.0.1", getattr(site, field), field)


async def _run(installation: Installation, keep_sandboxes: bool) -> ExitStatus:
    site_file, logs, tokens = _write_files(installation.site)
    supervisor = Supervisor(
        plan_programs(installation, site_file, tokens, os.environ),
        held_sockets(installation),
        logs,
        Prober(installation, tokens).probe,
        _report,
    )
    stopping = _stop_signals()
    problems: Sequence[str] = ()
    try:
        failure = await _serve(supervisor, stopping, installation)
        problems = await _stop(installation.site, supervisor, keep_sandboxes)
    finally:
        await supervisor.close()
    for problem in problems:
        print(f"left over: {problem}", file=sys.stderr)
    if failure is not None:
        print(f"{failure.code}: {failure}", file=sys.stderr)
        return exit_status(failure)
    return ExitStatus.LEFT_OVER if problems else ExitStatus.OK


async def _serve(
    supervisor: Supervisor, stopping: asyncio.Event, installation: Installation
) -> ProgramError | None:
    """Start, say when everything answers, wait. Returns why it ended: None for a signal."""
    asked: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    ends: set[asyncio.Future[Any]] = {asked, supervisor.failed}
    try:
        await supervisor.start()
        await asyncio.wait({*ends, supervisor.ready}, return_when=asyncio.FIRST_COMPLETED)
        if supervisor.ready.done():
            await _say_what_is_soft(installation.site)
            _say(f"ready at {public_url(installation)}")
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not supervisor.failed.done():
            return None
        failure = supervisor.failed.result()
        for line in supervisor.logs[failure.field].last_lines():
            print(f"  {failure.field} | {line}", file=sys.stderr)
        return failure
    finally:
        asked.cancel()


async def _say_what_is_soft(site: Site) -> None:
    try:
        async with LauncherClient(site.launcher_socket) as launcher:
            found = await launcher.capabilities()
    except ProgramError as error:  # it was killed a moment ago; doctor and %sandbox status tell it, too
        _say(f"which limits are soft is not known: {error}")
        return
    soft = soft_limits(found.limits)
    if soft:
        _say(f"soft limits: {', '.join(soft)}. {' '.join(found.missing)}")


async def _stop(site: Site, supervisor: Supervisor, keep_sandboxes: bool) -> Sequence[str]:
    """Nobody comes in any more, then the sandboxes end, then those who watch them. Returns what is left."""
    began = time.monotonic()
    await supervisor.stop("hub")
    await supervisor.stop("proxy")
    await supervisor.stop("broker")
    await supervisor.stop("control")
    problems: Sequence[str] = ()
    if not keep_sandboxes:
        ended, problems = await end_all_sandboxes(site)
        _say(f"{ended} {'sandbox' if ended == 1 else 'sandboxes'} ended")
    if site.tracking:
        await supervisor.stop("tracking")
    await supervisor.stop("gateway")
    await supervisor.stop("launcher")
    _say(f"stopped, {time.monotonic() - began:.1f} s")
    return problems


def _write_files(site: Site) -> tuple[str, Path, dict[str, str]]:
    """site.json, the directory of the programs' logs, and the tokens by variable."""
    path = f"{site.run_dir}/site.json"
    try:
        write_site(path, site)
        logs = Path(site.state_dir, "logs")
        # The hub keeps a service's tokens for good, so theirs are made once; the proxy forgets its own.
        return path, logs, {PROXY_TOKEN: secrets.token_hex(32), **give_service_tokens(site)}
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or path} cannot be written: {error.strerror}.",
            code="site.directory_unusable",
            remedy=f"See: df -h {site.run_dir} {site.state_dir}",
        ) from error


def _stop_signals() -> asyncio.Event:
    """Set by the first signal to stop; further ones change nothing, for half a stop would leave things."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def _say(text: str) -> None:
    print(text, flush=True)


def _report(name: str, text: str) -> None:
    print(f"{name:<9} {text}", flush=True)
