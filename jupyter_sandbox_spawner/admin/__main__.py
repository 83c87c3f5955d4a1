"""What does `python -m jupyter_sandbox_spawner.admin` do? The same as jupyter-sandbox-admin."""

import sys

from .cli import main

__all__: list[str] = []

sys.exit(main())
