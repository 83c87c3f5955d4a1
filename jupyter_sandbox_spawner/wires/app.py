"""How are the wires of one program put together? Certificates, sockets outward, ports inward, pods."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..kubernetes_site import WiresSite
from ..serving import listening_socket, private_directory, serve_until_signal, until_signal
from ..settings import Site
from .counts import Counts
from .dial import Far
from .inward import Inward
from .listener import Limits, Listener, open_unix, tcp_listener
from .outward import Outward
from .pod_book import PodBook
from .pods import Pods
from .pods_api import pods_application
from .tls import TlsFiles

__all__ = ["run"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_SWEEP = 60.0  # seconds between looks for pods without doors
_Job = Coroutine[Any, Any, None]


async def run(site: Site, program: str, limits: Limits) -> None:
    """Carry until SIGTERM or SIGINT, or until a part fails; what is known of pods stays."""
    wires = _wires(site)
    files = _files(wires, program)
    counts = Counts(asyncio.get_running_loop().time)
    with ExitStack() as stack:
        jobs = [
            Outward(name, owner, _far(wires, owner, files), files, counts).serve(_listening(site, name))
            for name, owner in site.sockets_away(program).items()
        ]
        if site.sockets_of(program):
            wider = replace(limits, of_address=256, pace=500.0, burst=1000.0)
            inward = Listener("in", files.server_context, Inward(site, program).judge, counts, wider)
            jobs.append(inward.serve(tcp_listener(site.listen_host, wires.port)))
        if program == "gateway":
            book = PodBook(site.pods_dir)
            stack.callback(book.close)
            jobs += _gateways(site, wires, files, Pods(book, site.doors_dir), (counts, limits))
        log.info("The wires of the %s carry.", program)
        await _until_one_ends([*jobs, until_signal()])


def _gateways(
    site: Site, wires: WiresSite, files: TlsFiles, pods: Pods, measures: tuple[Counts, Limits]
) -> list[_Job]:
    counts, limits = measures
    door = Listener("pods", lambda: files.server_context(clients=False), pods.judge, counts, limits)
    app = pods_application(site.callers_of("pods"), pods, counts, files.metrics)
    return [
        door.serve(tcp_listener(site.listen_host, wires.pods_port)),
        serve_until_signal(app, _listening(site, "pods")),
        _keep_sweeping(pods, site.gateway_socket),
    ]


async def _until_one_ends(jobs: list[_Job]) -> None:
    """All go on together or not at all: a port that is dead must not look alive."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _keep_sweeping(pods: Pods, gateway: str) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        answering = open_unix(gateway)
        if answering is not None:  # else the doors are gone because the gateway is
            answering.close()
            await pods.sweep()


def _far(wires: WiresSite, owner: str, files: TlsFiles) -> Far:
    return Far(wires.hosts[owner], wires.port, wires.hosts[owner], files.client_context)


def _listening(site: Site, name: str) -> socket.socket:
    path = site.socket_path(name)
    private_directory(site.run_dir, site.shared_mode)
    if str(Path(path).parent) != site.run_dir:
        private_directory(str(Path(path).parent), site.shared_mode)
    return listening_socket(path)


def _files(wires: WiresSite, program: str) -> TlsFiles:
    files = TlsFiles(wires.certificates)
    if files.program != program:
        raise ConfigurationError(
            f"The certificate in {wires.certificates} is the {files.program}'s, not the {program}'s.",
            code="wires.certificate",
            remedy="Give each program its own directory; see: jupyter-sandbox-admin certificates show",
        )
    return files


def _wires(site: Site) -> WiresSite:
    if site.wires is None:
        raise ConfigurationError(
            "The site has no wires: all its programs are on one machine.",
            code="wires.missing",
            field="wires",
            remedy="Give it wires (hosts, port, certificates), or do not start them.",
        )
    return site.wires
