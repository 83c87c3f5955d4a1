"""Does a raised tag stop everything that shows the files too openly, and undo what was said before it?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.control.adopting import Adopted, adopt
from jupyter_sandbox_spawner.control.records import SandboxRecord
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.names import sandbox_id

from .test_control_datasets import BOOK, WHY, Place, mounts, place, wish

__all__ = ["place"]


async def test_a_raise_outdates_the_first_word_for_a_lowering(place: Place) -> None:
    """What one of two said before a raise, by command or in the file, is not completed after it."""
    await place.start()
    lower = {"to": "internal", "why": WHY}
    await place.write("internal")
    assert await place.say("lower", lower, "olga") == {"done": False}
    await place.say("raise", {"to": "secret", "why": WHY}, "otto")
    assert await place.say("lower", lower, "otto") == {"done": False}
    assert await place.say("lower", lower, "olga") == {"done": True}


async def test_a_raise_stops_what_shows_the_same_files(place: Place) -> None:
    """Another dataset in the same directory is raised with it, and what mounts that is stopped, too."""
    part = '  - {id: part, version: "1", uri: file:///srv/cases/part, owner: olga, tags: [internal]}\n'
    await place.write("internal", BOOK.replace("datasets: [cases, news]", "datasets: [part, news]") + part)
    running = await place.start()
    assert mounts(running) == ["part@1", "news@1"]
    assert running.spec is not None
    found = await place.say("raise", {"to": "pii", "why": WHY}, "olga")
    assert found == {"changed": True, "stopped": [running.spec.id]}


async def test_a_raise_stops_who_has_no_approval(place: Place) -> None:
    """A zone that is guarded enough does not replace two people's word for what is guarded from now on."""
    await place.write("pii", BOOK.replace("tags: [public]", "tags: [internal]"))
    for who in ("olga", "otto"):
        await place.say("approve", wish(), who)
        await place.say("approve", wish(user="bob"), who)
    running, other = await place.start(), await place.start("bob")
    assert mounts(running) == mounts(other) == ["cases@1", "news@1"]
    assert running.spec is not None
    for who in ("olga", "otto"):
        await place.say("raise", {"to": "internal", "why": WHY}, who, "news")
        await place.say("approve", {"user": "bob", "until": "2027-01-31", "why": WHY}, who, "news")
    # An approval for less guarded data is none for pii.
    assert other.spec is not None
    found = await place.say("raise", {"to": "pii", "why": WHY}, "olga", "news")
    assert sorted(found["stopped"]) == sorted([running.spec.id, other.spec.id])


async def test_a_raise_reaches_adopted_ones_and_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose mounts nobody knows is stopped where its zone is too open; one failure holds up no other."""
    await place.write("internal")
    now, ids = place.parts.clock.now(), [sandbox_id(who, "", "1") for who in ("carol", "dan", "eve")]
    for found, who, zone in zip(ids, ("carol", "dan", "eve"), ("", "", "phi"), strict=True):
        lost = Adopted(id=found, user=who, server="", profile="study", ttl=None, idle_timeout=None, zone=zone)
        await place.parts.store.run(lambda db, lost=lost: adopt(db, lost, now))
    running = await place.start()
    assert running.spec is not None
    stop, stopped = Stopper.stop, []

    async def once(self: Stopper, record: SandboxRecord, *words: str) -> bool:
        if record.id == ids[0]:
            raise AnswerError("full", code="audit.full")
        stopped.append(record.id)
        return await stop(self, record, *words)

    for who in ("olga", "otto"):
        await place.say("approve", wish(user="eve"), who)
    monkeypatch.setattr(Stopper, "stop", once)
    body = {"to": "internal", "why": WHY}
    assert await place.say("raise", body, "olga") == {"changed": False, "stopped": []}
    assert await place.refused("raise", {"to": "pii", "why": WHY}, "olga") == "dataset.not_stopped"
    assert sorted(stopped) == sorted([ids[1], ids[2], running.spec.id])
