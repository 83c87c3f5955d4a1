"""What can be typed after `sandbox secrets`, in a notebook and in a terminal?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..errors import ConfigurationError, SandboxError
from . import secret_list, secret_programs, secret_use
from .secret_values import secrets as values
from .view import Shown

__all__ = ["add_commands", "split"]

_Add = Callable[..., argparse.ArgumentParser]
_Ask = Callable[[argparse.Namespace], Shown]
_Set = Callable[[argparse.ArgumentParser, _Ask], argparse.ArgumentParser]


def add_commands(
    add: _Add, command: Callable[[_Add, str, str], argparse.ArgumentParser], set_ask: _Set
) -> None:
    """Add `secrets` with what stands below it, and what boto3 and git run."""
    says = "secrets that this server may read; never their values"
    secrets = set_ask(command(add, "secrets", says), lambda _options: secret_list.listing())
    below = secrets.add_subparsers(title="commands", metavar="COMMAND").add_parser
    env = command(below, "env", "put secrets into the environment of this kernel; names are shown, no values")
    set_ask(env, lambda options: secret_use.keep(options.names))
    env.set_defaults(run=_not_in_a_shell)
    use = command(below, "use", "put secrets into the environment of one cell, or of one program after --")
    set_ask(use, _without_a_cell)
    use.set_defaults(for_a_cell=True, run=_become)
    for either in (env, use):
        either.add_argument("names", metavar="NAME", nargs="+", help="such as db/warehouse")
    _add_verbs(lambda name, says, ask: set_ask(command(below, name, says), ask))
    secret_programs.add_commands(lambda name, says, ask: set_ask(command(add, name, says), ask))


def _add_verbs(add: Callable[[str, str, _Ask], argparse.ArgumentParser]) -> None:
    add(
        "status",
        "can the store be used, and what does this server hold until when",
        lambda _: secret_list.status(),
    )
    renew = add("renew", "let what this server holds live longer", lambda o: secret_list.renew(o.name))
    revoke = add(
        "revoke", "end what this server holds; it may be read anew", lambda o: secret_list.revoke(o.name)
    )
    vault = add(
        "vault", "put a Vault token of this server's own into a file", lambda o: values.vault(o.name, o.file)
    )
    for each in (renew, revoke, vault):
        each.add_argument("name", metavar="NAME", help="such as db/warehouse")
    vault.add_argument("--file", metavar="FILE", help="where to; below /dev/shm or /run/jupyter")


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


def _without_a_cell(options: argparse.Namespace) -> NoReturn:
    raise SandboxError(
        "`secrets use` is for a whole cell.",
        code="secret.needs_cell",
        remedy=f"Begin the cell with: %%sandbox secrets use {' '.join(options.names)}",
    )
