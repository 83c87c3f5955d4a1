"""How is the gateway started? `python -m jupyter_sandbox_spawner.gateway --site SITE.json`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import os
import sys

from ..errors import SandboxError
from ..held import take_held_sockets
from ..settings import load_site
from .app import Held, run
from .exchange import AnswerTimes
from .ingress import HoldTimes

__all__ = ["main"]


def main() -> int:
    """Parse the command line and serve; 2 for a configuration that cannot work."""
    parser = argparse.ArgumentParser(prog="jupyter_sandbox_spawner.gateway", description=__doc__)
    parser.add_argument("--site", help="site.json (default: the file named by JUPYTER_SANDBOX_SITE)")
    parser.add_argument("--fd", type=int, help="descriptor of the gateway's own listening unix socket")
    parser.add_argument("--front-fd", type=int, help="descriptor of the front's listening TCP socket")
    parser.add_argument("--start-hold", type=float, default=60.0, help="seconds a request waits for a start")
    parser.add_argument("--answer-timeout", type=float, default=600.0, help="seconds a server may think")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Everything the gateway makes is its own; doors are opened up one by one.
    os.umask(0o077)
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    held = take_held_sockets()
    own = held.get("gateway") if options.fd is None else options.fd
    front = held.get("front") if options.front_fd is None else options.front_fd
    try:
        site = load_site(options.site)
        hold = HoldTimes(starting=options.start_hold)
        times = AnswerTimes(begin=options.answer_timeout)
        asyncio.run(run(site, Held(own, front), hold, times))
    except SandboxError as error:
        logging.getLogger("jupyter_sandbox_spawner.gateway").error("%s: %s", error.code, error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
