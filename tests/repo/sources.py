"""What does the repository hold? Its tracked files, and the package's modules as syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.lanes import CHECKOUT

__all__ = ["PACKAGE", "Module", "functions", "modules", "test_functions", "texts", "tracked"]

PACKAGE = "jupyter_sandbox_spawner"


@dataclass(frozen=True)
class Module:
    """One Python file: its path in the checkout, its dotted name and its syntax tree."""

    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first folder or file below the package, such as `gateway` or `errors`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"


@cache
def tracked() -> tuple[str, ...]:
    """Every file git has or would take, so that a new one is read before it is committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True).stdout
    return tuple(
        sorted(name for name in listing.decode().split("\0") if name and (CHECKOUT / name).is_file())
    )


@cache
def texts() -> dict[str, str]:
    """The text of every tracked file that is text."""
    found = {}
    for name in tracked():
        raw = (CHECKOUT / name).read_bytes()
        if b"\0" not in raw:
            found[name] = raw.decode(errors="replace")
    return found


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """The Python files below these folders of the checkout (the package if none is named)."""
    wanted = tuple(f"{folder}/" for folder in folders or (PACKAGE,))
    return tuple(_module(name) for name in texts() if name.endswith(".py") and name.startswith(wanted))


@cache
def _module(name: str) -> Module:
    text = texts()[name]
    return Module(name, _dotted(name), text, ast.parse(text, name))


def _dotted(name: str) -> str:
    return ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a module, nested ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions() -> Iterator[tuple[Module, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every test of the suite."""
    for module in modules("tests"):
        if Path(module.path).name.startswith("test_"):
            yield from ((module, node) for node in functions(module) if node.name.startswith("test_"))


test_functions.__test__ = False  # type: ignore[attr-defined]
