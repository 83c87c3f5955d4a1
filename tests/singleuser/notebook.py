"""What does a real kernel send for each cell, and what does it print to its own log?

Run as a program (by the user image's Python, which has jupyter_client) it plays steps that it reads as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lanes import CHECKOUT, VENVS

PATIENCE = 60.0  # seconds, on a busy machine


@dataclass(frozen=True)
class Cell:
    """The messages that followed one cell: `{"type": ..., "content": ...}`."""

    messages: tuple[dict[str, Any], ...]

    def contents(self, kind: str) -> list[dict[str, Any]]:
        """Of messages of a type."""
        return [message["content"] for message in self.messages if message["type"] == kind]

    @property
    def printed(self) -> str:
        """Everything on the two streams."""
        return "".join(content["text"] for content in self.contents("stream"))

    @property
    def sent(self) -> str:
        """All that a program at the other end can read, but for the echo of the cell itself."""
        rest = [message for message in self.messages if message["type"] != "execute_input"]
        return json.dumps(rest, ensure_ascii=False)


@dataclass(frozen=True)
class Played:
    """A session: its cells, and the kernel's own standard output and error."""

    cells: tuple[Cell, ...]
    log: str


def play(home: Path, *steps: str | dict[str, Any], **environment: str) -> Played:
    """Run cells in one new kernel. A step is code; or `inspect`, or a `debug` command; or `code` with more:

    `until`: a printed text to wait for, also after the cell's end; `logged`: one in the kernel's own log;
    `interrupt`: send an interrupt message once this is printed; `answers`: lines for `input()`.
    """
    log = home / "kernel.log"
    command = [VENVS / "user/bin/python", "-m", "tests.singleuser.notebook", log]
    # ipykernel watches no descriptors where it sees this variable.
    ours = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    plain = [{"code": step} if isinstance(step, str) else step for step in steps]
    done = subprocess.run(
        command,
        input=json.dumps(plain),
        env={**ours, "HOME": str(home), "IPYTHONDIR": str(home / "ipython"), **environment},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr + log.read_text(errors="replace")
    cells = tuple(Cell(tuple(messages)) for messages in json.loads(done.stdout))
    return Played(cells, log.read_text(errors="replace"))


class _Player:
    def __init__(self, log: Path) -> None:
        client: Any = importlib.import_module("jupyter_client.manager")
        self._log = log
        output = log.open("wb")
        # Away from the checkout it imports what the user image has.
        self._manager, self._client = client.start_new_kernel(stdout=output, stderr=output, cwd=log.parent)

    def step(self, step: dict[str, Any]) -> list[dict[str, Any]]:
        """Run one; the messages."""
        if "inspect" in step:
            identifier = self._client.inspect(step["inspect"])
        elif "debug" in step:
            request = {"seq": 1, "type": "request", "command": step["debug"], "arguments": {}}
            message = self._client.session.msg("debug_request", request)
            self._client.control_channel.send(message)
            identifier = message["header"]["msg_id"]
        else:
            identifier = self._client.execute(step["code"], allow_stdin="answers" in step)
        messages: list[dict[str, Any]] = []
        answers = list(step.get("answers", ()))
        interrupt, until = step.get("interrupt"), step.get("until", "")
        waiting = {"idle", "reply"}
        deadline = time.monotonic() + PATIENCE
        while waiting or until not in _text(messages):
            assert time.monotonic() < deadline, (waiting, until, messages)
            for message in self._received(answers):
                kind, content = message["header"]["msg_type"], message["content"]
                messages.append({"type": kind, "content": content, **_buffers(message)})
                ours = message["parent_header"].get("msg_id") == identifier
                if ours and content.get("execution_state") == "idle":
                    waiting.discard("idle")
                if ours and kind.endswith("_reply"):
                    waiting.discard("reply")
            if interrupt and interrupt in _text(messages):
                self._manager.interrupt_kernel()
                interrupt = None
        _wait(lambda: step.get("logged", "") in self._log.read_text(errors="replace"), step)
        return messages

    def _received(self, answers: list[str]) -> list[dict[str, Any]]:
        found = []
        empty: Any = importlib.import_module("queue").Empty
        for channel in ("iopub", "shell", "stdin", "control"):
            try:
                message = getattr(self._client, f"get_{channel}_msg")(timeout=0.02)
            except empty:
                continue
            found.append(message)
            if message["header"]["msg_type"] == "input_request":
                self._client.input(answers.pop(0))
        return found

    def close(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def _buffers(message: dict[str, Any]) -> dict[str, Any]:
    found = [bytes(buffer).hex() for buffer in message.get("buffers", ())]
    return {"buffers": found} if found else {}


def _text(messages: list[dict[str, Any]]) -> str:
    return "".join(each["content"]["text"] for each in messages if each["type"] == "stream")


def _wait(ready: Callable[[], bool], what: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)  # a file gives no event


def _main() -> None:
    player = _Player(Path(sys.argv[1]))
    try:
        print(json.dumps([player.step(step) for step in json.load(sys.stdin)]))
    finally:
        player.close()


if __name__ == "__main__":
    _main()
