"""Who follows a tutorial? A person with terminals and a browser: real programs, a real kernel."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from hub_config.demo.kernel import Kernel
from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.setup_vault import vault_site
from tests.lanes import CHECKOUT

from .page import Block, looks_like

__all__ = ["Reader", "Unlike"]

_PATIENCE = 90.0  # seconds; the first start of a hub on a busy machine
_DONE = "the-block-is-done"


class Unlike(Exception):
    """The page shows something else than what came."""


class Reader:
    """Terminals by name, one shell that keeps its variables, a notebook; an `async with` ends all of it."""

    def __init__(self, home: Path, user: str, profile: str) -> None:
        self.home = home
        self._user, self._profile = user, profile
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._shell: subprocess.Popen[str] | None = None
        self._stack = AsyncExitStack()
        self._visitor: Visitor | None = None
        self._kernel: Kernel | None = None

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        if self._shell is not None:
            self._shell.kill()
            self._shell.communicate()
        for process in reversed(self._programs.values()):
            self.end(process)

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Ctrl-C in its terminal; its exit status."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        return process.wait(60)

    def end_programs(self) -> list[int]:
        """Ctrl-C in every terminal, the last one first."""
        return [self.end(process) for process in reversed(self._programs.values())]

    def said(self, name: str) -> str:
        """All that a terminal shows."""
        return (self.home / f"{name}.out").read_text()

    async def follow(self, block: Block) -> str:
        """Do what a block says; what was seen. Raises Unlike where the page shows something else."""
        kinds: Mapping[tuple[str, bool], Callable[[Block], object]] = {
            ("sh", True): self._start,
            ("sh", False): self._type,
            ("yaml", True): self._save,
        }
        if (act := kinds.get((block.language, bool(block.word) and block.word != "until"))) is not None:
            return str(await asyncio.to_thread(act, block) or "")
        if block.language == "comment":
            return await self._act(block)
        if block.word == "config":
            return _configured(block.text)
        return await self._run_cell(block)

    def _environment(self) -> dict[str, str]:
        cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_", "PG"))}
        return {**kept, "HOME": str(self.home), "XDG_CACHE_HOME": cache, "PYTHONUNBUFFERED": "1"}

    def _start(self, block: Block) -> str:
        """A program in a terminal of its own; wait until it shows what the page shows."""
        with (self.home / f"{block.word}.out").open("wb") as output:
            self._programs[block.word] = process = subprocess.Popen(
                ["bash", "-c", f"exec {block.text}"],
                cwd=CHECKOUT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        shown = f"...\n{(block.shown or '').strip()}\n..."
        return _awaited(block, shown, lambda: self.said(block.word), lambda: process.poll() is None)

    def _save(self, block: Block) -> None:
        (self.home / block.word).write_text(block.text)

    def _type(self, block: Block) -> str:
        """Into the shell; "until" in the page: again until it shows what the page shows."""
        text = block.text.replace(
            "PORT", re.findall(r"hub is at http://127.0.0.1:(\d+)", self.said("demo"))[0]
        )
        if block.word != "until":
            return _compared(block, self._command(text))
        return _awaited(block, block.shown or "", lambda: self._command(text), lambda: True)

    def _command(self, text: str) -> str:
        if self._shell is None:
            self._shell = subprocess.Popen(
                ["bash"],
                cwd=CHECKOUT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._command(re.findall(r"^  (export PATH=.*)$", self.said("demo"), re.MULTILINE)[0])
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{text}\necho {_DONE} $?\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        while not (line := self._shell.stdout.readline()).startswith(_DONE):
            if not line:
                raise Unlike(f"the shell ended: {lines}")
            lines.append(line)
        if line.split() != [_DONE, "0"]:
            raise Unlike(f"{text} ended with {line.split()[1]}:\n{''.join(lines)}")
        return "".join(lines)

    async def _notebook(self) -> Kernel:
        """Log in, start a server, open a notebook."""
        if self._kernel is None:
            base = re.findall(r"hub is at (\S+)", self.said("demo"))[0]
            password = re.findall(rf"^  {self._user} +(\S+)", self.said("demo"), re.MULTILINE)[0]
            self._visitor = await self._stack.enter_async_context(Visitor(base, self._user, password))
            await self._visitor.login()
            await self._visitor.start(self._profile)
            await self._visitor.open(self._visitor.server("lab"))
            self._kernel = await Kernel(self._visitor).__aenter__()
        return self._kernel

    async def _run_cell(self, block: Block) -> str:
        output = await (await self._notebook()).execute(block.text.rstrip("\n"), 60)
        if block.shown is None and not output.ok:
            raise Unlike(f"line {block.line}: {output}")
        return _compared(block, str(output))

    async def _act(self, block: Block) -> str:
        if block.word != "alice stops her server" or self._visitor is None:
            raise Unlike(f"line {block.line}: nobody knows how to act {block.word!r}")
        await self._visitor.stop()
        self._kernel = None
        return ""


def _awaited(block: Block, shown: str, look: Callable[[], str], lives: Callable[[], bool]) -> str:
    end = time.monotonic() + _PATIENCE
    while not looks_like(shown, seen := look()):
        if not lives() or time.monotonic() > end:
            raise Unlike(f"line {block.line} of the page shows\n{shown}\nand this came\n{seen}")
        time.sleep(0.1)  # a terminal has no event to wait for
    return seen


def _compared(block: Block, seen: str) -> str:
    if block.shown is not None and not looks_like(block.shown, seen):
        raise Unlike(f"line {block.line} of the page shows\n{block.shown}\nand this came\n{seen}")
    return seen


def _configured(text: str) -> str:
    """A piece of jupyterhub_config.py: its setting `vault` is one that the product takes."""
    found: dict[str, object] = {}

    def setup_hub(c: object, *others: object, **given: object) -> None:
        found.update(given)

    exec(compile(text, "jupyterhub_config.py", "exec"), {"setup_hub": setup_hub, "c": object()})
    return str(vault_site(found["vault"]))
