"""How does `%sandbox` come into a notebook? Registered at start; what it needs is imported when it is used.

Law: a cell that succeeds pays for reading a clock, an attribute and one file's time, nothing else.
"""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NoReturn

from ..errors import SandboxError
from .notices import NewsForKernel

__all__ = ["load", "sandbox", "unload"]

_HINT_PATIENCE = 1.0  # seconds
_WORDS = ("status", "ttl", "keep", "egress", "datasets", "mlflow", "doctor", "secrets")
_FOLLOWING = {
    (): _WORDS,
    ("ttl",): ("extend",),
    ("keep",): ("off",),
    ("egress",): ("ask", "withdraw"),
    ("secrets",): ("status", "renew", "revoke", "vault", "env", "use"),
}


class _CommandLineError(Exception):
    """The line is wrong; the message holds the usage."""


class _SentenceError(Exception):
    """Ends a cell with one sentence where IPython would show a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class _Parser(argparse.ArgumentParser):
    """Raises where the command would end its process."""

    def error(self, message: str) -> NoReturn:
        raise _CommandLineError(f"{message}\n{self.format_usage()}".strip())


class _Watch:
    """Knows the shell, and sees cells begin and end, for warnings and the hint."""

    def __init__(self) -> None:
        self._began = 0.0
        self._news = NewsForKernel()
        self.shell: Any = None

    def began(self, _info: Any) -> None:
        """A cell begins."""
        self._began = time.time()
        line = self._news.line(self._began)
        if line:
            print(line, file=sys.stderr)

    def ended(self, result: Any) -> None:
        """A cell has ended; only a failed one is looked at."""
        if result.error_in_exec is not None:
            _tell(result.error_in_exec, self._began)


_watch = _Watch()


def load(shell: Any) -> None:
    """Register magic, completion and hint with an IPython shell."""
    _watch.shell = shell
    shell.register_magic_function(sandbox, "line_cell", "sandbox")
    for key in ("%sandbox", "%%sandbox"):
        shell.set_hook("complete_command", _complete, str_key=key)
    shell.events.register("pre_run_cell", _watch.began)
    shell.events.register("post_run_cell", _watch.ended)


def unload(shell: Any) -> None:
    """Take magic and hint away again."""
    shell.events.unregister("pre_run_cell", _watch.began)
    shell.events.unregister("post_run_cell", _watch.ended)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("sandbox", None)


def sandbox(line: str, cell: str | None = None) -> Any:
    """See and change the limits of your own server.

    %sandbox [status]            profile, time left, quotas, why the last server stopped
    %sandbox ttl                 when this server stops, and why then
    %sandbox ttl extend [BY]     move the end: "45m", "2h", or the profile's own step
    %sandbox keep BY             keep it for "2h" although it is not used; off: no longer
    %sandbox egress              what may be reached, what was denied, what was asked for
    %sandbox egress ask HOST --why "what for"
                                 ask the admins to open a host for a while; withdraw N: no longer
    %sandbox datasets            which data is mounted where, and what its tags take away
    %sandbox mlflow              where runs go, and whether MLflow answers
    %sandbox doctor              what is wrong in here, and what to do
    %sandbox secrets             secrets that you may read; never their values
    %sandbox secrets status      can they be read, and what is held until when
    %sandbox secrets renew NAME  let what is held live longer; revoke NAME: end it
    %sandbox secrets vault NAME  a Vault token of your own, into a file in memory
    %sandbox secrets env NAME    into the environment of this kernel
    %%sandbox secrets use NAME   into the environment of this cell only

    Each takes --json and --help. The answer can be kept: left = %sandbox ttl
    """
    from .commands import answer

    try:
        options = _parser().parse_args(shlex.split(line))
        if cell is not None:
            return _run(options, cell)
        shown = answer(options)
    except SystemExit:  # --help has been printed
        return None
    except (_CommandLineError, SandboxError, ValueError) as error:
        raise _SentenceError(str(error)) from error
    return shown.as_document() if options.json else shown


def _run(options: argparse.Namespace, cell: str) -> None:
    """Run a cell with secrets in its environment, which is as before in the end, however the cell ends."""
    from .secret_use import used, variables

    names = getattr(options, "for_a_cell", False) and options.names
    if not names:
        raise _CommandLineError("Only this begins a cell: %%sandbox secrets use NAME [NAME...]")
    with used(variables(names)):
        done = _watch.shell.run_cell(cell, store_history=False)
    if not done.success:
        # Its traceback has been shown; "run all" must stop here all the same.
        raise _SentenceError("The cell failed. Its secrets are out of the environment again.")


@functools.cache
def _parser() -> argparse.ArgumentParser:
    from .commands import parser

    return parser("%sandbox", _Parser)


def _complete(_shell: Any, event: Any) -> list[str]:
    """Words that may follow; IPython keeps those that begin as typed."""
    words = event.line.split()
    done = words[1:-1] if event.symbol else words[1:]
    following = _FOLLOWING.get(tuple(done), ())
    return [*following, "--json", "--help"]


def _tell(error: BaseException, began: float) -> None:
    from .hint import hint
    from .network import egress

    ask: Callable[[], Any] = functools.partial(egress, _HINT_PATIENCE)
    line = hint(error, datetime.fromtimestamp(began, timezone.utc), ask)
    if line:
        print(line, file=sys.stderr)
