"""Which packages does an extra of setup.py name? Prints one a line: scripts/extras.py EXTRA...

scripts/prepare asks before any environment exists, so this reads setup.py and runs none of it.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

__all__ = ["extras"]


def extras(text: str) -> dict[str, list[str]]:
    """Every extra with its packages; `base` is what each of them needs besides."""
    tree = ast.parse(text)
    known: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            known[node.targets[0].id] = _value(node.value, known)  # type: ignore[attr-defined]
    call = next(
        node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    )
    arguments = {word.arg: word.value for word in call.keywords}
    found: dict[str, list[str]] = _value(arguments["extras_require"], known)  # type: ignore[assignment]
    found["base"] = _value(arguments["install_requires"], known)  # type: ignore[assignment]
    return found


def _value(node: ast.expr, known: dict[str, object]) -> object:
    """The value of a literal that may use the names of other literals, plain or starred."""
    if isinstance(node, ast.Name):
        return known[node.id]
    if isinstance(node, ast.List):
        items: list[object] = []
        for part in node.elts:
            if isinstance(part, ast.Starred):
                items.extend(_value(part.value, known))  # type: ignore[arg-type]
            else:
                items.append(_value(part, known))
        return items
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_value(key, known): _value(item, known) for key, item in pairs if key}
    return ast.literal_eval(node)


if __name__ == "__main__":
    every = extras((Path(__file__).resolve().parent.parent / "setup.py").read_text())
    print("\n".join(dict.fromkeys(package for name in sys.argv[1:] for package in every[name])))
