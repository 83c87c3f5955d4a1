"""How is work saved before an end? Checkpoints of open notebooks, the user's hook, and a word about both.

What was typed in a browser and not saved is known to the browser alone: it cannot be saved from here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .hook import hook_environment, hook_path, places, prepare_output
from .notices import Notice, about_end, answers, keep_for_kernels, printable, put_on_terminals, write_json

__all__ = ["CHECKPOINT_LIMIT", "open_notebooks", "run_hook", "save", "show", "tell_saved"]

CHECKPOINT_LIMIT = 10.0  # seconds; all of them
HOOK_LIMIT = 20.0  # seconds
MOST_NOTEBOOKS = 100


def show(new: Sequence[Notice], kept: Sequence[Notice], environment: Mapping[str, str]) -> None:
    """Tell the kernels all, and the terminals the answers about hosts and the newest about an end: several at
    once are about the same one."""
    keep_for_kernels(kept, environment)
    for notice in [*answers(new), *about_end(new)[-1:]]:
        put_on_terminals(notice.why, environment)


def save(environment: Mapping[str, str], notice: Notice, notebooks: Mapping[str, str]) -> None:
    """After the checkpoints: the user's hook, and the word about both."""
    tell_saved(environment, notice, notebooks, run_hook(environment, notice.code))


def open_notebooks(sessions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths of notebooks that have a session, from the models of the server's REST API."""
    paths = (str(item.get("path") or "") for item in sessions if item.get("type") == "notebook")
    return sorted(set(filter(None, paths)))[:MOST_NOTEBOOKS]


def run_hook(environment: Mapping[str, str], reason: str, limit: float = HOOK_LIMIT) -> dict[str, Any] | None:
    """Run the user's hook to its end or to the limit; what came of it, None where there is none."""
    path = hook_path(environment)
    if not path:
        return None
    began, output = time.monotonic(), prepare_output(environment)
    try:
        process = subprocess.Popen(
            [path],
            cwd=environment.get("HOME"),
            env=hook_environment(environment, reason),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        return {"status": None, "seconds": 0.0, "error": f"It cannot be run: {error.strerror}."}
    finally:
        os.close(output)
    try:
        status: int | None = process.wait(limit)
        error_text = ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        status, error_text = None, f"It was ended after {limit:g} s."
    return {"status": status, "seconds": round(time.monotonic() - began, 1), "error": error_text}


def tell_saved(
    environment: Mapping[str, str],
    notice: Notice,
    notebooks: Mapping[str, str],
    hook: Mapping[str, Any] | None,
) -> None:
    """Write what was saved where the user looks; `notebooks` are paths and what failed, "" for nothing."""
    path, output = places(environment)
    document = {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "server": environment.get("JUPYTERHUB_SERVER_NAME", ""),
        "code": notice.code,
        "why": notice.why,
        "notebooks": [
            {"path": name, "checkpoint": not failed, "error": printable(failed)}
            for name, failed in notebooks.items()
        ],
        "hook": None if hook is None else {**hook, "output": output},
    }
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError:
        return
    write_json(path, document)
