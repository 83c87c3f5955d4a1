"""How do git, boto3 and pip of a test run `jupyter-sandbox`? As a file of that name, first on their PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["command_on_path"]

_TEXT = """#!{python}
import sys
sys.path[:0] = {paths!r}.split({separator!r})
from jupyter_sandbox_spawner.singleuser.commands import main
sys.exit(main())
"""


def command_on_path(directory: Path) -> str:
    """Write it there; the PATH with that directory before the rest."""
    shim = directory / "jupyter-sandbox"
    paths = os.pathsep.join(sys.path)
    shim.write_text(_TEXT.format(python=sys.executable, paths=paths, separator=os.pathsep))
    shim.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
