"""What can be typed after `jupyter sandbox` and after `%sandbox`? One parser, one set of answers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum

from ..errors import ProgramError, RefusedError, SandboxError
from . import data, doctor, network, questions, secret_commands, tracking
from .view import Shown

__all__ = ["ExitStatus", "answer", "main", "parser"]

_STATUSES = """\
exit status:
  0  it went well            3  this is not a sandbox
  1  something unforeseen    4  refused; the reason is shown
  2  the command is wrong    5  control or its door does not answer
                             6  doctor found something wrong
"""


class ExitStatus(IntEnum):
    """The statuses of `jupyter sandbox`."""

    OK = 0
    UNFORESEEN = 1
    COMMAND = 2
    OUTSIDE = 3
    REFUSED = 4
    NO_ANSWER = 5
    WRONG = 6


def parser(
    program: str = "jupyter sandbox", kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """The only one; a magic passes its own `kind`, which does not end the process."""
    top = kind(prog=program, description="See and change the limits of your own server.", epilog=_STATUSES)
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    _set(top, lambda _options: questions.status())
    top.set_defaults(json=False)
    add = top.add_subparsers(title="commands", metavar="COMMAND").add_parser
    _set(_command(add, "status", _STATUS), lambda _options: questions.status())
    ttl = _set(_command(add, "ttl", "when this server stops, and why then"), lambda _options: questions.ttl())
    below = ttl.add_subparsers(title="commands", metavar="COMMAND").add_parser
    extend = _command(below, "extend", "move the end, as far as the profile allows")
    _set(extend, lambda options: questions.extend(options.by))
    by = 'time from now, as "45m" or "2h"; without it the step of the profile'
    extend.add_argument("by", metavar="BY", nargs="?", help=by)
    keep = _command(add, "keep", "keep this server although it is not used; its other limits stay")
    _set(keep, lambda options: questions.keep(options.by))
    keep.add_argument("by", metavar="BY|off", help='time from now, as "45m" or "2h"; off: no longer')
    _add_egress(add)
    _set(
        _command(add, "datasets", "which data is mounted where, and what its tags take away"),
        lambda _options: data.datasets(),
    )
    _set(
        _command(add, "mlflow", "where runs go, and whether MLflow answers"),
        lambda _options: tracking.tracking(),
    )
    _set(_command(add, "doctor", "what is wrong in here, and what to do"), lambda _options: doctor.examine())
    secret_commands.add_commands(add, _command, _set)
    return top


def _add_egress(add: Callable[..., argparse.ArgumentParser]) -> None:
    says = "what may be reached, what was denied, and what was asked for"
    egress = _set(_command(add, "egress", says), lambda _options: network.egress())
    below = egress.add_subparsers(title="commands", metavar="COMMAND").add_parser
    wish = _command(below, "ask", "ask the admins to open a host for a while")
    _set(wish, lambda options: network.ask_for_access(options.host, " ".join(options.why)))
    wish.add_argument("host", metavar="HOST[:PORT]", help="such as example.org; the port is 443 if not said")
    what_for = "what for; the admins read it"
    wish.add_argument("--why", metavar="TEXT", nargs="+", required=True, help=what_for)
    back = _command(below, "withdraw", "take back a request that waits")
    _set(back, lambda options: network.withdraw(options.request))
    back.add_argument("request", metavar="N", type=int, help="its number, as in: %(prog)s 7")


_STATUS = "profile, time left, quotas, and why the last server stopped (the default)"


def _command(add: Callable[..., argparse.ArgumentParser], name: str, says: str) -> argparse.ArgumentParser:
    return add(name, help=says, description=f"{says[0].upper()}{says[1:]}.")


def _set(
    command: argparse.ArgumentParser, ask: Callable[[argparse.Namespace], Shown]
) -> argparse.ArgumentParser:
    command.set_defaults(ask=ask)
    # Suppressed, or a command's absent --json would undo one that stands before the command.
    command.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for scripts"
    )
    return command


def answer(options: argparse.Namespace) -> Shown:
    """What the chosen command says. Raises SandboxError."""
    ask: Callable[[argparse.Namespace], Shown] = options.ask
    return ask(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """`jupyter sandbox`: prints, and returns the exit status."""
    words, program = secret_commands.split(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words)
    try:
        if "run" in options:
            status: int = options.run(options, program)
            return status
        shown = answer(options)
    except SandboxError as error:
        if options.json:
            print(json.dumps(error.as_document()))
        else:
            print(_for_terminal(error), file=sys.stderr)
        return _status_of(error)
    _print(json.dumps(shown.as_document(), indent=1) if options.json else _for_terminal(shown))
    wrong = isinstance(shown, doctor.Findings) and not shown.fine
    return ExitStatus.WRONG if wrong else ExitStatus.OK


def _for_terminal(text: object) -> str:
    """Answers name the magic; here the same is typed in another way."""
    return str(text).replace("%sandbox", "jupyter sandbox")


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # `| head` has read enough; what Python would flush at its end goes nowhere, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _status_of(error: SandboxError) -> ExitStatus:
    if error.code == "sandbox.outside":
        return ExitStatus.OUTSIDE
    if isinstance(error, RefusedError):
        return ExitStatus.REFUSED
    return ExitStatus.NO_ANSWER if isinstance(error, ProgramError) else ExitStatus.COMMAND
