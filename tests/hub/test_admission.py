"""Does every start pass control, and does all but a start go on without it? Real hubs, the real control."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from jupyter_sandbox_spawner.hub.permission import denial
from jupyter_sandbox_spawner.hub.refusals import reason_of_death
from jupyter_sandbox_spawner.models import Status
from jupyter_sandbox_spawner.rules.admission import Admission

from .hub_process import HubProcess

NewHub = Callable[..., AbstractContextManager[HubProcess]]
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)


def records(hub: HubProcess, user: str) -> list[tuple[str, str, str]]:
    """Server, status and reason code of the user's records, oldest first."""
    with sqlite3.connect(hub.directory / "control/control.sqlite") as database:
        columns = "server, status, coalesce(stop_code, '')"
        query = f"select {columns} from sandboxes where user = ? order by admitted_at"
        return list(database.execute(query, (user,)))


def test_a_start_is_recorded_until_its_end(hub: HubProcess) -> None:
    """Control knows a server as ready while it runs and as released when the hub stopped it."""
    assert hub.start("abel").status == 201
    assert records(hub, "abel") == [("", "ready", "")]
    hub.api("DELETE", "users/abel/server")
    assert records(hub, "abel") == [("", "released", "stop.at_hub")]


def test_a_death_is_recorded_with_its_reason(hub: HubProcess) -> None:
    """A server that died by itself is released with what the launcher says about it."""
    hub.start("bela")
    (sandbox,) = [i.id for i in hub.loop.run(hub.launcher.backend.inventory()) if i.user == "bela"]
    hub.loop.run(hub.launcher.backend.finish(sandbox, 137, "killed for memory"))
    hub.wait_for("the crash is noticed", lambda: hub.servers("bela") == {})
    assert records(hub, "bela") == [("", "released", "ended.died")]


def test_a_failed_start_is_recorded(hub: HubProcess) -> None:
    """A start that came to nothing holds no place in control's books, and has its code there."""
    hub.launcher.dies_with = (3, "no module of that name")
    assert hub.start("cora").status == 500
    assert records(hub, "cora") == [("", "released", "boot.ended")]


def test_an_interrupted_start_is_recorded(hub: HubProcess) -> None:
    """A start that the user stops half-way is closed in control's books too."""
    hub.gateway.silent = True
    hub.start("dino")
    hub.api("DELETE", "users/dino/server")
    hub.wait_for("it is closed", lambda: records(hub, "dino") == [("", "released", "start.cancelled")])


def test_without_control_nothing_starts_and_all_else_goes_on(hub: HubProcess, control: Any) -> None:
    """While control is away a start fails with one sentence; a running server goes on and can be stopped."""
    assert hub.start("elsa").status == 201
    hub.control.stop()
    refused = hub.start("elmo")
    assert refused.status == 503
    assert "No server can be started now, because control does not answer" in refused.document["message"]
    assert [item.user for item in hub.loop.run(hub.launcher.backend.inventory()) if item.user == "elmo"] == []
    assert hub.servers("elsa")[""]["ready"]
    assert hub.api("DELETE", "users/elsa/server").status == 204
    assert [item.user for item in hub.loop.run(hub.launcher.backend.inventory()) if item.user == "elsa"] == []
    hub.control.start()
    control("with control it starts", hub.start("elmo").status == 201)


def test_a_cap_of_servers_is_a_refusal(new_hub: NewHub, control: Any) -> None:
    """With two servers a user, the third is refused with the names of the others; one less, it starts."""
    with new_hub(servers_per_user=2) as hub:
        assert hub.start("fred").status == 201
        assert hub.start("fred", server="second").status == 201
        refused = hub.start("fred", server="third")
        assert refused.status == 403
        assert "You have 2 of 2 servers running: 'default', 'second'" in refused.document["message"]
        hub.api("DELETE", "users/fred/servers/second")
        control("a place is free again", hub.start("fred", server="third").status == 201)


def test_a_server_that_died_is_known_at_once(new_hub: NewHub) -> None:
    """With the hub's own poll minutes away, a death is known to the hub within seconds."""
    with new_hub(poll_interval=300) as hub:
        hub.start("gina")
        (sandbox,) = [item.id for item in hub.loop.run(hub.launcher.backend.inventory())]
        hub.loop.run(hub.launcher.backend.finish(sandbox, 1, "the server ended"))
        hub.wait_for("the death is noticed", lambda: hub.servers("gina") == {}, 15)
        hub.start("gina")
        hub.restart()
        hub.wait_for("it is taken up again", lambda: "gina" in str(hub.servers("gina")))
        (sandbox,) = [item.id for item in hub.loop.run(hub.launcher.backend.inventory())]
        hub.loop.run(hub.launcher.backend.finish(sandbox, 1, "the server ended"))
        hub.wait_for("a death after a restart is noticed", lambda: hub.servers("gina") == {}, 15)


def test_a_denial_is_a_refusal() -> None:
    """What policy denies is a 403 with control's own code, sentence and way out."""
    answer = Admission(
        admitted=False, now=NOW, code="quota.servers.user", message="You have 2 of 2.", remedy="Stop one."
    )
    error = denial(answer)
    assert (error.status, error.code, str(error)) == (403, "quota.servers.user", "You have 2 of 2. Stop one.")


@pytest.mark.parametrize("code", ["gpu.all_taken", "quota.gpu_hours.user"])
def test_a_denial_with_a_time_is_a_refusal_too(code: str) -> None:
    """A full pool and used hours are no error of the hub, though one may try again later."""
    later = NOW + timedelta(hours=4)
    answer = Admission(admitted=False, now=NOW, code=code, message="All 2 are in use.", retry_at=later)
    assert (denial(answer).status, denial(answer).code) == (403, code)


def test_trouble_of_control_is_no_refusal() -> None:
    """Where control cannot keep its books the start fails with 503 and says when to try again."""
    later = NOW + timedelta(seconds=60)
    answer = Admission(
        admitted=False, now=NOW, code="audit.full", message="Its disk is full.", retry_at=later
    )
    error = denial(answer)
    assert (error.status, error.code) == (503, "audit.full")
    assert str(error) == "Its disk is full. Try again after 12:01:00 UTC."


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("", "It ended by itself."),
        ("killed for memory", "It ended by itself: killed for memory."),
        ("It was killed for memory.", "It was killed for memory."),
    ],
)
def test_a_death_is_told_in_a_sentence(told: str, sentence: str) -> None:
    """Whatever the launcher says about an end, people read one sentence."""
    assert reason_of_death(Status(value="stopped", reason=told)) == sentence
