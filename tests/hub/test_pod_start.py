"""What does a user read while a pod waits, and when is its address told?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.pod_gateway import PodGateway
from jupyter_sandbox_spawner.clients.pods import PodsClient
from jupyter_sandbox_spawner.errors import BackendError, UnreachableError
from jupyter_sandbox_spawner.hub import pod_start
from jupyter_sandbox_spawner.hub.pod_start import start_sandbox, ticket_for
from jupyter_sandbox_spawner.hub.stages import Stages
from jupyter_sandbox_spawner.models import Status

RUNS = Status(value="running", address="10.244.0.7")


@dataclass
class SlowLauncher:
    """A launcher whose pod waits for these reasons, one look each, before it runs; None: it is away."""

    reasons: list[str | None]
    end: Status = RUNS
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, sandbox: str, timeout: float | None = None) -> Status:
        """See LauncherClient.start."""
        if self.reasons:
            await self.looked.wait()
        return self.end

    async def status(self, sandbox: str) -> Status:
        """See LauncherClient.status."""
        reason = self.reasons.pop(0) if self.reasons else ""
        if not self.reasons:
            self.looked.set()
        if reason is None:
            raise UnreachableError("It is away.")
        return Status(value="pending", reason=reason, address="10.244.0.7")


class ListeningPods(PodsClient):
    """Wires that keep what they are told."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.heard: list[tuple[str, ...]] = []

    async def call(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """See UnixClient.call."""
        self.heard.append((method, path, *(body or {}).values()))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come often."""
    monkeypatch.setattr(pod_start, "_LOOK", 0.01)


async def test_reasons_are_told_once() -> None:
    """Each reason for waiting is a note for the user, also where the launcher was away in between."""
    pods, stages = ListeningPods(), Stages()
    launcher: Any = SlowLauncher(["No node has room.", "No node has room.", None, "The image is on its way."])
    await start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", stages)
    stages.close()
    told = [event["message"] async for event in stages.follow() if event.get("notice")]
    assert told == ["No node has room.", "The image is on its way."]
    assert pods.heard == [("PUT", "/pods/sb-x/address", "10.244.0.7")]


async def test_no_address_no_server() -> None:
    """A pod that runs without an address is a failed start; nothing is told of it."""
    pods = ListeningPods()
    launcher: Any = SlowLauncher([], Status(value="running"))
    with pytest.raises(BackendError) as failed:
        await start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", Stages())
    assert failed.value.code == "pod.no_address"
    assert pods.heard == []


async def test_tickets() -> None:
    """A pod gets a new one each time, of which the wires hear a hash; a sandbox of this machine gets none."""
    pods = ListeningPods()
    gateway = PodGateway("/nowhere", pods)
    first, second = await ticket_for(gateway, "sb-x"), await ticket_for(gateway, "sb-y")
    assert len({first, second}) == 2
    assert first not in str(pods.heard)
    assert len(pods.heard[0][2]) == 64
    assert await ticket_for(GatewayClient("/nowhere"), "sb-x") == ""
