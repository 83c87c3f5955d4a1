"""Is a user told what is free, why not, and which place in the queue, before anything is started?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from jupyter_sandbox_spawner.control.offers import Looking, offers
from jupyter_sandbox_spawner.control.tables_ledger import tickets
from jupyter_sandbox_spawner.gpus import GpuInventory, GpuWish
from jupyter_sandbox_spawner.models import Resources
from jupyter_sandbox_spawner.rules.offers import Offer
from jupyter_sandbox_spawner.rules.prices import Prices
from jupyter_sandbox_spawner.rules.profile_options import OptionChoice, ProfileOption
from jupyter_sandbox_spawner.rules.profiles import Profile
from jupyter_sandbox_spawner.rules.quotas import Caps, Quotas, UserQuota
from jupyter_sandbox_spawner.rules.rulebook import Rulebook

from .ledger_desk import NOON, Desk, whole

ONE = GpuWish(count=1)
SMALL = Resources(cpu=1, memory=1 << 30)
CPU = Profile(slug="cpu", display_name="CPU", resources=SMALL)
GPU = Profile(slug="lab", display_name="GPU", resources=SMALL, gpu=ONE, ttl=3600)
CLOSED = Profile(slug="closed", display_name="Closed", resources=SMALL, allowed_groups=("staff",))


def desk(devices: int = 2, **caps: int) -> Desk:
    """A desk with so many GPUs and caps of each user."""
    quotas = Quotas(users=(UserQuota(caps=Caps(**caps)),))
    return Desk(gpus=GpuInventory(devices=whole(devices)), quotas=quotas)


def option(*choices: OptionChoice) -> ProfileOption:
    """A question with these choices."""
    return ProfileOption(slug="size", display_name="Size", choices=choices)


def looked(here: Desk, user: str = "alice", server: str = "", *more: Profile) -> dict[str, Offer]:
    """What this user sees."""
    book = Rulebook(profiles=(CPU, GPU, CLOSED, *more), quotas=here.quotas)
    looking = Looking(user=user, server=server, groups=("lab",), book=book, gpus=here.gpus)
    found = here.within(lambda db: offers(db, here.now, looking))
    return {offer.slug: offer for offer in found}


def test_what_is_free_is_counted() -> None:
    """A free pool is counted, a profile without a GPU says nothing, another group's says why."""
    here = desk(2)
    here.ask("bob", "", ONE)
    found = looked(here)
    assert found["cpu"] == Offer(slug="cpu", allowed=True)
    assert found["lab"] == Offer(slug="lab", allowed=True, free="1 of 2 GPUs free")
    assert (found["closed"].allowed, found["closed"].code) == (False, "profile.not_allowed")
    assert "staff" in found["closed"].reason


def test_a_full_pool_shows_the_place_that_one_would_take() -> None:
    """Nothing is free: when the next is, and which place starting would take; the profile can be chosen."""
    here = desk(1)
    here.ask("bob", "", ONE, ttl=4 * 3600 + 40 * 60)
    here.ask("carol", "", ONE)
    offer = looked(here)["lab"]
    assert (offer.allowed, offer.code, offer.position) == (True, "gpu.all_taken", None)
    assert offer.free == "0 of 1 GPU free, next about 17:40 UTC; starting takes place 2 in the queue"
    assert offer.eta == NOON + timedelta(hours=5, minutes=40)


def test_who_waits_sees_the_place_and_then_the_turn() -> None:
    """The place of this server's ticket; 0 when its turn has come."""
    here = desk(1)
    first = here.ask("bob", "", ONE)
    here.ask("alice", "", ONE)
    assert "you are number 1 in the queue" in looked(here)["lab"].free
    assert looked(here)["lab"].position == 1
    here.release(first)
    assert (looked(here)["lab"].position, looked(here)["lab"].free) == (0, "1 of 1 GPU free")
    assert looked(here, "carol")["lab"].free.startswith("0 of 1 GPU free")


def test_looking_begins_no_turn() -> None:
    """However often somebody looks, no five minutes begin and no ticket is dropped."""
    here = desk(1)
    first = here.ask("bob", "", ONE)
    here.ask("alice", "", ONE)
    here.release(first)
    looked(here, "carol")
    rows = here.within(lambda db: db.execute(tickets.select()).all())
    assert [row.reserved_until for row in rows] == [None]


def test_a_cap_is_said_before_the_start() -> None:
    """What the ledger would refuse is refused here with the same code and sentence."""
    here = desk(2, gpus=1)
    here.ask("alice", "other", ONE)
    denied = here.ask("alice", "", ONE)
    offer = looked(here)["lab"]
    assert (offer.allowed, offer.code) == (False, "quota.gpu.user")
    assert offer.reason == f"{denied.message} {denied.remedy}"
    assert looked(here)["cpu"].allowed


def test_the_running_server_does_not_stand_in_its_own_way() -> None:
    """Starting a server again is offered though it runs at the cap, and its device counts as free."""
    here = desk(1, servers=1, gpus=1)
    here.ask("alice", "", ONE)
    assert looked(here)["lab"] == Offer(slug="lab", allowed=True, free="1 of 1 GPU free")
    assert looked(here, server="b")["lab"].code == "quota.servers.user"


def test_a_profile_s_own_cap_of_servers_holds_in_the_form() -> None:
    """`servers_per_user` of a profile is looked at as admission does."""
    here = desk(1)
    here.ask("alice", "other")
    one = replace(CPU, slug="one", servers_per_user=1)
    found = looked(here, "alice", "", one)
    assert (found["one"].code, found["cpu"].allowed) == ("quota.servers.user", True)


def test_the_default_choice_is_what_is_offered() -> None:
    """A profile that is too large as written is offered as its default choice makes it; its GPUs are said."""
    here = desk(2, memory=8 << 30)
    large, small = {"memory": "32G"}, {"memory": "4G", "gpu": {"count": 1}}
    sizes = (
        OptionChoice(slug="large", display_name="Large", overrides=large),
        OptionChoice(slug="small", display_name="Small", overrides=small, default=True),
    )
    resources = Resources(cpu=1, memory=32 << 30)
    sized = replace(CPU, slug="sized", resources=resources, options=(option(*sizes),))
    offer = looked(here, "alice", "", sized)["sized"]
    assert offer == Offer(slug="sized", allowed=True, free="2 of 2 GPUs free")


def test_a_profile_is_open_where_another_choice_may_fit() -> None:
    """What the default choice may not have is said beside the card; a cap that no choice mends closes it."""
    here = desk(0, memory=8 << 30, servers=1)
    sizes = (
        OptionChoice(slug="large", display_name="Large", overrides={"memory": "32G"}, default=True),
        OptionChoice(slug="small", display_name="Small", allowed_groups=("lab",)),
    )
    sized = replace(CPU, slug="sized", options=(option(*sizes),))
    closed = replace(CPU, slug="fixed", options=(option(sizes[0]),))
    found = looked(here, "alice", "", sized, closed)
    assert (found["sized"].allowed, found["sized"].code) == (True, "quota.memory.user")
    assert found["sized"].free.startswith("With its default choices: This server asks for 32.0 GB")
    assert (found["fixed"].allowed, found["fixed"].code) == (False, "quota.memory.user")
    here.ask("alice", "other")
    assert (looked(here, "alice", "", sized)["sized"].allowed) is False


@pytest.mark.parametrize(("gpus", "allowed"), [(GpuInventory(), False), (None, True)])
def test_no_gpu_is_told_from_no_answer(gpus: GpuInventory | None, allowed: bool) -> None:
    """A host without GPUs offers none; where the launcher is silent nothing is said."""
    here = desk(0)
    book = Rulebook(profiles=(GPU,))
    looking = Looking(user="alice", server="", groups=(), book=book, gpus=gpus)
    (offer,) = here.within(lambda db: offers(db, here.now, looking))
    assert (offer.allowed, offer.code) == (allowed, "" if allowed else "gpu.none")


def test_an_offer_has_the_price_of_an_hour() -> None:
    """With prices: the default choices', and what each choice that may be taken adds; without: none."""
    large = OptionChoice(slug="large", display_name="Large", overrides={"cpu": 5})
    small = OptionChoice(slug="small", display_name="Small", default=True, overrides={"cpu": 2})
    shut = OptionChoice(slug="shut", display_name="Shut", allowed_groups=(), overrides={"cpu": 9})
    sized = replace(CPU, slug="sized", options=(option(small, large, shut),))
    here = desk(1)
    prices = Prices(currency="EUR", cpu_hour=0.1, gpu_hour={"any": 2.0})
    book = Rulebook(profiles=(CPU, GPU, CLOSED, sized), prices=prices)
    looking = Looking(user="alice", server="", groups=("lab",), book=book, gpus=here.gpus)
    found = {offer.slug: offer for offer in here.within(lambda db: offers(db, here.now, looking))}
    assert {slug: offer.price for slug, offer in found.items()} == pytest.approx(
        {"cpu": 0.1, "lab": 2.1, "closed": 0.1, "sized": 0.2}
    )
    assert found["sized"].choice_adds == pytest.approx({"size.small": 0.1, "size.large": 0.4})
    assert {offer.currency for offer in found.values()} == {"EUR"}
    assert looked(here)["cpu"].price is None
