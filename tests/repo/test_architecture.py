"""Do imports only point down, as design/architecture.md draws the floors?"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.repo.sources import PACKAGE, Module, functions, modules

WORDS = {"__init__", "errors", "gpus", "leftovers", "models", "names", "policies", "secret_names", "units"}
FLOORS = (
    WORDS,
    {"wire", "settings", "vault_site", "kubernetes_site"},
    {"rules"},
    {"serving", "held", "clients", "kept_book", "ordinary", "private_files", "sessions"},
    {"backends"},
    {"hub", "launcher", "gateway", "control", "tracking", "broker", "wires"},
    {"admin", "setup_backend", "setup_hub", "setup_kubernetes", "setup_services", "setup_vault"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PROGRAMS = FLOORS[5]
INSIDE = f"{PACKAGE}.singleuser.inside"
# Deciding needs no clock, no disk, no network and no other process.
IMPURE = {
    "aiohttp",
    "asyncio",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
}


def imports(module: Module, top_only: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; relative ones made absolute."""
    nodes = module.tree.body if top_only else ast.walk(module.tree)
    package = module.name if module.path.endswith("__init__.py") else module.name.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms_used(module: Module) -> set[str]:
    """The rooms of the package that a module imports from."""
    used = (name.split(".") for name in imports(module) if name.startswith(f"{PACKAGE}."))
    return {parts[1] if parts[1] in FLOOR or parts[1] == "singleuser" else "__init__" for parts in used}


def test_every_room_has_a_floor() -> None:
    """Every file and folder of the package stands on a floor that this test knows."""
    rooms = {module.room for module in modules()}
    assert rooms - FLOOR.keys() - {"singleuser"} == set()


def test_imports_point_down() -> None:
    """A module imports from its own room, its own foundation floor, or a floor below."""
    wrong = []
    for module in modules():
        if module.room == "singleuser":
            continue
        floor = FLOOR[module.room]
        for used in rooms_used(module) - {module.room}:
            allowed = used != "singleuser" and (
                FLOOR[used] < floor or (FLOOR[used] == floor and floor in (0, 1, 6))
            )
            if not allowed:
                wrong.append(f"{module.path} imports {used}")
    assert not wrong, "\n".join(wrong)


def test_programs_do_not_import_one_another() -> None:
    """Hub plugin, launcher and gateway meet through clients only."""
    wrong = [
        f"{module.path} imports {used}"
        for module in modules()
        if module.room in PROGRAMS
        for used in (rooms_used(module) & PROGRAMS) - {module.room}
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_launcher_imports_backends() -> None:
    """The code that runs a container runtime is imported by the launcher and by nothing else."""
    users = {module.room for module in modules() if "backends" in rooms_used(module)}
    assert users <= {"launcher", "backends"}


def test_the_user_side_imports_words_only() -> None:
    """What is installed in user images needs nothing of the hub side."""
    for module in modules(f"{PACKAGE}/singleuser"):
        assert rooms_used(module) <= WORDS | {"singleuser"}, module.path


def test_inside_needs_the_standard_library_only() -> None:
    """The files that run as pid 1 of any image import the standard library and each other."""
    inside = modules(f"{PACKAGE}/singleuser/inside")
    own = {module.name.removeprefix(f"{INSIDE}.").split(".")[0] for module in inside}
    for module in inside:
        for name in imports(module):
            first = name.removeprefix(f"{INSIDE}.").split(".")[0]
            # The lean start imports the image's own server; it falls back where that is another one.
            lean = first in {"jupyterhub", "jupyter_server", "jupyterlab", "traitlets", "tornado"}
            assert first in sys.stdlib_module_names or first in own or lean, f"{module.path} imports {name}"


def test_inside_imports_third_parties_late() -> None:
    """Pid 1 starts in an image without JupyterHub too: nothing foreign is imported at the top of a file."""
    for module in modules(f"{PACKAGE}/singleuser/inside"):
        for name in imports(module, top_only=True):
            assert name.split(".")[0] not in {
                "jupyterhub",
                "jupyter_server",
                "jupyterlab",
                "traitlets",
                "tornado",
            }


def test_no_import_cycle() -> None:
    """No module needs, while it is imported, a module that needs it."""
    names = {module.name for module in modules()}
    graph = {
        module.name: {_known(name, names) for name in imports(module, top_only=True)} - {""}
        for module in modules()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for target in graph[name] - {name}:
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def _known(name: str, names: set[str]) -> str:
    """The module of the package that an imported name stands for; packages' own files do nothing."""
    if name in names and name != PACKAGE:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in names and parent != PACKAGE else ""


def test_rules_are_pure() -> None:
    """What decides has no clock, no disk, no network and no await."""
    for module in modules(f"{PACKAGE}/rules"):
        assert {name.split(".")[0] for name in imports(module)} & IMPURE == set(), module.path
        assert not any(isinstance(node, ast.AsyncFunctionDef) for node in functions(module)), module.path


@pytest.mark.parametrize("name", ["utils", "util", "helpers", "common", "misc"])
def test_no_room_for_odds_and_ends(name: str) -> None:
    """No module is named after nothing."""
    everywhere = modules(PACKAGE, "tests", "hub_config", "scripts", "benchmarks")
    assert [module.path for module in everywhere if module.name.split(".")[-1] == name] == []
