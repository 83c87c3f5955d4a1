"""What does the hub hear of a server whose start is not over?"""

from __future__ import annotations

from collections.abc import Callable

from jupyter_sandbox_spawner.hub.spawner import SandboxSpawner

Control = Callable[[str, bool], None]


async def test_a_start_is_not_an_end(control: Control) -> None:
    """While a start ends what an earlier one left, nobody is told that the server has ended."""
    spawner = SandboxSpawner()
    control("without a sandbox it does not run", await spawner.poll() == 0)
    spawner.sandbox_id, spawner._starting = "sb-of-an-earlier-start", True
    assert await spawner.poll() is None
    spawner.sandbox_id = ""
    assert await spawner.poll() is None
