"""Does the code keep the sizes and habits of design/style.md?"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.lanes import CHECKOUT
from tests.repo.sources import PACKAGE, Module, functions, modules, test_functions, texts

OURS = (PACKAGE, "hub_config", "scripts", "benchmarks")
LONGEST_FILE, LONGEST_TEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 300, 400, 40, 6


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def exported(module: Module) -> list[str] | None:
    """The literal `__all__` of a module, None if it has none."""
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def defined(module: Module) -> dict[str, ast.stmt]:
    """Names bound at the top of a module, also under an `if` or `try`."""
    found: dict[str, ast.stmt] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.col_offset == 0:
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset == 0:
            found.update({(alias.asname or alias.name).split(".")[0]: node for alias in node.names})
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.col_offset == 0:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update({target.id: node for target in targets if isinstance(target, ast.Name)})
    return found


def test_files_are_short() -> None:
    """No file has more than 300 lines, no test file more than 400."""
    sizes = {module.path: len(module.text.splitlines()) for module in modules(*OURS, "tests")}
    wrong = {
        path: lines
        for path, lines in sizes.items()
        if lines > (LONGEST_TEST_FILE if path.startswith("tests/") else LONGEST_FILE)
    }
    assert not wrong, "\n".join(f"{place}: {size}" for place, size in wrong.items())


def test_functions_are_short() -> None:
    """No function has more than 40 lines."""
    wrong = {
        f"{module.path}:{node.lineno} {node.name}": length(node)
        for module in modules(*OURS)
        for node in functions(module)
        if length(node) > LONGEST_FUNCTION
    }
    assert not wrong, "\n".join(f"{place}: {size}" for place, size in wrong.items())


def test_nine_functions_in_ten_have_25_lines_or_less() -> None:
    """Long functions are the exception."""
    sizes = sorted(length(node) for module in modules() for node in functions(module))
    assert sum(size <= 25 for size in sizes) >= 0.9 * len(sizes)


def test_functions_take_few_parameters() -> None:
    """No function takes more than six parameters besides self."""
    wrong = {}
    for module in modules(*OURS):
        for node in functions(module):
            names = [item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > MOST_PARAMETERS:
                wrong[f"{module.path}:{node.lineno} {node.name}"] = count
    assert not wrong, "\n".join(f"{place}: {size}" for place, size in wrong.items())


def test_every_file_says_what_it_answers() -> None:
    """Every Python file that holds code starts with a docstring."""
    everywhere = modules(*OURS, "tests")
    assert [module.path for module in everywhere if module.text and not ast.get_docstring(module.tree)] == []


def test_all_is_there_and_exact() -> None:
    """`__all__` names what a module defines, and every public function and class of it."""
    wrong = []
    for module in modules():
        names, known = exported(module), defined(module)
        if names is None and module.path.endswith("__init__.py") and len(module.tree.body) <= 1:
            continue  # a folder's marker, at most with a docstring
        if names is None:
            wrong.append(f"{module.path} has no __all__")
            continue
        public = {
            name
            for name, node in known.items()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not name.startswith("_")
        }
        wrong += [
            f"{module.path}: __all__ names {name}, which it lacks" for name in set(names) - known.keys()
        ]
        wrong += [
            f"{module.path}: {name} is public and not in __all__" for name in sorted(public - set(names))
        ]
    assert not wrong, "\n".join(wrong)


def test_no_assert_in_the_package() -> None:
    """Input is checked by raising, so that python -O checks it too."""
    places = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    assert places == []


def test_no_error_is_swallowed() -> None:
    """No handler for every exception does nothing."""
    places = []
    for module in modules(*OURS):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                wide = node.type is None or (isinstance(node.type, ast.Name) and "Exception" in node.type.id)
                if wide and all(isinstance(part, ast.Pass) for part in node.body):
                    places.append(f"{module.path}:{node.lineno}")
    assert places == []


def test_no_work_is_left_in_comments() -> None:
    """No comment puts work off: that belongs into an issue."""
    word = re.compile(r"#.*\b(" + "TO" + "DO|FIX" + "ME|XX" + r"X)\b")
    everywhere = modules(*OURS, "tests")
    assert [module.path for module in everywhere if word.search(module.text)] == []


def test_every_test_states_a_fact() -> None:
    """Each test has a docstring of one sentence."""
    wrong = []
    for module, node in test_functions():
        text = ast.get_docstring(node) or ""
        if not text.partition("\n\n")[0].rstrip().endswith((".", "?")) or text.lower().startswith(
            ("test", "check")
        ):
            wrong.append(f"{module.path}:{node.lineno} {node.name}")
    assert not wrong, "\n".join(wrong)


def test_the_configuration_example_is_short() -> None:
    """hub_config/jupyterhub_config.py stays under 60 lines."""
    assert len((CHECKOUT / "hub_config/jupyterhub_config.py").read_text().splitlines()) < 60


def test_scripts_are_executable() -> None:
    """What people type after a clone runs without a chmod."""
    names = [name for name in texts() if name.startswith(("scripts/", ".ci/")) and not Path(name).suffix]
    assert names
    assert [name for name in names if not (CHECKOUT / name).stat().st_mode & 0o100] == []
