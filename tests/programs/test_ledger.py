"""Does the ledger hold every cap, give each device once, and keep the queue?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from jupyter_sandbox_spawner.control import records, users
from jupyter_sandbox_spawner.control.records import shift_deadlines
from jupyter_sandbox_spawner.control.room import room_for
from jupyter_sandbox_spawner.control.tables_ledger import allocations
from jupyter_sandbox_spawner.control.waiting import put_back
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory, GpuWish
from jupyter_sandbox_spawner.models import Resources
from jupyter_sandbox_spawner.rules.admission import Admission
from jupyter_sandbox_spawner.rules.quotas import Caps, GpuHours, GroupQuota, Quotas, UserQuota
from jupyter_sandbox_spawner.rules.room_words import Lack

from .ledger_desk import NOON, Desk, devices, whole

ONE = GpuWish(count=1)
TWO = GpuWish(count=2)


def pool(count: int = 2) -> Desk:
    """A desk with so many whole GPUs."""
    return Desk(gpus=GpuInventory(devices=whole(count)))


def of_each_user(**caps: object) -> Quotas:
    """Caps of every user."""
    return Quotas(users=(UserQuota(caps=Caps(**caps)),))  # type: ignore[arg-type]


def place(answer: Admission) -> int:
    """The place in the queue that came with a denial."""
    if answer.ticket is None:
        raise AssertionError(f"no ticket: {answer.code}: {answer.message}")
    return answer.ticket.position


def started(desk: Desk, user: str, wish: GpuWish | None, ttl: int | None, runs: bool = True) -> str:
    """The id of a sandbox that runs, or whose pod waits."""
    spec = desk.ask(user, wish=wish, ttl=ttl).spec
    assert spec is not None
    if runs:
        desk.within(lambda db: records.mark_ready(db, spec.id, desk.now, {}))
    desk.pass_time(seconds=1)
    return spec.id


def room_of(desk: Desk, sandbox: str, lack: Lack) -> str:
    """What its user reads of when there is room."""

    def find(connection: Connection) -> str:
        record = records.by_id(connection, sandbox)
        assert record is not None
        return room_for(connection, record, lack, desk.now)

    return desk.within(find)


def test_when_there_is_room() -> None:
    """A pod that waits reads the first end of what runs and holds the like, or a later one if others wait."""
    desk = pool(3)
    started(desk, "alice", None, 1800)
    runs = started(desk, "bob", ONE, 3600)
    started(desk, "carol", ONE, None)
    first = started(desk, "dave", ONE, 600, runs=False)
    assert "from 13:00 UTC on, when another server with a GPU" in room_of(desk, first, "gpu")
    assert "from 12:30 UTC on, when another server with this profile" in room_of(desk, first, "room")
    second = started(desk, "erin", None, 600, runs=False)
    assert "from 13:00 UTC" in room_of(desk, second, "room")
    assert room_of(desk, second, "gpu") == room_of(desk, runs, "gpu") == ""


def test_when_there_are_enough_gpus() -> None:
    """Who waits for two reads by when two end, and who came later by when there are enough for both."""
    desk = pool(8)
    for number, wish in enumerate((ONE, ONE, TWO), 1):
        started(desk, f"user{number}", wish, 600 * number)
    first = started(desk, "dave", TWO, 600, runs=False)
    assert "from 12:20 UTC on" in room_of(desk, first, "gpu")
    second = started(desk, "erin", ONE, 600, runs=False)
    assert "from 12:30 UTC on" in room_of(desk, second, "gpu")


@pytest.mark.parametrize(
    ("caps", "code"),
    [
        (Caps(servers=2), "quota.servers"),
        (Caps(cpu=2.5), "quota.cpu"),
        (Caps(memory=(5 << 30) // 2), "quota.memory"),
        (Caps(gpus=2), "quota.gpu"),
    ],
)
@pytest.mark.parametrize("scope", ["user", "group", "profile"])
def test_each_cap_of_each_scope_holds(caps: Caps, code: str, scope: str) -> None:
    """Two servers fit, the third is refused with the code of the cap; one that ends makes room."""
    desk = pool(4)
    if scope == "profile":
        desk.at_most = caps
    elif scope == "user":
        desk.quotas = Quotas(users=(UserQuota(caps=caps),))
    else:
        desk.quotas = Quotas(groups=(GroupQuota(group="research", caps=caps),))
    same = scope == "user"
    names = [("alice", "a"), ("alice" if same else "bob", "b"), ("alice" if same else "carol", "c")]
    first, second, third = (desk.ask(user, name, ONE, ("research",)) for user, name in names)
    assert (first.admitted, second.admitted) == (True, True)
    assert (third.admitted, third.code) == (False, f"{code}.{scope}")
    desk.release(first)
    assert desk.ask(*names[2], ONE, ("research",)).admitted


def test_a_refusal_names_what_the_user_runs() -> None:
    """The message counts, and names the user's own servers."""
    desk = pool()
    desk.quotas = of_each_user(gpus=1)
    desk.ask("alice", "training", ONE)
    answer = desk.ask("alice", "more", ONE)
    assert answer.message == "You have 1 of 1 GPU in use ('training'); this server asks for 1 more."
    assert answer.remedy.startswith("Stop one of them")


def test_what_never_fits_is_said_so() -> None:
    """One server above the cap by itself is told to ask for less, not to wait."""
    desk = Desk(quotas=of_each_user(cpu=2), resources=Resources(cpu=8, memory=1 << 30))
    answer = desk.ask("alice")
    assert answer.code == "quota.cpu.user"
    assert answer.message == "This server asks for 8 cores, and the cap is 2 cores of each user."


def test_a_restarted_server_counts_once() -> None:
    """What the new sandbox replaces is not counted, and its device goes on to the new one."""
    desk = pool(1)
    desk.quotas = of_each_user(servers=1, gpus=1)
    first = desk.ask("alice", "a", ONE)
    again = desk.ask("alice", "a", ONE)
    assert devices(first) == devices(again)
    assert desk.ask("alice", "b").code == "quota.servers.user"


def test_a_restart_keeps_its_device_though_others_wait() -> None:
    """Who has a device does not go behind the queue for it; who waits keeps the place."""
    desk = pool(1)
    desk.ask("alice", "a", ONE)
    assert place(desk.ask("bob", "", ONE)) == 1
    assert desk.ask("alice", "a", ONE).admitted
    assert place(desk.ask("bob", "", ONE)) == 1


def test_a_full_pool_gives_a_ticket_with_place_and_time() -> None:
    """The denial says how many are in use, the place and about when, and control says the time to retry."""
    desk = pool(2)
    desk.ask("alice", "", ONE, ttl=4 * 3600 + 40 * 60)
    desk.ask("bob", "", ONE, ttl=6 * 3600)
    answer = desk.ask("carol", "", ONE)
    assert (answer.code, place(answer)) == ("gpu.all_taken", 1)
    assert answer.message == "All 2 GPUs are in use; you are number 1, about 16:40 UTC."
    assert answer.retry_at == NOON + timedelta(hours=4, minutes=40)
    assert place(desk.ask("dave", "", ONE)) == 2


def test_asking_again_keeps_the_place() -> None:
    """The place is that of the first time, however often one asks."""
    desk = pool(1)
    desk.ask("alice", "", ONE)
    for user in ("bob", "carol", "bob", "carol"):
        desk.ask(user, "", ONE)
    assert place(desk.ask("bob", "", ONE)) == 1
    assert place(desk.ask("carol", "", ONE)) == 2


def test_a_newcomer_does_not_overtake() -> None:
    """A device that was freed is reserved for the first in the queue, for five minutes."""
    desk = pool(1)
    first = desk.ask("alice", "", ONE)
    desk.ask("bob", "", ONE)
    desk.release(first)
    assert place(desk.ask("carol", "", ONE)) == 1
    assert desk.ask("bob", "", ONE).admitted


def test_a_turn_that_is_not_taken_passes_on() -> None:
    """After five minutes the device is the next one's; who let it pass waits behind."""
    desk = pool(1)
    first = desk.ask("alice", "", ONE)
    desk.ask("bob", "", ONE)
    desk.ask("carol", "", ONE)
    desk.release(first)
    assert place(desk.ask("dave", "", ONE)) == 2
    desk.pass_time(minutes=5)
    assert place(desk.ask("bob", "", ONE)) == 2
    assert desk.ask("carol", "", ONE).admitted


def test_an_abandoned_ticket_is_dropped() -> None:
    """Half an hour after the promised time the place is gone."""
    desk = pool(1)
    desk.ask("alice", "", ONE, ttl=3600)
    desk.ask("bob", "", ONE)
    desk.pass_time(minutes=89)
    assert place(desk.ask("carol", "", ONE)) == 2
    desk.pass_time(minutes=1)
    assert place(desk.ask("carol", "", ONE)) == 1


def test_nobody_waits_for_more_than_the_cap() -> None:
    """A user with a cap of one GPU gets one place in the queue, not one with each server."""
    desk = pool(1)
    desk.quotas = of_each_user(gpus=1)
    desk.ask("alice", "", ONE)
    assert place(desk.ask("bob", "a", ONE)) == 1
    answer = desk.ask("bob", "b", ONE)
    assert (answer.code, answer.ticket) == ("quota.gpu.user", None)
    assert "wait for 1 with other servers" in answer.remedy


def test_a_kind_that_is_not_there_is_refused_without_a_ticket() -> None:
    """`gpu.none` names what there is; more than there is at all is `gpu.too_many`."""
    desk = pool(2)
    none = desk.ask("alice", "", GpuWish(count=1, kind="mig-1g.10gb"))
    many = desk.ask("alice", "", GpuWish(count=3))
    assert (none.code, none.ticket, many.code, many.ticket) == ("gpu.none", None, "gpu.too_many", None)
    assert "it has nvidia-h100" in none.message
    assert "asks for 3 GPUs, and this site has 2" in many.message


def test_a_split_gpu_is_not_given_whole() -> None:
    """With MIG instances on it, a GPU is given in parts only, and `any` never gives a part."""
    parts = tuple(GpuDevice(id=f"MIG-{n}", kind="mig-1g.10gb", parent="GPU-nvidia-h100-0") for n in (1, 2))
    desk = Desk(gpus=GpuInventory(devices=whole(2) + parts))
    assert devices(desk.ask("alice", "", ONE)) == ("GPU-nvidia-h100-1",)
    assert desk.ask("bob", "", ONE).code == "gpu.all_taken"
    assert devices(desk.ask("carol", "", GpuWish(count=2, kind="mig-1g.10gb"))) == ("MIG-1", "MIG-2")


def test_a_part_of_a_gpu_that_is_given_whole_is_not_given() -> None:
    """MIG that is switched on under a running server changes nothing until it ends."""
    desk = pool(1)
    first = desk.ask("alice", "", ONE)
    part = GpuDevice(id="MIG-1", kind="mig-1g.10gb", parent="GPU-nvidia-h100-0")
    desk.gpus = GpuInventory(devices=(*whole(1), part))
    wish = GpuWish(count=1, kind="mig-1g.10gb")
    assert not desk.ask("bob", "", wish).admitted
    desk.release(first)
    assert devices(desk.ask("bob", "", wish)) == ("MIG-1",)


def test_a_device_that_vanished_is_not_given() -> None:
    """A reserved device that is gone goes to nobody, and its ticket keeps the place."""
    desk = pool(2)
    both = desk.ask("alice", "", TWO)
    desk.ask("bob", "", ONE)
    desk.release(both)
    desk.ask("carol", "", TWO)
    desk.gpus = GpuInventory(devices=whole(2)[1:])
    assert devices(desk.ask("bob", "", ONE)) == ("GPU-nvidia-h100-1",)


def test_who_waits_for_two_is_not_starved() -> None:
    """One free device is set aside for the first in the queue, though the second needs only one."""
    desk = pool(2)
    desk.ask("alice", "", ONE)
    assert desk.ask("bob", "", TWO).message.startswith("1 of 2 GPUs is in use, and this server needs 2;")
    assert place(desk.ask("carol", "", ONE)) == 2


def test_other_kinds_do_not_wait_for_one_another() -> None:
    """A queue for one product holds up nobody who asks for another."""
    desk = Desk(gpus=GpuInventory(devices=whole(1) + whole(1, "nvidia-a100")))
    h100, a100 = GpuWish(count=1, kind="nvidia-h100"), GpuWish(count=1, kind="nvidia-a100")
    desk.ask("alice", "", h100)
    assert place(desk.ask("bob", "", h100)) == 1
    assert devices(desk.ask("carol", "", a100)) == ("GPU-nvidia-a100-0",)


def test_the_database_refuses_to_give_a_device_twice() -> None:
    """Whatever the code does, a second open allocation of a device is an error."""
    desk = pool(1)
    given = devices(desk.ask("alice", "", ONE))[0]
    row = {"device": given, "kind": "k", "parent": "", "sandbox": "s", "user": "u", "server": ""}
    with pytest.raises(IntegrityError):
        desk.within(lambda db: db.execute(insert(allocations).values(**row, profile="p", since=NOON)))


def test_used_gpu_hours_refuse_until_the_exact_time() -> None:
    """At the cap a start is refused with the instant from which it is not, and then it is admitted."""
    desk = pool(1)
    desk.quotas = of_each_user(gpu_hours=GpuHours(at_most=2, within=24 * 3600))
    first = desk.ask("alice", "", ONE, ttl=None)
    desk.pass_time(hours=3)
    desk.release(first)
    answer = desk.ask("alice", "", ONE)
    assert answer.code == "quota.gpu_hours.user"
    assert answer.message == "You have used 3.0 of 2 GPU-hours of the last 24 h."
    assert answer.retry_at == NOON + timedelta(hours=25, microseconds=1)
    desk.now = NOON + timedelta(hours=25)
    assert not desk.ask("alice", "", ONE).admitted
    desk.pass_time(microseconds=1)
    assert desk.ask("alice", "", ONE).admitted


def test_a_server_without_a_gpu_needs_no_gpu_hours() -> None:
    """Used GPU-hours refuse GPUs only."""
    desk = pool(1)
    desk.quotas = of_each_user(gpu_hours=GpuHours(at_most=0.5, within=24 * 3600))
    desk.ask("alice", "", ONE, ttl=None)
    desk.pass_time(hours=1)
    assert desk.ask("alice", "b", ONE).code == "quota.gpu_hours.user"
    assert desk.ask("alice", "b").admitted


def test_the_next_user_of_a_name_has_used_nothing() -> None:
    """A deleted user's devices are free, and neither hours nor place are inherited."""
    desk = pool(1)
    desk.quotas = of_each_user(gpu_hours=GpuHours(at_most=1, within=24 * 3600))
    desk.ask("alice", "", ONE, ttl=None)
    desk.pass_time(hours=2)
    desk.within(lambda db: users.put_away(db, "alice", desk.now))
    assert desk.ask("alice", "", ONE).admitted


def test_a_jump_of_the_clock_uses_no_gpu_hours() -> None:
    """After the clock jumped by a day, what runs has used as much as before, and places are kept."""
    desk = pool(1)
    desk.quotas = of_each_user(gpu_hours=GpuHours(at_most=2, within=48 * 3600))
    desk.ask("alice", "", ONE, ttl=None)
    desk.ask("bob", "", ONE)
    desk.pass_time(days=1)
    desk.within(lambda db: shift_deadlines(db, timedelta(days=1), desk.now))
    assert desk.ask("alice", "b", ONE).code == "gpu.all_taken"
    assert place(desk.ask("bob", "", ONE)) == 1


def test_places_in_the_queue_count_as_servers() -> None:
    """Who may have two servers waits with two at most; without the cap the third gets a place."""
    desk = pool(1)
    desk.ask("bob", "", ONE)
    free = [desk.ask("carol", name, ONE).code for name in ("a", "b", "c")]
    assert free == ["gpu.all_taken"] * 3
    desk.servers_per_user = 2
    codes = [desk.ask("alice", name, ONE).code for name in ("a", "b", "c")]
    assert codes == ["gpu.all_taken", "gpu.all_taken", "quota.servers.user"]


def test_an_inventory_that_misses_a_device_for_a_moment_takes_no_place() -> None:
    """Who asks while nothing is found is refused, and has the place when it is found again."""
    desk = pool(1)
    desk.ask("bob", "", ONE)
    place(desk.ask("alice", "", ONE))
    place(desk.ask("carol", "", ONE))
    whole_pool, desk.gpus = desk.gpus, GpuInventory()
    assert desk.ask("alice", "", ONE).code == "gpu.none"
    desk.gpus = whole_pool
    assert place(desk.ask("carol", "", ONE)) == 2
    assert place(desk.ask("alice", "", ONE)) == 1


def test_a_reserved_device_can_go_to_one_who_was_before() -> None:
    """A place that is given back takes over what was reserved for a later one, in one step."""
    desk = pool(2)
    first = desk.ask("alice", "", ONE)
    second = desk.ask("bob", "", ONE)
    place(desk.ask("carol", "", TWO))
    desk.within(lambda db: put_back(db, desk.now, second.spec or first.spec))  # type: ignore[arg-type]
    desk.release(first)
    desk.release(second)
    place(desk.ask("dora", "", ONE))  # carol's turn, or bob's
    assert desk.ask("bob", "", ONE).admitted
    assert not desk.ask("dora", "", ONE).admitted
