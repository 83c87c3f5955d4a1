"""Does what a sandbox got from Vault end with it, however it ends? C06, checks 6 to 8, 22."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hub_config.demo.endings import ending
from hub_config.demo.visitor import Refusal
from hub_config.vault.own_postgres import DATABASE, Rejected
from tests.attacks.vault.place import LEASED, VaultPlace
from tests.support.house import House

Control = Callable[[str, bool], None]
SOON = 5.0  # seconds: the promise
COUNT = "SELECT count(*) FROM visits"


class Credential:
    """What one sandbox got: its login at Vault, and a user of the database that works."""

    def __init__(self, place: VaultPlace, name: str, profile: str = "small") -> None:
        self.place, self.name = place, name
        self.sandbox = place.house.server(name, profile)
        self.login = place.read(name, LEASED)
        self.accessor = place.accessor(self.sandbox)
        assert self.works(), "it worked"
        assert place.lives(self.accessor)

    def works(self) -> bool:
        """Does the database let its user in?"""
        try:
            return self.place.postgres.sql_as(self.login["username"], self.login["password"], COUNT) == ["2"]
        except Rejected as refused:
            if "authentication failed" not in str(refused):
                raise
            return False

    def is_over(self) -> bool:
        """Is its user dropped, its login unknown to Vault, and nothing of it waiting at the broker?"""
        dropped = self.login["username"] not in self.place.postgres.users()
        return dropped and not self.place.lives(self.accessor) and not self.place.kept(self.sandbox)

    def ends_soon(self) -> float:
        """Seconds until it is over, which must be few."""
        took = self.place.seconds_until(self.is_over)
        assert took < SOON
        assert not self.works()
        return took


@pytest.mark.proves("C06", "S06", "S22")
def test_c06_a_stop_ends_user_and_token(place: VaultPlace) -> None:
    """Two people have two users; who stops loses hers within 5 s, and the other works on."""
    mine, other = Credential(place, "alice"), Credential(place, "bob")
    assert mine.login["username"] != other.login["username"]
    assert (f"sb_alice_{DATABASE}_" in mine.login["username"], "sb_bob_" in other.login["username"]) == (
        True,
        True,
    )
    place.house.stop("alice")
    print(f"over {mine.ends_soon()} s after the stop had returned")
    assert other.works()
    said = [line for line in _audit(place.house, "alice") if line["action"] == "secret.revoked"]
    assert mine.accessor in str(said)


def _audit(house: House, user: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = house.ask_control(lambda client: client.audit(user=user, limit=200))[
        "items"
    ]
    return found


@pytest.mark.proves("C06")
def test_c06_the_time_of_a_server_is_up(place: VaultPlace) -> None:
    """A server that is ended for its age loses all the same."""
    place.house.fresh("alice")
    place.house.stop("alice")
    mine = Credential(place, "alice", "short")
    why = place.house.wait(ending(place.house.visitor("alice"), 90))
    assert "time was up" in why
    print(f"over {mine.ends_soon()} s after the end was on the page")


@pytest.mark.proves("C06")
def test_c06_a_hub_that_is_killed_ends_nothing_early_and_nothing_late(
    place: VaultPlace, control: Control
) -> None:
    """While the sandbox runs on without its hub the user works; stopped afterwards, it ends."""
    mine = Credential(place, "alice")
    place.house.wait(place.house.programs.kill(["hub"]))
    control("it works on", mine.works())
    place.house.stop("alice")
    print(f"over {mine.ends_soon()} s after the stop")


@pytest.mark.proves("C06")
def test_c06_a_sandbox_that_dies_while_the_hub_is_away(place: VaultPlace) -> None:
    """Nobody at the hub saw it die: control did, and the broker ends what it had."""
    mine = Credential(place, "alice")
    house = place.house

    async def both() -> None:
        await house.programs.kill(["hub"])

    killing = house.wait_later(both())
    house.ask_launcher(lambda client: client.stop(mine.sandbox, 0.0))
    took = mine.ends_soon()
    killing.result(120)
    print(f"over {took} s after its death")
    house.server("alice")


@pytest.mark.proves("C06")
def test_c06_a_start_that_fails_leaves_nothing(place: VaultPlace, control: Control) -> None:
    """A server that cannot start had logged in at Vault for its secret; that login ends."""
    house = place.house
    if house.sandbox("alice") is not None:
        house.stop("alice")
    place.seconds_until(lambda: len(place.logins("alice")) == 0)
    with pytest.raises(Refusal):
        house.wait(house.visitor("alice").start("hopeless"), 180)
    made = [line for line in _audit(house, "alice") if line["action"] == "secret.issued"]
    control("it had logged in", made[0]["subject"] == _audit(house, "alice")[0]["subject"])
    took = place.seconds_until(lambda: len(place.logins("alice")) == 0)
    assert took < SOON
    print(f"over {took} s after the failure")


@pytest.mark.proves("C06", "S08")
def test_c06_a_killed_broker_needs_nobody(place: VaultPlace, control: Control) -> None:
    """After kill -9 her user works on, a login that made none is ended, and the stop ends all."""
    house = place.house
    mine, other = Credential(place, "alice"), house.fresh("bob")
    assert house.run("bob", "import jupyter_sandbox; jupyter_sandbox.secrets('warehouse/reader')").ok
    lost = place.accessor(other)
    control("bob's login lives", place.lives(lost))
    house.wait(house.programs.kill(["broker"]))
    took = place.seconds_until(lambda: not place.lives(lost))
    assert took < SOON
    assert mine.works()
    assert place.lives(mine.accessor)
    cell = house.run("bob", "import jupyter_sandbox; print(jupyter_sandbox.secrets('warehouse/reader'))")
    assert "<secret warehouse/reader" in cell.stdout, cell
    house.stop("alice")
    print(f"the lost login {took} s after the broker was back; hers {mine.ends_soon()} s after the stop")


@pytest.mark.proves("C06", "S07")
def test_c06_a_stop_does_not_wait_for_vault(place: VaultPlace, control: Control) -> None:
    """Vault hangs: the stop is as fast as ever; killed broker and hub later, all ends when Vault is back."""
    mine = Credential(place, "alice")
    place.way.hang()
    begun = time.monotonic()
    place.house.stop("alice")
    stopped = time.monotonic() - begun
    assert stopped < SOON
    place.seconds_until(lambda: all(row["ending"] for row in place.kept(mine.sandbox)), 60)
    control("Vault was not told yet", mine.works() and place.lives(mine.accessor))
    place.house.wait(place.house.programs.kill(["broker", "hub"]))
    assert place.kept(mine.sandbox), "what must end is on disk"
    assert mine.works()
    place.way.pass_on()
    took = place.seconds_until(mine.is_over, 60)
    print(f"the stop took {stopped:.2f} s; over {took} s after Vault was back")
    assert took < 20
    assert not mine.works()


@pytest.mark.proves("C06")
def test_c06_a_deleted_user_has_nothing_left(place: VaultPlace) -> None:
    """The admin deletes bob while his server runs: user and token end with it; he may come again."""
    mine = Credential(place, "bob")
    admin = place.house.visitor("admin")
    place.house.wait(admin.open(admin.hub("home")))
    place.house.wait(admin.call("DELETE", admin.hub("api/users/bob")))
    print(f"over {mine.ends_soon()} s after the deletion")
