"""What is different in a start where the sandbox is a pod? Its ticket, its address, and why it waits.

Law: a pod's address is told by the launcher, never by the pod; without it nothing is given to it. It is told
once the pod's node has been proved to be closed: as soon as there is one, and again when the pod runs.
"""

from __future__ import annotations

import asyncio
import secrets

from ..clients.control import ControlClient
from ..clients.gateway import GatewayClient
from ..clients.launcher import LauncherClient
from ..clients.pod_gateway import PodGateway
from ..errors import BackendError, ProgramError, UnreachableError
from ..rules.room_words import lack_of
from .insisting import ON_A_CLUSTER, insist
from .stages import Stages

__all__ = ["start_sandbox", "ticket_for"]

_POLL = 60.0  # seconds of one question for news of a pod that waits for a node or an image
_PAUSE = 1.0  # seconds until a launcher that is away is asked for news again
_LONGEST = 3600.0  # seconds of one start; the hub's start_timeout comes first


async def ticket_for(gateway: GatewayClient, sandbox_id: str) -> str:
    """What the sandbox's pod shows the gateway once; "" where its doors are on this machine."""
    if not isinstance(gateway, PodGateway):
        return ""
    ticket = secrets.token_urlsafe(32)
    await insist(lambda: gateway.expect(sandbox_id, ticket), ON_A_CLUSTER)
    return ticket


async def start_sandbox(
    launcher: LauncherClient,
    gateway: GatewayClient,
    sandbox_id: str,
    stages: Stages,
    control: ControlClient | None = None,
) -> None:
    """Returns when it runs; meanwhile the user reads what a pod waits for.

    Raises BackendError `pod.no_address`.
    """
    if not isinstance(gateway, PodGateway):
        await insist(lambda: launcher.start(sandbox_id))
        return
    beside = [
        asyncio.create_task(_watch(launcher, sandbox_id, stages, control)),
        asyncio.create_task(_find(launcher, gateway, sandbox_id)),
    ]
    try:
        # Another launcher may take over while the pod waits, and goes on with it.
        status = await insist(lambda: launcher.start(sandbox_id, _LONGEST), ON_A_CLUSTER, long=True)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    if not status.address:
        raise BackendError(
            f"The pod of {sandbox_id} runs and has no address.",
            code="pod.no_address",
            remedy="Try again; if it stays like this, tell your admin: the cluster's network gives none.",
        )
    await insist(lambda: gateway.found_at(sandbox_id, status.address), ON_A_CLUSTER)


async def _find(launcher: LauncherClient, gateway: PodGateway, sandbox_id: str) -> None:
    """Tell the address while its program is still being started, so that its link need not wait for it.

    What goes wrong here is told by the start itself, which tells the address once more.
    """
    while True:
        try:
            address = await launcher.address(sandbox_id, _POLL)
            if address:
                await gateway.found_at(sandbox_id, address)
                return
        except UnreachableError:
            await asyncio.sleep(_PAUSE)
        except ProgramError:
            return


async def _watch(
    launcher: LauncherClient, sandbox_id: str, stages: Stages, control: ControlClient | None
) -> None:
    """Tell each reason once, when the launcher tells it; of room also by when control expects some.

    That time changes, as when somebody's server is extended: it is asked for with each question for news.
    """
    told, waits, after = {"": ""}, list[str](), 0
    while True:
        try:
            events = await launcher.events(after, _POLL, sandbox_id)
        except ProgramError:
            await asyncio.sleep(_PAUSE)  # whoever is away is asked again
            continue
        after = max((event.seq for event in events), default=after)
        pending = (event for event in events if event.kind == "sandbox.pending")
        waits = [str(event.detail.get("reason") or "") for event in pending] or waits[-1:]
        for reason in waits:
            until = await _expected(control, sandbox_id, reason)
            words = f"{reason} {until}".rstrip()
            if reason not in told or (until and told[reason] != words):
                told[reason] = words
                stages.note(words)


async def _expected(control: ControlClient | None, sandbox_id: str, reason: str) -> str:
    lack = lack_of(reason)
    if control is None or lack is None:
        return ""
    try:
        return await control.room(sandbox_id, lack)
    except ProgramError:
        return ""
