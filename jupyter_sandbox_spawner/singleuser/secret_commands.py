"""What can be typed after `sandbox secrets`, in a notebook and in a terminal?"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..errors import ConfigurationError, SandboxError
from . import secret_use, secret_values
from .view import Shown

__all__ = ["add_commands", "split"]

_Add = Callable[..., argparse.ArgumentParser]
_Set = Callable[[argparse.ArgumentParser, Callable[[argparse.Namespace], Shown]], argparse.ArgumentParser]


def add_commands(
    add: _Add, command: Callable[[_Add, str, str], argparse.ArgumentParser], set_ask: _Set
) -> None:
    """Add `secrets`, `secrets env`, `secrets use` and `aws-credentials`."""
    says = "secrets that this server may read; never their values"
    secrets = set_ask(command(add, "secrets", says), lambda _options: secret_values.listing())
    below = secrets.add_subparsers(title="commands", metavar="COMMAND").add_parser
    env = command(below, "env", "put secrets into the environment of this kernel; names are shown, no values")
    set_ask(env, lambda options: secret_use.keep(options.names))
    env.set_defaults(run=_not_in_a_shell)
    use = command(below, "use", "put secrets into the environment of one cell, or of one program after --")
    set_ask(use, _without_a_cell)
    use.set_defaults(for_a_cell=True, run=_become)
    for either in (env, use):
        either.add_argument("names", metavar="NAME", nargs="+", help="such as db/warehouse")
    aws = command(add, "aws-credentials", "keys for boto3's credential_process, as JSON on standard output")
    set_ask(aws, _for_boto3_only)
    aws.set_defaults(run=_print_credentials)
    aws.add_argument("name", metavar="NAME", nargs="?", help="absent: the only one of kind aws")


def split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The command's own words, and the program that stands after `--`."""
    if "--" not in words:
        return words, ()
    place = list(words).index("--")
    return words[:place], words[place + 1 :]


def _become(options: argparse.Namespace, program: Sequence[str]) -> NoReturn:
    """Become the program; the variables are its own and nobody else's."""
    if not program:
        raise ConfigurationError(
            "There is no program to run.",
            code="secret.no_program",
            field="program",
            remedy="Write: jupyter sandbox secrets use NAME -- PROGRAM [ARGUMENT...]",
        )
    values = secret_use.variables(options.names)
    environment = os.environ | {variable: value.reveal() for variable, value in values.items()}
    try:
        os.execvpe(program[0], list(program), environment)  # noqa: S606 - becoming it is the point
    except OSError as error:
        raise ConfigurationError(
            f"{program[0]} cannot be run: {error.strerror}.", code="secret.no_program", field="program"
        ) from None


def _not_in_a_shell(options: argparse.Namespace, program: Sequence[str]) -> NoReturn:
    raise ConfigurationError(
        "A command cannot change the environment of the shell that started it.",
        code="secret.needs_kernel",
        remedy=f"Write: jupyter sandbox secrets use {' '.join(options.names)} -- PROGRAM [ARGUMENT...]",
    )


def _print_credentials(options: argparse.Namespace, program: Sequence[str]) -> int:
    if sys.stdout.isatty():
        raise ConfigurationError(
            "This prints keys for boto3, and standard output is a terminal.",
            code="secret.terminal",
            remedy="boto3 asks by itself; by hand: jupyter sandbox secrets use NAME -- PROGRAM",
        )
    print(secret_use.aws_credentials(options.name))
    return 0


def _without_a_cell(options: argparse.Namespace) -> NoReturn:
    raise SandboxError(
        "`secrets use` is for a whole cell.",
        code="secret.needs_cell",
        remedy=f"Begin the cell with: %%sandbox secrets use {' '.join(options.names)}",
    )


def _for_boto3_only(options: argparse.Namespace) -> NoReturn:
    raise SandboxError(
        "`aws-credentials` is what boto3 runs; a notebook needs no call of it.",
        code="secret.needs_boto3",
        remedy="Make a boto3 client, or begin a cell with: %%sandbox secrets use NAME",
    )
