"""Do caps, devices and the queue hold whatever is asked, released, given up and waited for, in any order?"""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from jupyter_sandbox_spawner.control import waiting
from jupyter_sandbox_spawner.control.tables_ledger import allocations, holdings, tickets
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory, GpuWish
from jupyter_sandbox_spawner.rules.admission import Admission
from jupyter_sandbox_spawner.rules.queue import Turn, matches
from jupyter_sandbox_spawner.rules.quotas import Caps, GroupQuota, Quotas, UserQuota

from .ledger_desk import Desk, whole

PARTS = tuple(GpuDevice(id=f"MIG-{n}", kind="mig-1g.10gb", parent="GPU-nvidia-a100-0") for n in range(2))
POOL = whole(3) + whole(2, "nvidia-a100") + PARTS
KINDS = {device.id: device for device in POOL}
GROUPS = {"alice": ("lab",), "bob": ("lab",), "carol": (), "dave": ("lab", "other")}
WISHES = (
    None,
    GpuWish(count=1),
    GpuWish(count=2),
    GpuWish(count=1, kind="nvidia-h100"),
    GpuWish(count=2, kind="nvidia-h100"),
    GpuWish(count=1, kind="mig-1g.10gb"),
)
QUOTAS = Quotas(
    users=(UserQuota(caps=Caps(servers=3, gpus=3)),),
    groups=(GroupQuota(group="lab", caps=Caps(cpu=6, gpus=4)),),
)
ASKS = st.tuples(
    st.just("ask"), st.sampled_from(sorted(GROUPS)), st.sampled_from(("", "b")), st.sampled_from(WISHES)
)
STEPS = st.one_of(
    ASKS,
    ASKS,
    ASKS,
    st.tuples(st.just("release"), st.integers(0, 20)),
    st.tuples(st.just("pass"), st.sampled_from((1, 4, 6, 40))),
    st.tuples(st.just("give up"), st.integers(0, 20)),
)


class Sequence:
    """One run of steps, with what must hold after each."""

    def __init__(self) -> None:
        self.desk = Desk(gpus=GpuInventory(devices=POOL), quotas=QUOTAS, at_most=Caps(servers=7))
        self.open: dict[tuple[str, str], Admission] = {}

    def step(self, step: tuple[object, ...]) -> None:
        """Do it and look."""
        match step:
            case ("ask", str(user), str(server), wish):
                self.ask(user, server, wish)  # type: ignore[arg-type]
            case ("release", int(number)) if self.open:
                name = sorted(self.open)[number % len(self.open)]
                self.desk.release(self.open.pop(name))
            case ("pass", int(minutes)):
                self.desk.pass_time(minutes=minutes)
            case ("give up", int(number)):
                self.give_up(number)
        self.caps_hold()

    def ask(self, user: str, server: str, wish: GpuWish | None) -> None:
        """Ask, and see that nobody was overtaken."""
        before = self.queue()
        mine = {turn.waiting.id for turn in before if self.owner(turn) == (user, server)}
        held = self.devices_of(self.open.get((user, server)))
        answer = self.desk.ask(user, server, wish, GROUPS[user])
        if not answer.admitted:
            return
        self.open[user, server] = answer
        given = self.devices_of(answer)
        assert len(given) == (wish.count if wish else 0)
        assert all(matches(KINDS[device], wish.kind) for device in given if wish)
        ahead = [turn for turn in self.queue() if not mine or turn.waiting.id < min(mine)]
        for turn in ahead:
            taken = [device for device in given - held if matches(KINDS[device], turn.waiting.kind)]
            assert turn.due or not taken, f"{turn} was overtaken by {user}/{server}: {taken}"

    def give_up(self, number: int) -> None:
        """Somebody gives up the place."""
        found = [turn.waiting.id for turn in self.queue()]
        if found:
            self.desk.within(lambda db: waiting.drop(db, found[number % len(found)]))

    def caps_hold(self) -> None:
        """No sum is above its cap, no device is given twice, and what is written is what was admitted."""
        rows = self.desk.within(
            lambda db: db.execute(select(holdings).where(holdings.c.until.is_(None))).all()
        )
        servers, gpus, cores = Counter[str](), Counter[str](), Counter[str]()
        for row in rows:
            servers[f"{row.scope} {row.name}"] += 1
            gpus[f"{row.scope} {row.name}"] += row.gpus
            cores[f"{row.scope} {row.name}"] += row.cpu
        assert all(servers[f"user {user}"] <= 3 and gpus[f"user {user}"] <= 3 for user in GROUPS)
        assert (gpus["group lab"] <= 4, cores["group lab"] <= 6, servers["profile lab"] <= 7) == (True,) * 3
        query = select(allocations.c.device).where(allocations.c.until.is_(None))
        written = Counter(self.desk.within(lambda db: db.execute(query).scalars().all()))
        assert written == Counter(
            device for answer in self.open.values() for device in self.devices_of(answer)
        )
        assert all(count == 1 for count in written.values())

    def queue(self) -> tuple[Turn, ...]:
        """Who waits, without a turn beginning."""
        return self.desk.within(lambda db: waiting.look(db, self.desk.now, self.desk.gpus)).turns

    def owner(self, turn: Turn) -> tuple[str, str]:
        """Whose turn it is."""
        owner = self.desk.within(lambda db: waiting.owner_of(db, turn.waiting.id))
        return (owner.user, owner.server) if owner else ("", "")

    def devices_of(self, answer: Admission | None) -> set[str]:
        """What an admitted sandbox was given."""
        return set(answer.spec.gpu_devices) if answer and answer.spec else set()

    def finish(self) -> None:
        """When all has ended and nobody asked for a day, everything is free again."""
        for answer in self.open.values():
            self.desk.release(answer)
        self.desk.pass_time(days=2)
        assert self.desk.ask("erin", "", GpuWish(count=3, kind="nvidia-h100")).admitted
        left = self.desk.within(lambda db: db.execute(select(tickets)).all())
        assert not left


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_no_sequence_breaks_a_cap_or_the_queue(steps: list[tuple[object, ...]]) -> None:
    """Caps hold, no device is given twice, nobody is overtaken, and nothing stays taken at the end."""
    sequence = Sequence()
    for step in steps:
        sequence.step(step)
    sequence.finish()
