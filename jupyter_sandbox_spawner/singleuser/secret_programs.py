"""What do boto3 and git run to get a login? Commands that speak to a program, and to no person.

Law: a value goes to a pipe, never to a terminal; an error is one line on standard error and holds no value.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..errors import ConfigurationError, SandboxError
from . import git_credential, secret_use
from .view import Shown

__all__ = ["add_commands"]

_Add = Callable[[str, str, Callable[[argparse.Namespace], Shown]], argparse.ArgumentParser]


def add_commands(add: _Add) -> None:
    """Add `aws-credentials` and `git-credential`."""
    aws = add(
        "aws-credentials", "keys for boto3's credential_process, as JSON on standard output", _boto3_only
    )
    aws.set_defaults(run=_print_keys)
    aws.add_argument("name", metavar="NAME", nargs="?", help="absent: the only one of kind aws")
    git = add("git-credential", "what git runs as its credential helper; it reads standard input", _git_only)
    git.set_defaults(run=_print_login)
    git.add_argument("verb", metavar="get|store|erase", help="only get is answered; nothing is stored")


def _print_keys(options: argparse.Namespace, program: Sequence[str]) -> int:
    _check_pipe(
        "keys for boto3", "boto3 asks by itself; by hand: jupyter sandbox secrets use NAME -- PROGRAM"
    )
    print(secret_use.aws_credentials(options.name))
    return 0


def _print_login(options: argparse.Namespace, program: Sequence[str]) -> int:
    _check_pipe(
        "a login for git", "git asks by itself, for hosts that your profile grants: git clone https://..."
    )
    question = sys.stdin.read()
    for line in git_credential.answer(options.verb, question):
        print(line, flush=True)
    return 0


def _check_pipe(what: str, remedy: str) -> None:
    if sys.stdout.isatty():
        raise ConfigurationError(
            f"This prints {what}, and standard output is a terminal.", code="secret.terminal", remedy=remedy
        )


def _boto3_only(options: argparse.Namespace) -> NoReturn:
    raise SandboxError(
        "`aws-credentials` is what boto3 runs; a notebook needs no call of it.",
        code="secret.needs_boto3",
        remedy="Make a boto3 client, or begin a cell with: %%sandbox secrets use NAME",
    )


def _git_only(options: argparse.Namespace) -> NoReturn:
    raise SandboxError(
        "`git-credential` is what git runs; a notebook needs no call of it.",
        code="secret.needs_git",
        remedy="Just use git: !git clone https://HOST/REPOSITORY",
    )
