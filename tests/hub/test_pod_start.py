"""What does a user read while a pod waits, and when is its address told?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.pod_gateway import PodGateway
from jupyter_sandbox_spawner.clients.pods import PodsClient
from jupyter_sandbox_spawner.errors import AnswerError, BackendError, UnreachableError
from jupyter_sandbox_spawner.hub import pod_start
from jupyter_sandbox_spawner.hub.insisting import insist
from jupyter_sandbox_spawner.hub.pod_start import start_sandbox, ticket_for
from jupyter_sandbox_spawner.hub.stages import Stages
from jupyter_sandbox_spawner.models import Event, Status

RUNS = Status(value="running", address="10.244.0.7")


@dataclass
class SlowLauncher:
    """A launcher that tells these reasons, one an answer, before its pod runs.

    None: it is away; "-": it has no news. `early` are its answers for the address, in turn; then it has none
    to give.
    """

    reasons: list[str | None]
    end: Status = RUNS
    breaks: int = 0
    early: list[str | Exception] = field(default_factory=list)
    runs_after: asyncio.Event | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    questions: list[tuple[int, str]] = field(default_factory=list)

    async def start(self, sandbox: str, timeout: float | None = None) -> Status:
        """See LauncherClient.start."""
        if self.breaks:
            self.breaks -= 1
            await asyncio.sleep(0.1)
            raise UnreachableError("It went away while the pod waited.")
        if self.reasons:
            await self.told.wait()
        if self.runs_after is not None:
            await self.runs_after.wait()
        return self.end

    async def address(self, sandbox: str, timeout: float) -> str:
        """See LauncherClient.address."""
        if not self.early:
            await asyncio.Event().wait()
        answer = self.early.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def events(self, after: int, timeout: float, sandbox: str = "") -> tuple[Event, ...]:
        """See LauncherClient.events."""
        self.questions.append((after, sandbox))
        if not self.reasons:
            self.told.set()
            await asyncio.Event().wait()
        reason = self.reasons.pop(0)
        if reason is None:
            raise UnreachableError("It is away.")
        if reason == "-":
            return ()
        now = datetime.now(timezone.utc)
        one = Event(seq=after + 1, time=now, kind="sandbox.pending", sandbox=sandbox, user="a", server="")
        return (replace(one, detail={"reason": reason}),)


class ListeningPods(PodsClient):
    """Wires that keep what they are told."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.heard: list[tuple[str, ...]] = []
        self.came = asyncio.Event()

    async def call(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """See UnixClient.call."""
        self.heard.append((method, path, *(body or {}).values()))
        self.came.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is away is asked again soon."""
    monkeypatch.setattr(pod_start, "_PAUSE", 0.01)


async def test_reasons_are_told_once() -> None:
    """Each reason for waiting is a note for the user, also where the launcher was away in between."""
    pods, stages = ListeningPods(), Stages()
    launcher: Any = SlowLauncher(["No node has room.", "No node has room.", None, "The image is on its way."])
    await start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", stages)
    stages.close()
    told = [event["message"] async for event in stages.follow() if event.get("notice")]
    assert told == ["No node has room.", "The image is on its way."]
    assert launcher.questions == [(0, "sb-x"), (1, "sb-x"), (2, "sb-x"), (2, "sb-x"), (3, "sb-x")]
    assert pods.heard == [("PUT", "/pods/sb-x/address", "10.244.0.7")]


async def test_an_address_that_is_known_early() -> None:
    """It is told while the pod still starts, also where the launcher was away or had none yet at first."""
    pods = ListeningPods()
    launcher: Any = SlowLauncher([], runs_after=pods.came)
    launcher.early = [UnreachableError("It is away."), "", RUNS.address]
    await asyncio.wait_for(start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", Stages()), 20)
    assert pods.heard == [("PUT", "/pods/sb-x/address", "10.244.0.7")] * 2


async def test_an_early_address_is_no_must() -> None:
    """A launcher that refuses it, or does not know the question, is believed when the pod runs."""
    pods = ListeningPods()
    launcher: Any = SlowLauncher(["It is pulled."])
    launcher.early = [AnswerError("Not found.")]
    await start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", Stages())
    assert pods.heard == [("PUT", "/pods/sb-x/address", "10.244.0.7")]


class RoomKeeper:
    """Control that knows by when there is room, in turn, at last always the same; "": it is away."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.asked: list[tuple[str, str]] = []

    async def room(self, sandbox: str, lack: str) -> str:
        """See ControlClient.room."""
        self.asked.append((sandbox, lack))
        words = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        if not words:
            raise UnreachableError("It is away.")
        return words


@pytest.mark.parametrize("words", ["There is room at 13:00 UTC.", ""])
async def test_when_there_is_room(words: str) -> None:
    """Who waits for room reads by when there is some; where control is away, only what is waited for."""
    full = "No machine has enough room for this server now."
    pods, stages, control = ListeningPods(), Stages(), RoomKeeper(words)
    launcher: Any = SlowLauncher([full, "The image is on its way."])
    keeper: Any = control
    await start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", stages, keeper)
    stages.close()
    told = [event["message"] async for event in stages.follow() if event.get("notice")]
    assert told == [f"{full} {words}".rstrip(), "The image is on its way."]
    assert control.asked == [("sb-x", "room")]


async def test_when_there_is_room_changes() -> None:
    """Whoever waits reads the other time once, and nothing of control being away meanwhile."""
    full = "No machine has enough room for this server now."
    one, other = "There is room at 13:00 UTC.", "There is room at 13:30 UTC."
    stages, keeper = Stages(), RoomKeeper(one, one, "", other, other)
    launcher: Any = SlowLauncher([full, "-", "-", "-", "-"])
    control: Any = keeper
    await start_sandbox(launcher, PodGateway("/nowhere", ListeningPods()), "sb-x", stages, control)
    stages.close()
    told = [event["message"] async for event in stages.follow() if event.get("notice")]
    assert told == [f"{full} {one}", f"{full} {other}"]


async def test_a_launcher_that_goes_while_a_pod_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the pod waited before, and however often, the next launcher is asked to go on."""
    monkeypatch.setattr(pod_start, "ON_A_CLUSTER", 0.06)  # shorter than each of the waits that break
    pods = ListeningPods()
    launcher: Any = SlowLauncher([], breaks=3)
    await start_sandbox(launcher, PodGateway("/nowhere", pods), "sb-x", Stages())
    assert pods.heard == [("PUT", "/pods/sb-x/address", "10.244.0.7")]


async def test_patience_counts_from_the_failure() -> None:
    """A call that was long under way is tried again; one that fails again and again is given up in time."""
    asked: list[float] = []

    async def call(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(seconds)
        raise UnreachableError("It is away.")

    with pytest.raises(UnreachableError):
        await insist(lambda: call(0.3 if not asked else 0), 0.2)
    assert len(asked) > 2
    asked.clear()
    with pytest.raises(UnreachableError):
        await insist(lambda: call(0.3), 0.2)
    assert len(asked) == 2


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
