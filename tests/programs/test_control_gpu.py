"""Do hub and admins read who has the GPUs, what is free and who waits, and can a place be given up?"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.control.admission import close_interrupted
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuWish
from jupyter_sandbox_spawner.hub.capacity import current_offers
from jupyter_sandbox_spawner.rules.admission import Admission
from jupyter_sandbox_spawner.settings import Site

from .control_neighbours import asked, spec
from .control_street import parts_of, street
from .test_control_api import Control
from .test_control_program import Program, program

__all__ = ["program"]

PROFILES = """
profiles:
- {slug: cpu-small, display_name: CPU, default: true, sandbox: {cpu: 1, memory: 1G}}
- {slug: gpu-small, display_name: GPU, sandbox: {cpu: 1, memory: 1G, gpu: 1}}
quotas:
  user: [{gpus: 1}]
"""
CHOSEN = """
- slug: sized
  display_name: Sized
  default: true
  sandbox: {cpu: 1, memory: 1G}
  profile_options:
    size:
      display_name: Size
      choices: {gpu: {display_name: With a GPU, default: true, sandbox: {gpu: 1}}}
"""
H100 = tuple(GpuDevice(id=f"GPU-{number}", kind="nvidia-h100", memory=80 << 30) for number in range(2))
GPU = {"gpu": GpuWish(count=1)}


async def serving(stack: AsyncExitStack, profiles: str = "") -> Control:
    """Control beside a launcher with one GPU."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cq", dir="/tmp")))
    path = directory / "profiles.yaml"
    path.write_text(profiles)
    here = await stack.enter_async_context(street(directory))
    here.launcher.devices, here.launcher.notes = H100[:1], ("One GPU has no driver.",)
    tuning = Tuning(settle=0, tick=0.05)
    parts = await stack.enter_async_context(parts_of(here, tuning, str(path) if profiles else ""))
    found = Control(here, parts)
    await found.serve(stack)
    return found


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    """Control without a profiles file: it believes the terms that are sent."""
    async with AsyncExitStack() as stack:
        yield await serving(stack)


async def ask(control: Control, user: str, server: str = "", **more: Any) -> Admission:
    """One server with a GPU."""
    return await control.hub.admit(asked(spec(user, server, ttl=3600, **more), **GPU))


async def test_the_spec_that_may_start_has_the_device_and_the_audit_too(control: Control) -> None:
    """The id is in the admission's spec, in a repeated answer and in the line of the audit."""
    first, again = await ask(control, "alice"), await ask(control, "alice")
    assert again.repeated
    assert [answer.spec.gpu_devices for answer in (first, again) if answer.spec] == [("GPU-0",)] * 2
    (line,) = await control.parts.audit.lines(user="alice")
    assert line["detail"]["gpus"] == ["GPU-0"]


async def test_an_admission_that_was_never_answered_gives_its_device_back(control: Control) -> None:
    """Control that died between database and audit frees the device; who had it is first in the queue."""
    await ask(control, "alice")

    def unaudited(db: Any) -> None:
        db.exec_driver_sql("UPDATE sandboxes SET audited = false")

    await control.parts.store.run(unaudited)
    await close_interrupted(control.parts)
    assert (await ask(control, "bob")).code == "gpu.all_taken"
    again = asked(spec("alice", nonce="2", ttl=3600), **GPU)
    assert (await control.hub.admit(again)).admitted


async def test_the_board_shows_owners_and_the_queue(control: Control) -> None:
    """Devices with who has them until when, the queue in order, and the launcher's notes."""
    control.here.launcher.devices = H100
    await ask(control, "alice", "train")
    await ask(control, "bob")
    await ask(control, "carol")
    control.here.launcher.devices = H100[:1]
    board = await control.admin.gpu()
    first, gone = board["devices"]
    assert (first["id"], first["state"], first["user"], first["server"]) == (
        "GPU-0",
        "in use",
        "alice",
        "train",
    )
    assert (first["since"], first["until"]) == ("2026-11-25T12:00:00Z", "2026-11-25T13:00:00Z")
    assert (gone["id"], gone["state"], gone["user"]) == ("GPU-1", "vanished", "bob")
    (waits,) = board["queue"]
    assert (waits["user"], waits["position"], waits["eta"]) == ("carol", 1, "2026-11-25T13:00:00Z")
    assert board["notes"] == ["One GPU has no driver."]


async def test_a_place_can_be_given_up(control: Control) -> None:
    """By its user's hub or an admin, which the audit has; nobody gives up somebody else's."""
    await ask(control, "alice")
    waits = [(await ask(control, user)).ticket for user in ("bob", "carol")]
    first, second = (ticket.id if ticket else "" for ticket in waits)
    with pytest.raises(AnswerError) as caught:
        await control.hub.cancel("carol", first)
    assert caught.value.code == "gpu.unknown_ticket"
    await control.hub.cancel("bob", first)
    await control.admin.cancel(second)
    assert (await control.admin.gpu())["queue"] == []
    lines = [
        line for user in ("bob", "carol") for line in await control.parts.audit.lines(user=user, limit=1)
    ]
    assert [line["code"] for line in lines] == ["gpu.cancelled"] * 2
    assert lines[0]["actor"] == "hub"
    assert lines[1]["actor"].startswith("admin uid")


async def test_the_hub_asks_when_there_is_room() -> None:
    """By control's ledger; of a sandbox that nobody knows nothing is said."""
    async with AsyncExitStack() as stack:
        control = await serving(stack)
        await control.hub.admit(asked(spec("alice", ttl=3600)))
        answer = await control.hub.admit(asked(spec("bob", ttl=3600)))
        assert answer.spec is not None
        assert await control.hub.room(answer.spec.id, "room") == ""
        alice = await control.hub.last("alice", "")
        assert alice is not None
        await control.hub.ready(alice.sandbox, {})
        assert "Perhaps there is room from" in await control.hub.room(answer.spec.id, "room")
        assert await control.hub.room("sb-" + "x" * 20, "gpu") == ""


async def test_the_hub_reads_offers_and_does_without_them() -> None:
    """Offers of every profile by control's own file; an empty answer at once while control is away."""
    async with AsyncExitStack() as stack:
        control = await serving(stack, PROFILES)
        found = {offer.slug: offer for offer in await control.hub.offers("alice", ["lab"])}
        assert (found["cpu-small"].free, found["gpu-small"].free) == ("", "1 of 1 GPU free")
        await control.here.close("launcher")
        assert {offer.free for offer in await control.hub.offers("alice", ["lab"])} == {""}
    site = Site(
        run_dir="/tmp/no-such",
        state_dir="/tmp/no-such",
        profiles="",
        public_port=1,
        hub_port=1,
        proxy_api_port=1,
        front_port=1,
    )
    assert await current_offers(site, "alice", ["lab"], "") == {}


async def test_a_gpu_that_is_only_a_choice_is_looked_for() -> None:
    """No profile asks for a GPU as written, a default choice does: the launcher is asked what is free."""
    async with AsyncExitStack() as stack:
        control = await serving(stack, CHOSEN)
        (offer,) = await control.hub.offers("alice", ["lab"])
        assert (offer.allowed, offer.free) == (True, "1 of 1 GPU free")


async def test_the_command_shows_the_board_and_cancels(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """`gpu` lists devices, queue and notes; `gpu cancel` takes a ticket out."""
    program.here.launcher.devices, program.here.launcher.notes = H100[:1], ("One has no driver.",)
    await program.start()
    for user in ("alice", "bob"):
        await program.hub.admit(asked(spec(user, ttl=3600), **GPU))

    async def command(*words: str) -> str:
        assert await asyncio.to_thread(main, [*words, "--site", str(program.site_file)]) == 0
        return capsys.readouterr().out

    heading, device, empty, queue, waits, note = (await command("gpu")).splitlines()
    assert heading.split()[:3] == ["device", "kind", "state"]
    assert device.split()[:5] == ["GPU-0", "nvidia-h100", "in", "use", "alice"]
    ticket, *more = waits.split()
    assert (empty, queue.split()[:3], more[:2]) == ("", ["ticket", "place", "user"], ["1", "bob"])
    assert note == "note: One has no driver."
    assert len(json.loads(await command("gpu", "--json"))["queue"]) == 1
    assert await command("gpu", "cancel", ticket) == f"Ticket {ticket} is out of the queue.\n"
    assert len((await command("gpu")).splitlines()) == 3


async def test_what_was_given_and_who_waits_outlive_control(program: Program) -> None:
    """After kill -9 the device is still its owner's and the places are the same; a release frees it."""
    program.here.launcher.devices = H100[:1]
    await program.start()
    wanted = spec("alice", ttl=3600)
    program.here.running(wanted)
    assert (await program.hub.admit(asked(wanted, **GPU))).admitted
    places = [await program.hub.admit(asked(spec(user), **GPU)) for user in ("bob", "carol")]
    await program.end()
    await program.start()
    again = [await program.hub.admit(asked(spec(user), **GPU)) for user in ("carol", "bob")]
    assert [answer.ticket and answer.ticket.id for answer in reversed(again)] == [
        answer.ticket and answer.ticket.id for answer in places
    ]
    await program.hub.released(wanted.id, "ended.by_user", "")
    assert not (await program.hub.admit(asked(spec("carol"), **GPU))).admitted
    assert (await program.hub.admit(asked(spec("bob"), **GPU))).admitted
