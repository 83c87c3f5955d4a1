"""How does the single-user server start? In this process where its versions are known, else by exec."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from .boot import EXIT_INVALID_DOCUMENT, Document
from .claims import start_process
from .lean import UnknownServerError, load_lean

__all__ = ["run"]

SERVER = "jupyterhub-singleuser"
SWITCH = "JUPYTER_SANDBOX_LEAN"
EXIT_NOT_EXECUTED = 127


def run(document: Document) -> int:
    """Become the server of `document`; returns its exit status where it ran in this process.

    In-process keeps the token out of /proc/<pid>/environ and saves most of the time of a start. Isolated
    mode (-I) of pid 1 stays in force: no user site-packages, no script directory or PYTHONPATH on sys.path.
    """
    # Beneath the document lies what a Docker image sets with ENV; elsewhere pid 1 has PATH and HOME alone.
    document = document._replace(environment={**os.environ, **document.environment})
    os.environ.update(document.environment)
    try:
        os.chdir(document.working_directory)
    except OSError as error:
        _say(f"the working directory {document.working_directory} cannot be entered: {error.strerror}")
        return EXIT_INVALID_DOCUMENT
    sys.argv[:] = document.argv
    started = time.monotonic()
    try:
        main = _load(document)
    except Exception as surprise:  # noqa: BLE001 - whatever it is, the ordinary start does not need it
        _say(f"ordinary start of {document.argv[0]}: {surprise}")
        start_process(document.environment)
        _execute(document)
    _say(f"lean start, imports took {time.monotonic() - started:.2f} s")
    _log_without_buffer()
    main()
    return 0


def _load(document: Document) -> Callable[[], Any]:
    directory, name = os.path.split(document.argv[0])
    if name != SERVER:
        raise UnknownServerError(f"{name} is not {SERVER}")
    if document.environment.get(SWITCH) == "0":
        raise UnknownServerError(f"{SWITCH} is 0")
    if directory != os.path.dirname(sys.executable):
        raise UnknownServerError(f"it belongs to another environment than {sys.executable}")
    return load_lean()


def _execute(document: Document) -> NoReturn:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # an ignored signal would stay ignored across exec
    try:
        os.execve(document.argv[0], document.argv, document.environment)  # noqa: S606 - the ordinary start
    except OSError as error:
        _say(f"{document.argv[0]} cannot be executed: {error.strerror}")
        os._exit(EXIT_NOT_EXECUTED)


def _log_without_buffer() -> None:
    """jupyter_server's SIGTERM handler logs before it stops anything. In the middle of another log line a
    buffered stderr refuses that ("reentrant call") and the server runs on; an unbuffered one does not.
    """
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False), encoding="utf-8", errors="backslashreplace", write_through=True
    )


def _say(what: str) -> None:
    print(f"sandbox: {what}", file=sys.stderr, flush=True)
