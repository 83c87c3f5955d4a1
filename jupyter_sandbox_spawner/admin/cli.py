"""What can the admin type? `jupyter-sandbox-admin COMMAND`, listed by --help."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ..errors import SandboxError
from . import (
    audit,
    canary,
    certificates,
    datasets,
    egress,
    exits,
    extend,
    gpu,
    health,
    policy,
    profile_commands,
    ps,
    reconcile,
    secrets,
    table,
    usage,
)
from .exits import ExitStatus, exit_status

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The whole command line; docs/reference/commands.md is compared with it."""
    top = argparse.ArgumentParser(
        prog="jupyter-sandbox-admin",
        description="Runs and examines a JupyterHub whose servers are sandboxes.",
        epilog="exit status:\n" + "\n".join((exits.__doc__ or "").splitlines()[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_doctor(commands)
    profile_commands.add_commands(commands)
    ps.add_commands(commands)
    extend.add_command(commands)
    table.add_commands(commands)
    health.add_command(commands)
    reconcile.add_command(commands)
    gpu.add_commands(commands)
    canary.add_command(commands)
    audit.add_commands(commands)
    secrets.add_commands(commands)
    certificates.add_commands(commands)
    policy.add_commands(commands)
    datasets.add_commands(commands)
    egress.add_commands(commands)
    usage.add_command(commands)
    _add_site(commands)
    _add_unshare(commands)
    return top


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run launcher, gateway, control, broker, proxy and hub until Ctrl-C",
        description="Runs launcher, gateway, control, broker, proxy and hub as equals: each is started again"
        " when it ends."
        " Ctrl-C or SIGTERM stops them and every sandbox, and leaves nothing behind.",
    )
    run.add_argument("-f", "--config", required=True, metavar="FILE", help="jupyterhub_config.py")
    run.add_argument(
        "--port", type=int, metavar="N", help="public port, instead of the file's; 0: a free one"
    )
    run.add_argument(
        "--check-config", action="store_true", help="check the file and its profiles, start nothing"
    )
    run.add_argument(
        "--keep-sandboxes", action="store_true", help="let them go on; the next run takes them over"
    )
    run.set_defaults(action=_run)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="say what this machine lacks, and the command that helps",
        description="Looks at what a site needs of this machine, at its uids and directories, and at"
        " versions with known holes; on a cluster, at what its launcher has found and at the pod that it"
        " runs in. Status 3 when something is missing; what is WEAK only warns.",
    )
    which = doctor.add_mutually_exclusive_group()
    which.add_argument("-f", "--config", metavar="FILE", help="jupyterhub_config.py of the site to look at")
    which.add_argument("--site", metavar="FILE", help="its site.json instead, such as in a pod of a cluster")
    doctor.add_argument(
        "--json", action="store_true", help="print a list of {name, fine, seen, remedy, needed}"
    )
    doctor.set_defaults(action=_doctor)


def _add_site(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    site = commands.add_parser("site", help="prepare a site whose programs systemd runs")
    verbs = site.add_subparsers(title="commands", metavar="COMMAND", required=True)
    write = verbs.add_parser(
        "write",
        help="write site.json, tokens and environment files for units",
        description="Makes directories, checks what each program's uid can read, and writes site.json,"
        " tokens and environment files to run_dir. Nothing is started. Writing again changes no token.",
    )
    write.add_argument("-f", "--config", required=True, metavar="FILE", help="jupyterhub_config.py")
    write.set_defaults(action=_write_site)


def _add_unshare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    unshare = commands.add_parser(
        "unshare",
        help="without root: run a command that may touch sandboxes' homes",
        description="Runs a command (default: a shell) as uid 0 of a user namespace that has your uids of"
        " /etc/subuid, so that homes can be read, copied, given back or erased. It may do to your own files"
        " what you may. Example: jupyter-sandbox-admin unshare tar -czf homes.tgz -C STATE_DIR homes",
    )
    unshare.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="command and arguments")
    unshare.set_defaults(action=_unshare)


# The actions import what they need: a look at --help or doctor must not wait for circus and the hub.


def _run(arguments: argparse.Namespace) -> int:
    from ..rules.rulebook_file import parse_rulebook
    from .installation import load_installation
    from .profiles import check_profiles
    from .run import run

    installation = load_installation(arguments.config, arguments.port)
    site = installation.site
    slugs = (
        check_profiles(site.profiles, list(site.environments))
        if site.profiles
        else [profile.slug for profile in parse_rulebook(installation.profiles).profiles]
    )
    if arguments.check_config:
        print(f"{installation.config_file} is right. Profiles: {', '.join(slugs)}.")
        return ExitStatus.OK
    return run(installation, keep_sandboxes=arguments.keep_sandboxes)


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import diagnose

    return diagnose(arguments)


def _write_site(arguments: argparse.Namespace) -> int:
    from .installation import load_installation
    from .site_files import write_for_units

    site = write_for_units(load_installation(arguments.config))
    uids = ", ".join(f"{name} {uid}" for name, uid in site.program_uids.items())
    print(f"{site.run_dir}/site.json is written. Uids: {uids or 'one for all programs'}.")
    return ExitStatus.OK


def _unshare(arguments: argparse.Namespace) -> int:
    from .homes import run_unshared

    return run_unshared(arguments.command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an error of ours becomes its sentence on stderr and its exit status."""
    arguments = parser().parse_args(argv)
    action: Callable[[argparse.Namespace], int] = arguments.action
    try:
        status = action(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read us has seen enough (`doctor | head`); nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.OK
    except SandboxError as error:
        print(f"jupyter-sandbox-admin: {error.message}", file=sys.stderr)
        if error.remedy:
            print(f"    {error.remedy}", file=sys.stderr)
        return exit_status(error)
