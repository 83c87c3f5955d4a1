"""`python -m jupyter_sandbox_spawner.launcher --site SITE.json [--fd N]`: what does the supervisor start?"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from ..errors import SandboxError
from ..held import take_held_sockets
from ..settings import load_site
from .app import become_root_of_own_namespace, run_launcher

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 after SIGTERM, 1 when a setting or the host is wrong (one line on stderr says what)."""
    parser = argparse.ArgumentParser(prog="launcher")
    parser.add_argument("--site", help="path of site.json")
    parser.add_argument("--fd", type=int, help="descriptor of the listening socket (or LISTEN_FDS: launcher)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s launcher %(levelname)s %(message)s")
    try:
        site = load_site(options.site)
        if os.geteuid() != 0 and site.backend != "kubernetes":
            become_root_of_own_namespace(site)
        held = take_held_sockets()
        descriptor = held.get("launcher") if options.fd is None else options.fd
        asyncio.run(run_launcher(site, descriptor))
    except SandboxError as error:
        logging.getLogger("jupyter_sandbox_spawner").error("%s %s", error.code, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
