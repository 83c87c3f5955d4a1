"""Which program inside is asked for? `python -I -B inside [kernel|shell|claims] ...`; none named = pid 1."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

__all__ = ["main"]

PROGRAMS = {"kernel": "inside.kernel", "shell": "inside.shell", "claims": "inside.claims"}


def _load_package(directory: str) -> None:
    """Make `import inside.x` work without touching sys.path, which belongs to the server."""
    location = os.path.join(directory, "__init__.py")
    spec = importlib.util.spec_from_file_location("inside", location, submodule_search_locations=[directory])
    if spec is None or spec.loader is None:
        raise ImportError(f"{location} cannot be loaded.")
    package = importlib.util.module_from_spec(spec)
    sys.modules["inside"] = package
    spec.loader.exec_module(package)


def main() -> int:
    """Run the program named by the first argument; returns its exit status."""
    directory = os.path.dirname(os.path.realpath(__file__))
    # Running a directory puts it first on sys.path; its file names must not shadow anybody's modules.
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != directory]
    _load_package(directory)
    name, arguments = "inside.init", sys.argv[1:]
    if arguments and arguments[0] in PROGRAMS:
        name, arguments = PROGRAMS[arguments[0]], arguments[1:]
    return int(importlib.import_module(name).main(arguments))


if __name__ == "__main__":
    sys.exit(main())
