"""What is control that looks around every second, and waits a hundredth as long before it mends?

`python -m tests.chaos.hasty_control SITE.json`
"""

from __future__ import annotations

import asyncio
import logging
import sys

from jupyter_sandbox_spawner.control.app import Sockets, run
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.settings import load_site

__all__ = ["HASTE"]

HASTE = Tuning(settle=0, reconcile_every=1.0, patience=0.01, tick=1.0, hub_patience=2.0, stop_grace=1.0)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s control %(levelname)s %(message)s")
    site = load_site(sys.argv[1])
    asyncio.run(run(site, f"{site.run_dir}/control.token", Sockets(descriptors={}, callers={}), HASTE))
