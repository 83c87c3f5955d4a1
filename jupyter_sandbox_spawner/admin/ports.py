"""Which loopback ports do the programs use, and is the public one free?"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from dataclasses import replace

from ..errors import ConfigurationError
from ..settings import Site

__all__ = ["check_port", "choose_ports", "inner_ports"]


def inner_ports(site: Site) -> tuple[str, ...]:
    """The fields of the site that are loopback ports of its programs."""
    tracking = ("tracking_port",) if site.tracking else ()
    return ("hub_port", "proxy_api_port", "front_port", "control_port", *tracking)


def choose_ports(site: Site) -> Site:
    """The site with every port that is 0 replaced by one that the OS says is free; none twice."""
    with ExitStack() as held:
        chosen = {}
        for name in (*inner_ports(site), "public_port"):
            if getattr(site, name) == 0:
                probe = held.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
                chosen[name] = probe.getsockname()[1]
        return replace(site, **chosen)


def check_port(host: str, port: int, field: str) -> None:
    """Raises ConfigurationError `site.port_taken` unless a listener can be bound there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigurationError(
                f"{field}: {host or '*'}:{port} cannot be bound: {os.strerror(error.errno or 0)}.",
                code="site.port_taken",
                field=field,
                remedy=_remedy(error.errno, port),
            ) from error


def _remedy(number: int | None, port: int) -> str:
    if number == errno.EADDRINUSE:
        return f"See who listens there with: ss -ltnp 'sport = :{port}'; or choose another one with --port."
    return "Choose another one with --port (below 1024 only root may bind)."
