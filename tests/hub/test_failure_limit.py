"""Does the hub live on when it refuses? `consecutive_failure_limit` = 5, both hub versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from .hub_process import HubProcess

NewHub = Callable[..., AbstractContextManager[HubProcess]]


@pytest.mark.proves("T8")
def test_six_refusals_leave_the_hub_alive(new_hub: NewHub, control: Any) -> None:
    """Six refused starts in a row do not end the hub; the next allowed one works."""
    with new_hub(limit=5) as hub:
        for _ in range(6):
            assert hub.start("alice", {"profile": "closed"}).status == 403
        hub.launcher.dies_with = (1, "")
        for _ in range(6):
            assert hub.start("alice").status == 500
        hub.launcher.dies_with = None
        control("an allowed start works afterwards", hub.start("alice").status == 201)
        assert hub.process.poll() is None
        assert "consecutive spawn" not in hub.log()


@pytest.mark.proves("T8")
def test_refusals_do_not_hide_failures(new_hub: NewHub) -> None:
    """Failures of our programs still count, also with refusals in between: the hub exits at the limit."""
    with new_hub(limit=5) as hub:
        hub.launcher.away = True
        for index in range(5):
            assert hub.start("alice", {"profile": "closed"}).status == 403
            assert hub.start(f"user{index}").status == 503
        assert hub.process.wait(20) == 1
        assert "Aborting due to 5 consecutive spawn failures" in hub.log()


def test_a_start_within_its_time_or_none(new_hub: NewHub) -> None:
    """A server that never answers fails before the hub's own timeout, with our sentence, and is undone."""
    with new_hub(start_timeout=4.0) as hub:
        hub.gateway.silent = True
        answer = hub.start("alice")
        assert answer.status == 500
        assert "did not answer within" in answer.document["message"]
        assert hub.loop.run(hub.launcher.backend.inventory()) == ()
        assert hub.gateway.entries == {}
