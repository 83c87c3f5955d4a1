"""Are datasets mounted by tags and approvals as they stand, and do lowering and approving take two?"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.clients.datasets import DatasetsClient
from jupyter_sandbox_spawner.control import catalogues
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.api_admin import AdminApi
from jupyter_sandbox_spawner.control.api_datasets import DatasetsApi
from jupyter_sandbox_spawner.control.api_public import PublicApi
from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.models import UserPlace
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules import page_cookies
from jupyter_sandbox_spawner.rules.admission import Admission, AdmissionRequest, terms_of
from jupyter_sandbox_spawner.rules.profiles import Defaults, to_spec
from jupyter_sandbox_spawner.serving import application, listening_socket, loopback_socket
from jupyter_sandbox_spawner.settings import Site

from .control_street import parts_of, street
from .test_control_api import Control

BOOK = """
profiles:
  - display_name: Study
    slug: study
    default: true
    sandbox: {cpu: 1, memory: 1G, ttl: 2d, extend: {by: 1h, at_most: 4h}, egress: ["example.org:443"],
              datasets: [cases, news]}
policy: {open_tags: [public, internal]}
datasets:
  - {id: cases, version: "1", uri: file:///srv/cases, owner: olga, tags: [TAG]}
  - {id: news, version: "1", uri: file:///srv/news, owner: olga, tags: [public]}
"""
WHY = "The study needs it."
Check = Callable[[str, bool], None]


@dataclass
class Place:
    """Control with a file of datasets, an admin's socket, and two admins with tokens."""

    parts: Parts
    site: Site
    url: str
    file: Path
    starts: int = 0

    async def write(self, tag: str, book: str = BOOK) -> None:
        """Write the file, with cases tagged so, and wait until it is old enough to be read."""
        await asyncio.to_thread(self.file.write_text, book.replace("TAG", tag))
        for _ in range(1000):
            if (await self.parts.terms.book()).datasets[0].tags == (tag,):
                return
            await asyncio.sleep(0.02)  # a file gives no event
        raise AssertionError(f"{tag} was never read")

    async def start(self, user: str = "alice", groups: tuple[str, ...] = ()) -> Admission:
        """A new start of this user's server."""
        self.starts += 1
        profile = (await self.parts.terms.book()).profiles[0]
        place = UserPlace(user=user, host_uid=3_000_001, home="/h", root_uid=3_000_000)
        new_id = sandbox_id(user, "", str(self.starts))
        spec = to_spec(profile, new_id, place, "", Defaults(environment="user"))
        request = AdmissionRequest(spec=spec, groups=groups, terms=terms_of(profile, None))
        return await Admissions(self.parts, lambda _: None).admit(request)

    async def say(self, verb: str, body: Any, who: str = "", about: str = "cases") -> Any:
        """An admin's command about a dataset: by token, or by the socket as this uid."""
        client = DatasetsClient(self.site, f"{who}-token" if who else "", self.url if who else "")
        try:
            return await client.ask(verb, about, body)
        finally:
            await client.close()

    async def refused(self, verb: str, body: Any, who: str = "") -> str:
        """The code with which a command is refused."""
        with pytest.raises(AnswerError) as error:
            await self.say(verb, body, who)
        return error.value.code

    async def audit(self, action: str) -> list[dict[str, Any]]:
        """The audit's lines of an action, oldest first."""
        lines = await self.parts.audit.lines(limit=500)
        return [line for line in reversed(lines) if line["action"] == action]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """It."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cd", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        file = Path(name, "profiles.yaml")
        await asyncio.to_thread(file.write_text, BOOK.replace("TAG", "phi"))
        tuning = Tuning(settle=0, tick=0.05)
        parts = await stack.enter_async_context(parts_of(here, tuning, profiles=str(file)))
        control = Control(here, parts)
        await control.serve(stack)
        site = Site(
            run_dir=f"{name}/run",
            state_dir=f"{name}/state",
            profiles=str(file),
            public_port=0,
            hub_port=0,
            proxy_api_port=0,
            front_port=0,
        )
        os.makedirs(f"{site.run_dir}/control")
        datasets, admin, public = DatasetsApi(parts), application(frozenset()), application(None)
        datasets.add_to(admin)
        reconciler = Reconciler(parts, control.stopper, control.lifetime)
        place = page_cookies.Place(prefix="/sandbox", hub="/hub")
        PublicApi(parts, AdminApi(parts, control.lifetime, reconciler, control.watcher), place).add_to(public)
        datasets.add_to(public, "/sandbox")
        listener = loopback_socket(0)
        for app, held in ((admin, listening_socket(site.control_socket("admin"))), (public, listener)):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, held).start()
        for who in ("olga", "otto", "alice"):
            scopes = ["custom:sandbox:admin"]
            here.hub.tokens[f"{who}-token"] = {"name": who, "kind": "user", "admin": True, "scopes": scopes}
        here.hub.tokens["bob-token"] = {"name": "bob", "kind": "user", "admin": False, "scopes": []}
        yield Place(parts, site, f"http://127.0.0.1:{listener.getsockname()[1]}/sandbox", file)


def mounts(answer: Admission) -> list[str]:
    """The datasets that an answer mounts; each must be read-only."""
    assert answer.admitted, answer
    assert answer.spec is not None
    found = [mount for mount in answer.spec.mounts if mount.kind == "dataset"]
    assert all(mount.read_only for mount in found)
    return [mount.dataset for mount in found]


def wish(**more: Any) -> dict[str, Any]:
    """An approval for alice."""
    return {"user": "alice", "until": "2027-01-31", "why": WHY, **more}


async def test_two_people_open_guarded_data(place: Place) -> None:
    """One person's word leaves it out, and says why; two mount it and narrow the sandbox."""
    answer = await place.start()
    assert mounts(answer) == ["news@1"]
    assert answer.spec is not None
    assert (answer.spec.zone, answer.spec.ttl, len(answer.spec.egress.rules)) == ("", 2 * 86400, 1)
    assert any("dataset.not_approved" in notice for notice in answer.notices)
    assert await place.say("approve", wish(), "olga") == {"done": False, "tag": "phi"}
    assert mounts(await place.start()) == ["news@1"]
    assert await place.say("approve", wish(), "otto") == {"done": True, "tag": "phi"}
    answer = await place.start()
    assert mounts(answer) == ["cases@1", "news@1"]
    assert answer.spec is not None
    assert answer.spec.zone == "phi"
    assert (answer.spec.ttl, answer.spec.egress.rules, answer.spec.browser.downloads) == (8 * 3600, (), False)
    assert mounts(await place.start("bob")) == ["news@1"]
    said = [
        (line["outcome"], line["detail"]["dataset"], line.get("code"))
        for line in await place.audit("dataset.mount")
    ]
    assert said[0] == ("denied", "cases@1", "dataset.not_approved")
    assert ("allowed", "cases@1", None) in said


async def test_one_person_is_never_two(place: Place) -> None:
    """The same admin again, and the one who would get it, are refused; so is whoever is no admin."""
    await place.say("approve", wish(), "olga")
    assert await place.refused("approve", wish(), "olga") == "dataset.same_person"
    assert await place.refused("approve", wish(), "alice") == "dataset.own_approval"
    assert await place.refused("approve", wish(), "bob") == "identity.no_admin"
    assert mounts(await place.start()) == ["news@1"]


async def test_the_socket_is_no_person(place: Place) -> None:
    """An account of the host may be the other one of two: it is heard at raising and revoking alone."""
    await place.say("approve", wish(), "olga")
    assert await place.refused("approve", wish()) == "dataset.no_person"
    await place.write("internal")
    lower = {"to": "internal", "why": WHY}
    assert await place.refused("lower", lower) == "dataset.no_person"
    assert await place.say("revoke", {"user": "alice"}) == {"revoked": 1}
    assert (await place.say("raise", {"to": "secret", "why": WHY}))["changed"] is True
    assert mounts(await place.start()) == ["news@1"]


async def test_a_member_does_not_approve_her_own_group(place: Place) -> None:
    """A group's approval counts for its members without the two who gave it."""
    lab = {"group": "lab", "until": "2027-01-31", "why": WHY}
    for who in ("olga", "alice"):
        await place.say("approve", lab, who)
    assert mounts(await place.start("alice", ("lab",))) == ["news@1"]
    assert mounts(await place.start("bob", ("lab",))) == ["cases@1", "news@1"]


async def test_approvals_end(place: Place) -> None:
    """By their day, the earlier of two; by one person's revocation; with the user; and when the tag rises."""
    await place.say("approve", wish(until="2026-11-26"), "olga")
    await place.say("approve", wish(), "otto")
    answer = await place.start()
    assert mounts(answer) == ["cases@1", "news@1"]
    place.parts.clock.pass_time(2 * 86400)  # type: ignore[attr-defined]
    assert mounts(await place.start()) == ["news@1"]
    for who in ("olga", "otto"):
        await place.say("approve", wish(), who)
    assert "cases@1" in mounts(await place.start())
    assert await place.say("revoke", {"user": "alice"}, "olga") == {"revoked": 2}
    assert mounts(await place.start()) == ["news@1"]
    for who in ("olga", "otto"):
        await place.say("approve", wish(), who)
    await place.say("raise", {"to": "secret", "why": WHY}, "olga")
    assert mounts(await place.start()) == ["news@1"]


async def test_a_raise_in_the_file_holds_and_a_lowering_does_not(place: Place) -> None:
    """The file alone, and one person, lower nothing; two people do, after the file was changed."""
    await place.start()  # the tag is known from here on
    lower = {"to": "internal", "why": WHY}
    assert await place.refused("lower", lower, "olga") == "dataset.file_higher"
    await place.write("internal")
    assert mounts(await place.start()) == ["news@1"]
    assert await place.say("lower", lower, "olga") == {"done": False}
    assert await place.refused("lower", lower, "olga") == "dataset.same_person"
    assert mounts(await place.start()) == ["news@1"]
    assert await place.say("lower", lower, "otto") == {"done": True}
    answer = await place.start()
    assert mounts(answer) == ["cases@1", "news@1"]
    assert answer.spec is not None
    assert answer.spec.zone == ""
    await place.write("pii")
    assert mounts(await place.start()) == ["news@1"]
    actions = {line["action"] for line in await place.parts.audit.lines(limit=500)}
    assert {"dataset.lowering", "dataset.lowered"} <= actions


async def test_a_raise_stops_what_runs_too_openly(place: Place) -> None:
    """A running sandbox that mounts what is guarded from now on is stopped, and its user told why."""
    await place.write("internal")
    running = await place.start()
    assert "cases@1" in mounts(running)
    assert running.spec is not None
    found = await place.say("raise", {"to": "pii", "why": WHY}, "olga")
    assert found == {"changed": True, "stopped": [running.spec.id]}
    assert mounts(await place.start()) == ["news@1"]


async def test_what_is_extended_and_told(place: Place) -> None:
    """In a zone the record has no extension; the same profile without guarded data has one."""
    from jupyter_sandbox_spawner.control import records

    before = await place.start()
    for who in ("olga", "otto"):
        await place.say("approve", wish(), who)
    after = await place.start()
    assert before.spec is not None
    assert after.spec is not None
    ids = [before.spec.id, after.spec.id]
    found = await place.parts.store.run(lambda db: {item.id: item for item in records.by_ids(db, ids)})
    assert [found[name].extend_by for name in ids] == [3600, None]


async def test_a_deleted_users_approvals_are_nobodys(place: Place) -> None:
    """A new user of the name begins without them."""
    from jupyter_sandbox_spawner.control import users

    for who in ("olga", "otto"):
        await place.say("approve", wish(), who)
    assert "cases@1" in mounts(await place.start())
    now = place.parts.clock.now()
    await place.parts.store.run(lambda db: users.put_away(db, "alice", now))
    assert mounts(await place.start()) == ["news@1"]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("approve", wish(until="2020-01-01")),
        ("approve", wish(group="lab")),
        ("approve", wish(user="")),
        ("approve", wish(why=" ")),
        ("lower", {"to": "PHI", "why": WHY}),
        ("raise", {"to": "", "why": WHY}),
    ],
)
async def test_bad_commands(place: Place, verb: str, body: Any) -> None:
    """A day that is over, both or neither of user and group, no reason, and a tag that is none: refused."""
    assert await place.refused(verb, body, "olga") in ("configuration.invalid", "wire.invalid")


class Plugin:
    """An installed catalogue: it answers with tags, or raises what it was told to."""

    answers: Mapping[str, Sequence[str]] | Exception = RuntimeError("not asked yet")

    @classmethod
    def call(cls) -> Mapping[str, Sequence[str]]:
        """As the entry point is called."""
        if isinstance(cls.answers, Exception):
            raise cls.answers
        return cls.answers


async def test_another_catalogue_raises_and_its_failure_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its first answer all is secret; an unknown word counts as secret; a failure keeps the last good
    answer and is in the audit; and an answer with less lowers nothing."""
    point = EntryPoint("lineage", f"{__name__}:Plugin.call", catalogues.GROUP)
    monkeypatch.setattr(catalogues, "_installed", lambda: (point,))
    monkeypatch.setattr(catalogues, "_EVERY", 0.0)
    assert mounts(await place.start()) == []
    asked = catalogues.Catalogues(place.parts)
    Plugin.answers = {"cases@1": ["internal"]}
    await asyncio.wait_for(asked.step(), 20)
    assert mounts(await place.start()) == ["news@1"]
    Plugin.answers = {"news": ["Confidential"]}
    await asyncio.wait_for(asked.step(), 20)
    assert mounts(await place.start()) == []
    Plugin.answers = RuntimeError("no route")
    await asyncio.wait_for(asked.step(), 20)
    assert "no route" in asked.trouble["lineage"]
    assert [line["detail"]["catalogue"] for line in await place.audit("catalogue.failed")] == ["lineage"]
    Plugin.answers = {"news": ["public"]}
    await asyncio.wait_for(asked.step(), 20)
    assert asked.trouble == {}
    assert mounts(await place.start()) == []
