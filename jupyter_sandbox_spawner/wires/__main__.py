"""How are a program's wires started? `python -m jupyter_sandbox_spawner.wires --site S.json --program P`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from ..errors import SandboxError
from ..rules.certificates import PROGRAMS
from ..settings import load_site
from .app import run
from .listener import Limits

__all__ = ["main"]


def main() -> int:
    """Parse the command line and carry; 2 for a configuration that cannot work."""
    parser = argparse.ArgumentParser(prog="jupyter_sandbox_spawner.wires", description=__doc__)
    parser.add_argument("--site", help="site.json (default: the file named by JUPYTER_SANDBOX_SITE)")
    parser.add_argument("--program", required=True, choices=PROGRAMS, help="whose wires these are")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds for a handshake or a head")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.umask(0o077)
    limits = Limits(handshake=options.patience, head=options.patience)
    try:
        asyncio.run(run(load_site(options.site), options.program, limits))
    except (SandboxError, OSError) as error:
        code = error.code if isinstance(error, SandboxError) else "wires.failed"
        logging.getLogger("jupyter_sandbox_spawner.wires").error("%s: %s", code, error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
