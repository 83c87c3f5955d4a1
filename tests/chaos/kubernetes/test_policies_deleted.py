"""Is anybody let out when policies are deleted by hand? Own ones come back; else nobody starts."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.layout import USER
from tests.support.cluster import ClusterError

from .harbour import Harbour, words_of
from .images import PREFIX
from .quay import CLOSED

pytestmark = pytest.mark.asyncio(loop_scope="package")
Control = Callable[[str, bool], None]
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
# Run in the user's container: does this address take a connection, again and again, and for how long?
TRY = """
import socket, sys, time
end, opened = time.monotonic() + float(sys.argv[3]), []
while time.monotonic() < end:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.2).close()
        opened.append(time.monotonic())
    except OSError:
        pass
    time.sleep(0.05)
print(len(opened), opened[-1] - opened[0] if opened else 0.0)
"""


@contextmanager
def stranger(host: str) -> Iterator[int]:
    """A port of this machine that no sandbox may reach."""
    with socket.create_server((host, 0), backlog=256) as door:
        yield int(door.getsockname()[1])


class Walls:
    """The policies of the harbour's namespace, as an admin's hand finds them."""

    def __init__(self, harbour: Harbour) -> None:
        self.quay = harbour.quay
        self._path = POLICIES.format(self.quay.namespace)

    def find(self, name: str) -> dict[str, Any] | None:
        """The policy."""
        path = f"{self._path}/{name}"
        return self.quay.cluster.api.ask("GET", path) if self.quay.cluster.api.finds(path) else None

    def delete(self, name: str) -> str:
        """Delete it by hand; the uid that it had."""
        found = self.find(name)
        assert found is not None
        self.quay.cluster.api.ask("DELETE", f"{self._path}/{name}")
        return str(found["metadata"]["uid"])

    def again(self, name: str, uid: str) -> float:
        """Seconds until there is another one of this name."""
        began = time.monotonic()
        while (found := self.find(name)) is None or found["metadata"]["uid"] == uid:
            assert time.monotonic() - began < 60
            time.sleep(0.01)  # nothing tells this test
        return time.monotonic() - began

    def close(self) -> None:
        """The namespace has its common policy."""
        space = {"name": "closed", "namespace": self.quay.namespace}
        self.quay.cluster.apply({**CLOSED, "metadata": space})

    def reaches(self, pod: str, port: int, seconds: float) -> tuple[int, float]:
        """How often somebody in the sandbox reached the stranger, and for how long it was open."""
        words = [f"{PREFIX}/bin/python", "-I", "-c", TRY, self.quay.cluster.host_address, str(port)]
        status, said = self.quay.cluster.run_in(self.quay.namespace, pod, [*words, str(seconds)], USER)
        if status:
            raise ClusterError(said)
        times, length = said.split()
        return int(times), float(length)


@pytest.mark.proves("E21")
async def test_a_sandboxs_own_policy_deleted(harbour: Harbour, control: Control) -> None:
    """It is there again in a moment; nothing was open meanwhile, and no page was cut."""
    walls, victim = Walls(harbour), harbour.seats[0].sandbox
    with stranger(harbour.quay.cluster.host_address) as port:
        async with harbour.watched() as sessions:
            trying = asyncio.create_task(asyncio.to_thread(walls.reaches, victim, port, 6.0))
            uid = await asyncio.to_thread(walls.delete, victim)
            seconds = await asyncio.to_thread(walls.again, victim, uid)
            reached, _ = await trying
            await asyncio.gather(*(session.next(20) for session in sessions.values()))
            seen = words_of(list(sessions.values()))
        print(f"made anew after {seconds:.2f} s; {seen}")
        assert reached == 0
        assert seconds < 10
        await asyncio.to_thread(harbour.quay.cluster.enforce, False)
        try:
            open_now, _ = await asyncio.to_thread(walls.reaches, victim, port, 1.0)
        finally:
            await asyncio.to_thread(harbour.quay.cluster.enforce, True)
        control("without walls the stranger is reached", open_now > 0)
    await harbour.agreed(150)


@pytest.mark.proves("E21")
async def test_all_policies_deleted(harbour: Harbour, control: Control) -> None:
    """Who runs is closed again within seconds; nobody starts until the common one is back."""
    walls, victim, seat = Walls(harbour), harbour.seats[1].sandbox, harbour.take()
    with stranger(harbour.quay.cluster.host_address) as port:
        async with harbour.watched() as sessions:
            trying = asyncio.create_task(asyncio.to_thread(walls.reaches, victim, port, 15.0))
            await asyncio.to_thread(walls.delete, "closed")
            began = time.monotonic()
            uids = {
                item.sandbox: await asyncio.to_thread(walls.delete, item.sandbox) for item in harbour.seats
            }
            for name, uid in uids.items():
                await asyncio.to_thread(walls.again, name, uid)
            mended = time.monotonic() - began
            times, opened = await trying
            await harbour.metric(0, 30)
            noticed = time.monotonic() - began
            refused = await harbour.try_start(seat)
            await asyncio.to_thread(walls.close)
            seen = words_of(list(sessions.values()))
        print(
            f"twenty own policies deleted and back after {mended:.1f} s; one reached a stranger {times} times"
        )
        print(f"in {opened:.2f} s; {seen}; metric 0 after {noticed:.1f} s; a start: {refused}")
        assert refused.startswith("isolation.unproved: No NetworkPolicy closes"), refused
        assert opened < 10
    await harbour.quay.launcher.canary(again=True)
    await harbour.metric(1, 30)
    await harbour.start(seat)
    control("with the common policy a start goes well", bool(seat.sandbox))
    await harbour.stop(seat)
    print(f"all agreed after {await harbour.agreed(150)} s")


@pytest.mark.proves("E21")
async def test_policies_are_not_enforced(harbour: Harbour, control: Control) -> None:
    """The network's agent is off: the next probe finds out, nobody starts, who runs goes on and is named."""
    seat, quay = harbour.take(), harbour.quay
    async with harbour.watched() as sessions:
        await asyncio.to_thread(quay.cluster.enforce, False)
        try:
            shown = await quay.launcher.canary(again=True)
            refused = await harbour.try_start(seat)
            await harbour.metric(0, 5)
        finally:
            await asyncio.to_thread(quay.cluster.enforce, True)
        seen = words_of(list(sessions.values()))
        assert {session.cuts for session in sessions.values()} == {0}
    print(f"{seen}; a start: {refused}")
    assert not shown["proved"]
    assert len(shown["running"]) >= len(harbour.seats)
    assert refused.startswith("isolation.unproved: "), refused
    assert "it reached " in refused
    await quay.launcher.canary(again=True)
    await harbour.start(seat)
    control("with policies that are enforced a start goes well", bool(seat.sandbox))
    await harbour.stop(seat)
    print(f"all agreed after {await harbour.agreed(150)} s")
