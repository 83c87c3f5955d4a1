"""How is control started? `python -m jupyter_sandbox_spawner.control --site SITE.json`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from ..errors import SandboxError
from ..held import take_held_sockets
from ..settings import load_site
from ..units import parse_duration
from .app import CALLERS, PUBLIC, Sockets, run
from .parts import Tuning

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 after a signal, 2 where control cannot start."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s control %(levelname)s %(message)s"
    )
    try:
        site = load_site(options.site)
        held = take_held_sockets()
        ours = (*CALLERS, PUBLIC)
        descriptors = {name: held[f"control-{name}"] for name in ours if f"control-{name}" in held}
        given = {name: getattr(options, f"{name}_fd") for name in ours}
        sockets = Sockets(
            descriptors=descriptors | {name: number for name, number in given.items() if number is not None},
            callers={
                caller: frozenset(getattr(options, f"{caller}_uid") or site.callers_of(f"control-{caller}"))
                for caller in CALLERS
            },
        )
        max_age = None if options.max_age is None else parse_duration(options.max_age, "max-age")
        token_file = options.token_file or f"{site.run_dir}/control.token"
        every = float(parse_duration(options.activity_every, "activity-every"))
        look = min(Tuning.activity_look, every)
        tuning = Tuning(max_age=max_age, activity_every=every, activity_look=look)
        asyncio.run(run(site, token_file, sockets, tuning))
    except SandboxError as error:
        print(f"control: {error}", file=sys.stderr)  # noqa: T201 the supervisor's log is where this belongs
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jupyter_sandbox_spawner.control", description=main.__doc__)
    parser.add_argument("--site", help="site.json; default: the file that JUPYTER_SANDBOX_SITE names")
    parser.add_argument(
        "--token-file", help="0600 file with the hub service's token; default: RUN_DIR/control.token"
    )
    parser.add_argument("--max-age", help='longest life of a server without a TTL, such as "7d"')
    parser.add_argument(
        "--activity-every", default="30m", help="how rarely the hub is told that a server is used: 30m"
    )
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--public-fd", type=int, help="listening socket for admins, who come by the proxy")
    for caller in CALLERS:
        parser.add_argument(f"--{caller}-fd", type=int, help=f"listening socket for the {caller}")
        parser.add_argument(
            f"--{caller}-uid", type=int, action="append", help=f"uid of the {caller}; may be given again"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
