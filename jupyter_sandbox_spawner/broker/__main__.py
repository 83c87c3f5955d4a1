"""How is the broker started? `python -m jupyter_sandbox_spawner.broker --site SITE.json`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from ..errors import SandboxError
from ..held import take_held_sockets
from ..settings import load_site
from .app import CALLERS, run

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 after a signal, 2 where the broker cannot start (one line on stderr says why)."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s broker %(levelname)s %(message)s"
    )
    try:
        site = load_site(options.site)
        held = take_held_sockets()
        descriptors = {caller: held[name] for caller in CALLERS if (name := f"broker-{caller}") in held}
        given = {caller: getattr(options, f"{caller}_fd") for caller in CALLERS}
        descriptors |= {name: number for name, number in given.items() if number is not None}
        asyncio.run(run(site, descriptors))
    except SandboxError as error:
        print(f"broker: {error.code}: {error}", file=sys.stderr)  # noqa: T201 the supervisor's log has it
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jupyter_sandbox_spawner.broker", description=main.__doc__)
    parser.add_argument("--site", help="site.json; default: the file that JUPYTER_SANDBOX_SITE names")
    parser.add_argument("--log-level", default="info")
    for caller in CALLERS:
        parser.add_argument(f"--{caller}-fd", type=int, help=f"listening socket for the {caller}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
