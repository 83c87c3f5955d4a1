"""Does control take away what is left over at launcher, gateway and in its own ledger, and nothing else?"""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import update

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.control import records, waiting
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.tables import sandboxes
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuWish
from jupyter_sandbox_spawner.leftovers import Leftover
from jupyter_sandbox_spawner.names import sandbox_id

from .control_neighbours import asked, spec
from .test_control_commands import program  # noqa: F401 - a fixture
from .test_control_program import Program
from .test_control_reconcile import ALICE, Mending, mending  # noqa: F401 - a fixture

GONE = sandbox_id("gone", "", "1")


async def released(street: Mending) -> str:
    """The id of a sandbox that was admitted and has ended."""
    other = spec("bob")
    assert (await Admissions(street.parts, street.lifetime.watch).admit(asked(other))).admitted
    now = street.here.clock.now()
    await street.parts.store.run(lambda db: records.release(db, other.id, "ended.exit", "x", now))
    return other.id


async def test_leftovers_go_in_their_time_and_each_is_audited(mending: Mending) -> None:  # noqa: F811
    """A cgroup of an ended sandbox and doors of nobody go after a minute; the server that runs stays."""
    ended = await released(mending)
    mending.here.launcher.leftovers = [
        Leftover(kind="cgroup", name=ended, sandbox=ended),
        Leftover(kind="cgroup", name=ALICE.id, sandbox=ALICE.id),
        Leftover(kind="cgroup", name=GONE, sandbox=GONE),
    ]
    mending.here.gateway.leftovers = [Leftover(kind="doors", name=GONE, sandbox=GONE)]
    await mending.reconciler.step()
    assert mending.here.launcher.cleared == mending.here.gateway.closed == []
    await mending.minutes(2)
    assert mending.here.launcher.cleared == [("cgroup", ended)]
    assert mending.here.gateway.closed == [GONE]
    lines = await mending.parts.audit.lines(limit=100)
    assert sorted(line["code"] for line in lines if line["action"] == "leftover.remove") == [
        "leftover.cgroup",
        "leftover.doors",
    ]


async def test_a_dry_run_takes_nothing_away(mending: Mending) -> None:  # noqa: F811
    """However often it is asked."""
    mending.here.gateway.leftovers = [Leftover(kind="doors", name=GONE, sandbox=GONE)]
    for _ in range(5):
        found = await mending.reconciler.look_around(apply=False, urgent=False)
        mending.here.clock.pass_time(60)
    assert [step.item.kind for step in found.leftovers.due] == ["doors"]
    assert mending.here.gateway.closed == []


async def test_while_the_launcher_is_silent_nothing_is_taken(mending: Mending) -> None:  # noqa: F811
    """Nobody knows what lives: doors of what may live stay, and a device is given to nobody else."""
    mending.here.gateway.leftovers = [Leftover(kind="doors", name=GONE, sandbox=GONE)]
    await mending.here.close("launcher")
    await mending.minutes(20)
    found = await mending.reconciler.look_around(apply=True, urgent=True)
    assert found.silent == ("launcher",)
    assert mending.here.gateway.closed == []


async def test_a_device_of_an_ended_sandbox_is_given_again(mending: Mending) -> None:  # noqa: F811
    """An allocation that a crash left behind a closed record is given back after a minute."""
    mending.here.launcher.devices = (GpuDevice(id="GPU-0", kind="h100"),)
    other = spec("bob")
    desk = Admissions(mending.parts, mending.lifetime.watch)
    assert (await desk.admit(asked(other, gpu=GpuWish(count=1)))).admitted
    done = update(sandboxes).where(sandboxes.c.id == other.id).values(status="released")
    await mending.parts.store.run(lambda db: db.execute(done))
    assert len(await mending.parts.store.run(waiting.taken_now)) == 1
    await mending.minutes(2)
    assert await mending.parts.store.run(waiting.taken_now) == []
    assert (await desk.admit(asked(spec("carol"), gpu=GpuWish(count=1)))).admitted


async def test_users_that_the_hub_does_not_have_are_reported(mending: Mending) -> None:  # noqa: F811
    """With uid and home; somebody without a server is a user all the same."""
    mending.here.hub.people.add("bob")
    mending.here.launcher.leftovers = [
        Leftover(kind="user", name=name, user=name, detail="uid 1") for name in ("alice", "bob", "mallory")
    ]
    found = await mending.reconciler.look_around(apply=True, urgent=True, users=True)
    assert [step.item.user for step in found.leftovers.reported] == ["mallory"]
    assert mending.here.launcher.cleared == []


async def test_the_command_shows_a_table_and_a_status(
    program: Program,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kind, what, why and when; 8 in a dry run, 0 once it is done; who does not answer is named."""
    await program.start()
    program.here.gateway.leftovers = [Leftover(kind="doors", name=GONE, sandbox=GONE)]

    async def command(*words: str) -> tuple[int, str]:
        status = await asyncio.to_thread(main, ["reconcile", *words, "--site", str(program.site_file)])
        return status, capsys.readouterr().out

    status, shown = await command()
    assert status == 8
    words = f"doors {GONE} - Doors of a sandbox that nobody has. goes in".split()
    assert shown.splitlines()[1].split()[: len(words)] == words
    assert "Nothing was changed" in shown
    status, shown = await command("--apply", "--json")
    assert (status, json.loads(shown)["leftovers"]["due"][0]["name"]) == (0, GONE)
    assert (await command()) == (0, "Everything agrees.\n")
    await program.here.close("gateway")
    status, shown = await command()
    assert status == 8
    assert "gateway did not answer" in shown
