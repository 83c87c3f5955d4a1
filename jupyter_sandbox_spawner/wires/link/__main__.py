"""How is the link of a pod started? `python -m jupyter_sandbox_spawner.wires.link --sandbox ID ...`.

It ends with 3 where the gateway will not have this pod, and with 4 where the pod cannot trust the gateway;
its last line says why, and of the latter the cluster is told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from ...rules.pod_doors import DOORS
from ...serving import raise_descriptor_limit
from .doors import PodDoor, bind
from .files import copy_inside, has_bought, kept_key, note_bought, tell_ready
from .gateway import Gateway, TicketRefusedError, UntrustedError

__all__ = ["main"]

_LAST_WORDS = "/dev/termination-log"  # the kubelet's file, 4 KiB of which it reads


def main(arguments: list[str] | None = None) -> int:
    """Copy, bind, buy, carry; until a signal."""
    parser = argparse.ArgumentParser(prog="jupyter_sandbox_spawner.wires.link")
    for name in ("sandbox", "gateway", "address", "doors", "inside", "secret", "memory"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--user-uid", type=int, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="link: %(message)s", stream=sys.stderr)
    try:
        host, port = _address(options.address)
        # First: the user's container cannot begin without them.
        copy_inside(options.inside)
        raise_descriptor_limit()
        asyncio.run(_carry(options, (host, port)))
    except TicketRefusedError as error:
        logging.error("The gateway refuses this pod: %s", error)
        return 3
    except UntrustedError as error:
        logging.error("The gateway is not trusted: %s", error)
        _tell(str(error))
        return 4
    except (OSError, ValueError) as error:
        logging.error("The link cannot work: %s", error)
        return 2
    return 0


async def _carry(options: argparse.Namespace, address: tuple[str, int]) -> None:
    stopping = asyncio.ensure_future(_until_signal())
    serving = asyncio.ensure_future(_serve(options, address))
    try:
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
    finally:
        stopping.cancel()
        serving.cancel()
        await asyncio.gather(stopping, serving, return_exceptions=True)


async def _serve(options: argparse.Namespace, address: tuple[str, int]) -> None:
    """Doors first: before they are there a cluster tells nobody a pod's address, and some let it not out."""
    key = kept_key(options.memory)
    gateway = Gateway(options.sandbox, options.gateway, address, options.secret, key)
    listeners = [bind(options.doors, door) for door in DOORS]
    tasks: list[asyncio.Task[None]] = []
    try:
        tell_ready(options.memory)
        doors = [PodDoor(door, options.user_uid, gateway) for door in DOORS]
        carrying = [door.serve(listener) for door, listener in zip(doors, listeners, strict=True)]
        tasks += [asyncio.ensure_future(job) for job in (_buy(gateway, options.memory), *carrying)]
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in listeners:
            listener.close()


async def _buy(gateway: Gateway, memory: str) -> None:
    await gateway.buy(first=not has_bought(memory))
    note_bought(memory)


def _tell(why: str) -> None:
    """The launcher reads it from the pod's status."""
    with contextlib.suppress(OSError):
        Path(_LAST_WORDS).write_text(why)


async def _until_signal() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"--address {text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
