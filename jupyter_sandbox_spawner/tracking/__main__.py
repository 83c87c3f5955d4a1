"""How is the tracking server started? `python -m jupyter_sandbox_spawner.tracking --site SITE.json`."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from ..errors import SandboxError
from ..held import take_held_sockets
from ..settings import load_site
from .app import Held, run

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; 2 for a configuration that cannot work."""
    parser = argparse.ArgumentParser(prog="jupyter_sandbox_spawner.tracking", description=__doc__)
    parser.add_argument("--site", help="site.json (default: the file named by JUPYTER_SANDBOX_SITE)")
    parser.add_argument("--fd", type=int, help="descriptor of the listening unix socket for the gateway")
    parser.add_argument("--public-fd", type=int, help="descriptor of the listening TCP socket for browsers")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s tracking %(levelname)s %(name)s: %(message)s")
    os.umask(0o077)
    held = take_held_sockets()
    try:
        gateway = held.get("tracking") if options.fd is None else options.fd
        public = held.get("tracking-public") if options.public_fd is None else options.public_fd
        run(load_site(options.site), Held(gateway=gateway, public=public))
    except SandboxError as error:
        print(f"tracking: {error}", file=sys.stderr)  # noqa: T201 the supervisor's log is where this belongs
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
