"""How does an admin make, change and look at the programs' certificates? `jupyter-sandbox-admin certificates`

Law: the authority's key stays in the admin's directory, and no private key is printed to a terminal unasked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..rules.certificates import PROGRAMS, SOON, Paper, check_host, is_due, time_trouble, words_of_time
from .exits import ExitStatus

if TYPE_CHECKING:
    from .certificate_files import Held

__all__ = ["add_commands"]

_NAMESPACE = "jupyter-sandbox"
_ROTATE = """\
new certificates of the same authority, which programs take without a restart:
  jupyter-sandbox-admin certificates rotate --directory D
a new authority, in two steps between which both are trusted:
  jupyter-sandbox-admin certificates rotate --directory D --authority
  (bring the files to all programs, wait ten minutes)
  jupyter-sandbox-admin certificates rotate --directory D --finish
  (bring the files to all programs)
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `certificates` and its commands."""
    top = commands.add_parser(
        "certificates", help="certificates by which programs on different machines know one another"
    )
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    make = _verb(
        verbs,
        "make",
        "make the authority and each program's certificate",
        "Makes what is not there, renews what is due, and adds names that are new; again, it changes nothing."
        " The authority (authority.pem) stays here; each program gets the directory of its name.",
    )
    _namespace(make, "whose services the names are")
    make.add_argument(
        "--host", action="append", default=[], metavar="PROGRAM=NAME", help="one more host name or address"
    )
    make.set_defaults(action=_make)
    rotate = _verb(verbs, "rotate", "make new certificates, or change the authority", "Nothing is cut off.")
    rotate.epilog, rotate.formatter_class = _ROTATE, argparse.RawDescriptionHelpFormatter
    step = rotate.add_mutually_exclusive_group()
    step.add_argument("--authority", action="store_true", help="a new authority beside the old one")
    step.add_argument("--finish", action="store_true", help="trust the old authority no longer")
    rotate.add_argument("--now", action="store_true", help="with --finish: every program has the files")
    rotate.set_defaults(action=_rotate)
    show = _verb(
        verbs,
        "show",
        "list certificates, names and ends",
        "Status 12 where one has ended or ends within 30 days. D can be what one program has, too.",
    )
    show.add_argument("--json", action="store_true", help="print JSON for scripts")
    show.set_defaults(action=_show)
    _add_manifest(verbs)


def _add_manifest(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    manifest = _verb(
        verbs,
        "manifest",
        "print Secrets for kubectl apply; they hold keys",
        "Prints a Secret certificates-PROGRAM for each program, for kubectl apply --server-side -f -."
        " They hold private keys: not to a terminal, and not into version control.",
    )
    _namespace(manifest, "where the programs run")
    manifest.add_argument("--output", metavar="FILE", help="write there instead, with mode 0600")
    manifest.add_argument("--terminal", action="store_true", help="print private keys to a terminal, too")
    manifest.set_defaults(action=_manifest)


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str, more: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=words, description=more)
    verb.add_argument("--directory", required=True, metavar="D", help="the admin's directory of certificates")
    return verb


def _namespace(verb: argparse.ArgumentParser, words: str) -> None:
    verb.add_argument(
        "--namespace", default=_NAMESPACE, metavar="NAME", help=f"{words} (default: {_NAMESPACE})"
    )


def _make(arguments: argparse.Namespace) -> int:
    from .certificate_files import make

    namespace = check_host(arguments.namespace, "--namespace")
    _tell(
        make(Path(arguments.directory), namespace, _further(arguments.host), _now()),
        "Everything is there and not due.",
    )
    return ExitStatus.OK


def _further(given: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What --host says, by program."""
    found: dict[str, list[str]] = {}
    for text in given:
        program, _, host = text.partition("=")
        if program not in PROGRAMS:
            raise ConfigurationError(
                f"--host: {text[:80]!r} does not begin with a program.",
                code="certificates.host",
                field="--host",
                remedy=f"Write PROGRAM=NAME; programs are {', '.join(PROGRAMS)}.",
            )
        found.setdefault(program, []).append(check_host(host, "--host"))
    return found


def _rotate(arguments: argparse.Namespace) -> int:
    from .certificate_files import begin, finish, renew

    directory = Path(arguments.directory)
    if arguments.now and not arguments.finish:
        raise ConfigurationError("--now: goes with --finish.", field="--now", remedy="Leave it out.")
    if arguments.authority:
        _tell(begin(directory, _now()), "")
        print("Now bring them to all programs; after ten minutes: certificates rotate --finish")
    elif arguments.finish:
        _tell(finish(directory, _now(), arguments.now), "")
        print("Now bring them to all programs.")
    else:
        _tell(renew(directory, _now()), "There is no program yet: certificates make")
    return ExitStatus.OK


def _tell(done: Sequence[str], otherwise: str) -> None:
    for line in done or [otherwise]:
        print(line)


def _show(arguments: argparse.Namespace) -> int:
    from .certificate_files import look

    held, now = look(Path(arguments.directory)), _now()
    rows = [
        *zip(("authority", "before"), held.authorities, ((), ()), strict=False),
        *((papers.own.program, papers.own, papers.hosts) for papers in held.programs),
    ]
    found = [
        {
            "name": name,
            "begins": paper.begins.isoformat(),
            "ends": paper.ends.isoformat(),
            "state": _state(paper, now),
            "hosts": list(hosts),
        }
        for name, paper, hosts in rows
    ]
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for item, (_, paper, hosts) in zip(found, rows, strict=True):
            ends = words_of_time(paper.ends)
            print(f"{item['name']:<10} {item['state']:<8} until {ends}  {', '.join(hosts)}".rstrip())
        print(_trust(held))
    well = all(item["state"] in ("ok", "due") for item in found)
    return ExitStatus.OK if well else ExitStatus.NOT_WELL


def _state(paper: Paper, now: datetime) -> str:
    trouble = time_trouble([paper], now)
    if trouble is not None:
        return "clock" if now < paper.begins else "ENDED"
    if paper.ends - now < SOON:
        return "ENDING"
    return "due" if is_due(paper, now) else "ok"


def _trust(held: Held) -> str:
    if len(held.authorities) > 1:
        return "Two authorities are trusted; end that with: certificates rotate --finish"
    return "One authority is trusted."


def _manifest(arguments: argparse.Namespace) -> int:
    from .authority import write_in_one_step
    from .certificate_manifest import manifest

    text = manifest(Path(arguments.directory), check_host(arguments.namespace, "--namespace"))
    if arguments.output:
        write_in_one_step(Path(arguments.output).absolute(), text.encode(), 0o600)
        print(f"{arguments.output} is written; it holds private keys, so erase it after kubectl apply.")
        return ExitStatus.OK
    if sys.stdout.isatty() and not arguments.terminal:
        raise ConfigurationError(
            "The manifest holds private keys, and this is a terminal.",
            code="certificates.terminal",
            remedy="Pipe it to kubectl apply --server-side -f - or give --output FILE; --terminal prints it.",
        )
    print("This holds the programs' private keys: keep it out of version control and logs.", file=sys.stderr)
    print(text, end="")
    return ExitStatus.OK


def _now() -> datetime:
    return datetime.now(timezone.utc)
