"""How are the wires of one program put together? Certificates, sockets outward, ports inward, pods."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..clients.gateway import GatewayClient
from ..errors import ConfigurationError, SandboxError
from ..kubernetes_site import WiresSite
from ..rules.pod_doors import PodDenial, Room, room_of
from ..serving import (
    listening_socket,
    private_directory,
    raise_descriptor_limit,
    serve_until_signal,
    until_signal,
)
from ..settings import Site
from .counts import Counts
from .denials import Denials
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
_TELL = 10.0  # seconds for the gateway to hear of a refusal
_Job = Coroutine[Any, Any, None]


async def run(site: Site, program: str, limits: Limits) -> None:
    """Carry until SIGTERM or SIGINT, or until a part fails; what is known of pods stays."""
    descriptors = raise_descriptor_limit()
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
            jobs += _gateways(site, wires, files, book, _Measures(counts, limits, room_of(descriptors)))
        log.info("With %s descriptors the wires of the %s carry.", descriptors, program)
        await _until_one_ends([*jobs, until_signal()])


@dataclass(frozen=True)
class _Measures:
    counts: Counts
    limits: Limits
    room: Room


def _gateways(
    site: Site, wires: WiresSite, files: TlsFiles, book: PodBook, measures: _Measures
) -> list[_Job]:
    counts, room = measures.counts, measures.room
    denials = Denials(book, lambda sandbox, denial: _tell(site.gateway_socket, sandbox, denial), counts)
    pods = Pods(book, site.doors_dir, room, denials.note)
    # A link has 32 handshakes under way at most; the rest is for what else is in its pod.
    limits = replace(measures.limits, of_address=40, of_all=room.nameless)
    door = Listener("pods", lambda: files.server_context(clients=False), pods.judge, counts, limits)
    app = pods_application(site.callers_of("pods"), pods, counts, files.metrics)
    return [
        door.serve(tcp_listener(site.listen_host, wires.pods_port)),
        serve_until_signal(app, _listening(site, "pods")),
        denials.serve(),
        _keep_sweeping(pods, site.gateway_socket, counts),
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


async def _keep_sweeping(pods: Pods, gateway: str, counts: Counts) -> None:
    """A look that fails is said, and changes nothing for any pod."""
    while True:
        await asyncio.sleep(_SWEEP)
        answering = open_unix(gateway)
        if answering is None:  # the doors are gone because the gateway is
            continue
        answering.close()
        try:
            await pods.sweep(asyncio.get_running_loop().time())
        except (OSError, SandboxError) as error:
            counts.say(("sweep",), "Pods without doors were not looked for: %s", error)


async def _tell(gateway: str, sandbox: str, denial: PodDenial) -> None:
    async with GatewayClient(gateway, _TELL) as client:
        await client.pod_denied(sandbox, denial)


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
