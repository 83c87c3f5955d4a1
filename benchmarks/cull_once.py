"""What does the peer cost itself? One pass of idle-culler, then processor time, memory and duration as JSON.

`python -m benchmarks.cull_once HUB_API_URL TIMEOUT`; the token is in JUPYTERHUB_API_TOKEN. Everything else is
as its command has it by default.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time

from jupyterhub_idle_culler import cull_idle  # type: ignore[import-untyped]

__all__ = ["main"]


def main() -> None:
    """As its own timer calls it."""
    url, timeout = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    began, used = time.perf_counter(), time.process_time()
    asyncio.run(
        cull_idle(
            url=url,
            api_token=os.environ["JUPYTERHUB_API_TOKEN"],
            inactive_limit=int(timeout),
            logger=logging.getLogger("idle-culler"),
        )
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"cpu": time.process_time() - used, "took": time.perf_counter() - began, "memory": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
