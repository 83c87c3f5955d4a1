"""Is everything that people meet written down in docs/reference: error codes, settings, commands, scopes?"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator

import pytest

from jupyter_sandbox_spawner.admin.cli import parser
from tests.lanes import CHECKOUT
from tests.repo.sources import PACKAGE, Module, functions, modules

CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def page(name: str) -> str:
    """The text of docs/reference/NAME.md."""
    path = CHECKOUT / "docs/reference" / f"{name}.md"
    assert path.exists(), f"docs/reference/{name}.md is missing"
    return path.read_text()


def documented(name: str) -> set[str]:
    """Everything in backticks on a page."""
    return set(re.findall(r"`([^`\n]+)`", page(name)))


def constants(node: ast.AST | None) -> Iterator[str]:
    """Strings anywhere in an expression."""
    for part in ast.walk(node) if node else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def positions(everywhere: tuple[Module, ...]) -> dict[str, int]:
    """Functions of ours with a parameter named `code`: where it stands in a call."""
    found = {}
    for module in everywhere:
        for node in functions(module):
            names = [item.arg for item in node.args.args if item.arg not in ("self", "cls")]
            if "code" in names:
                found[node.name] = names.index("code")
    return found


def codes_of_call(node: ast.Call, where: dict[str, int]) -> Iterator[str]:
    """Codes that a call passes by the keyword `code`, or where the function of that name takes it."""
    for word in node.keywords:
        if word.arg == "code":
            yield from constants(word.value)
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in where and len(node.args) > where[name]:
        yield from constants(node.args[where[name]])


def error_codes() -> set[str]:
    """Every code that the package raises or answers with."""
    everywhere = modules(PACKAGE)
    where = positions(everywhere)
    found: set[str] = set()
    for module in everywhere:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                found.update(codes_of_call(node, where))
            elif isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.Assign) and getattr(part.targets[0], "id", "") == "code":
                        found.update(constants(part.value))
    return {code for code in found if CODE.fullmatch(code)}


def traits() -> set[str]:
    """`Class.trait` of every trait that an admin can set."""
    found = set()
    for module in modules(PACKAGE):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.Assign) and "config=True" in ast.unparse(part.value):
                        found.add(f"{node.name}.{part.targets[0].id}")  # type: ignore[attr-defined]
    return found


def setup_hub_settings() -> set[str]:
    """Parameters of setup_hub, with those it takes through `more`."""
    (module,) = (module for module in modules(PACKAGE) if module.name == f"{PACKAGE}.setup_hub")
    (function,) = (node for node in functions(module) if node.name == "setup_hub")
    named = {item.arg for item in function.args.kwonlyargs}
    more = (ast.get_docstring(function) or "").partition("`more`:")[2]
    return named | (set(re.findall(r"[a-z_]+", more)) & site_fields())


def site_fields() -> set[str]:
    """Fields of Site, and the public host that only the supervisor needs."""
    (module,) = (module for module in modules(PACKAGE) if module.name == f"{PACKAGE}.settings")
    (site,) = (node for node in module.tree.body if isinstance(node, ast.ClassDef) and node.name == "Site")
    return {part.target.id for part in site.body if isinstance(part, ast.AnnAssign)} | {"public_host"}  # type: ignore[union-attr]


def commands(top: argparse.ArgumentParser) -> Iterator[str]:
    """Every command with its words, and every long option of it as `COMMAND --option`."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield below.prog
                yield from commands(below)
        else:
            yield from (f"{top.prog} {name}" for name in action.option_strings if name.startswith("--"))


def scopes() -> set[str]:
    """Every scope that the package asks the hub for: strings of lists named or keyed `scopes`."""
    found: set[str] = set()
    for module in modules(PACKAGE):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assign) and "SCOPES" in ast.unparse(node.targets[0]).upper():
                found.update(constants(node.value))
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "scopes":
                        found.update(constants(value))
    return found


def test_every_error_code_is_documented() -> None:
    """Each code that a person can meet is in docs/reference/errors.md."""
    codes = error_codes()
    assert len(codes) > 20
    assert sorted(codes - documented("errors")) == []


def test_no_documented_code_is_gone() -> None:
    """Each code at the start of a row of docs/reference/errors.md is still in the source."""
    rows = set(re.findall(r"^\| `([a-z0-9_.]+)`", page("errors"), re.MULTILINE))
    strings = {text for module in modules(PACKAGE) for text in constants(module.tree)}

    def built(code: str) -> bool:
        # Some are put together: f"isolation.{what}", with "seccomp" passed as what.
        ends = [dot.end() for dot in re.finditer(r"\.", code)]
        return any(code[:end] in strings and code[end:] in strings for end in ends)

    assert sorted(code for code in rows - strings if not built(code)) == []


def test_every_trait_is_documented() -> None:
    """Each trait that an admin can set is in docs/reference/settings.md."""
    assert sorted(traits() - documented("settings")) == []


def test_every_setting_of_setup_hub_is_documented() -> None:
    """Each parameter of setup_hub is in docs/reference/settings.md."""
    settings = setup_hub_settings()
    assert {"run_dir", "profiles", "public_host", "runtime"} <= settings
    assert sorted(settings - documented("settings")) == []


@pytest.mark.parametrize("command", sorted(set(commands(parser()))))
def test_every_command_is_documented(command: str) -> None:
    """Each command and each of its options is in docs/reference/commands.md."""
    words = command.removesuffix(" --help").rsplit(" ", 1) if command.endswith(" --help") else [command]
    known = documented("commands")
    if " --" in words[0]:
        before, option = words[0].split(" --")
        assert any(text.startswith(before) for text in known)
        assert any(f"--{option}" in text for text in known)
    else:
        assert any(text.startswith(words[0]) for text in known)


def test_every_exit_status_is_documented() -> None:
    """Each exit status of jupyter-sandbox-admin is in docs/reference/commands.md."""
    from jupyter_sandbox_spawner.admin.exits import ExitStatus

    admins = page("commands").partition("## `jupyter sandbox`")[0]
    rows = set(re.findall(r"^\| `?(\d+)`? \|", admins, re.MULTILINE))
    assert sorted({str(int(status)) for status in ExitStatus} - rows) == []


def test_every_scope_is_documented() -> None:
    """Each scope asked of the hub is in docs/reference/scopes.md, with its reason."""
    assert scopes()
    assert sorted(scopes() - documented("scopes")) == []
