"""Do the admin's rules of time hold in control: closed hours, an edit while servers run, GPUs?"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from jupyter_sandbox_spawner.control import happenings, records
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.judging import Judge, limits_of
from jupyter_sandbox_spawner.control.offers import Looking, offers
from jupyter_sandbox_spawner.control.parts import Parts
from jupyter_sandbox_spawner.control.records import SandboxRecord
from jupyter_sandbox_spawner.models import Resources, SandboxSpec
from jupyter_sandbox_spawner.rules.admission import AdmissionRequest, terms_of
from jupyter_sandbox_spawner.rules.lifetimes import LifetimeRule, Lifetimes, Weekly
from jupyter_sandbox_spawner.rules.profiles import Profile, profile_digest
from jupyter_sandbox_spawner.rules.rulebook import Rulebook

from .control_neighbours import START, asked, spec
from .control_street import Street, parts_of
from .test_control_lifetime import TUNING, Running, here

__all__ = ["here"]

# START is a Wednesday, 12:00 UTC: 13:00 in Berlin.
LUNCH = {"name": "lunch", "hours": [{"days": ["wed"], "from": "12:30", "to": "14:00"}], "closed": True}
PROFILES = [
    {"display_name": "Small", "slug": "cpu-small", "default": True, "sandbox": {"cpu": 1, "memory": "1G"}}
]


def write_rules(file: Path, *rules: dict[str, Any]) -> None:
    """The admin edits the file; an editor is never so fast that half of it could be read."""
    lifetime = {"lifetime": {"timezone": "Europe/Berlin", "rules": list(rules)}} if rules else {}
    file.write_text(json.dumps({"profiles": PROFILES, **lifetime}))
    long_ago = time.time() - 3600 + sum(map(len, map(str, rules)))
    os.utime(file, (long_ago, long_ago))


async def request_for(parts: Parts, wanted: SandboxSpec) -> AdmissionRequest:
    """As the hub plugin would ask for it, by the file."""
    profile = await parts.terms.profile("cpu-small")
    assert profile is not None
    found = replace(wanted, profile_digest=profile_digest(profile))
    return AdmissionRequest(spec=found, terms=terms_of(profile, None))


async def test_a_start_in_closed_hours_is_refused_until_the_opening(
    here: Street, control: Callable[[str, bool], None]
) -> None:
    """The refusal names the rule and the next opening in the site's zone, is audited, and ends with it."""
    file = here.directory / "profiles.yaml"
    write_rules(file, LUNCH)
    async with parts_of(here, TUNING, str(file)) as parts:
        admissions = Admissions(parts, lambda sandbox: None)
        request = await request_for(parts, spec())
        answer = await admissions.admit(request)
        assert (answer.admitted, answer.code) == (False, "schedule.closed")
        assert "lunch" in answer.message
        assert "14:00 (Europe/Berlin)" in answer.message
        assert answer.retry_at == START + timedelta(hours=1)
        await parts.denials.close_windows()
        assert "schedule.closed" in (here.directory / "audit/audit.ndjson").read_text()
        here.clock.pass_time(3599)
        assert not (await admissions.admit(request)).admitted
        here.clock.pass_time(1)
        control("it is open at the instant that was named", (await admissions.admit(request)).admitted)


async def test_a_form_says_that_it_is_closed(here: Street) -> None:
    """The offer of a closed profile says until when; that of an open one nothing."""
    hours = Weekly(days=(2,), begins=12 * 60 + 30, ends=14 * 60)
    rule = LifetimeRule(name="lunch", profiles=("one",), hours=(hours,), closed=True)
    profiles = tuple(
        Profile(slug=slug, display_name=slug, resources=Resources(cpu=1, memory=1 << 30))
        for slug in ("one", "two")
    )
    book = Rulebook(profiles=profiles, lifetime=Lifetimes(timezone="Europe/Berlin", rules=(rule,)))
    async with parts_of(here, TUNING) as parts:
        looking = Looking(user="alice", server="", groups=(), book=book, gpus=None)
        first, second = await parts.store.run(lambda db: offers(db, START, looking))
    assert (first.allowed, first.code, first.eta) == (False, "schedule.closed", START + timedelta(hours=1))
    assert second.allowed


async def test_what_runs_ends_when_the_hours_begin_with_warnings(here: Street) -> None:
    """Three warnings, a request to save, then the end by the rule."""
    file = here.directory / "profiles.yaml"
    evening = {"name": "evening", "hours": [{"days": ["wed"], "from": "14:00", "to": "15:00"}]}
    write_rules(file, {**evening, "closed": True})
    async with parts_of(here, TUNING, str(file)) as parts:
        running = Running(parts)
        request = await request_for(parts, spec())
        assert (await Admissions(parts, running.lifetime.watch).admit(request)).admitted
        here.running(request.spec, START)
        for seconds in (1790, 20, 1190, 480, 95, 20):
            here.clock.pass_time(seconds)
            await running.turn()
        assert here.hub.deleted == []
        here.clock.pass_time(5)
        await running.turn()
        found = await running.record(request.spec)
        events = await parts.store.run(lambda db: happenings.events_of(db, request.spec.id, 0))
    assert here.hub.deleted == [("alice", "")]
    assert found.stop_code == "stop.schedule"
    assert [event["kind"] for event in events] == ["warning"] * 3 + ["save", "stopping"]
    assert {event["detail"].get("rule", "evening") for event in events} == {"evening"}


@pytest.mark.parametrize("rule", [{"name": "short", "idle_timeout": "10m"}, LUNCH], ids=["idle", "closed"])
async def test_an_edit_of_the_rules_is_seen_at_once_and_ends_nobody_without_a_warning(
    here: Street, rule: dict[str, Any]
) -> None:
    """Every open server is judged by the new rule in the next pass; who is over its limit is warned first."""
    file = here.directory / "profiles.yaml"
    write_rules(file)
    async with parts_of(here, TUNING, str(file)) as parts:
        running = Running(parts)
        request = await request_for(parts, spec())
        assert (await Admissions(parts, running.lifetime.watch).admit(request)).admitted
        here.running(request.spec, START)
        await parts.store.run(lambda db: records.mark_ready(db, request.spec.id, START, {}))
        await running.turn()
        here.clock.pass_time(1000)
        write_rules(file, rule)
        events: list[dict[str, Any]] = []
        for _ in range(100):  # a file that was written a moment ago is left alone for a fifth of a second
            await running.turn()
            events = await parts.store.run(lambda db: happenings.events_of(db, request.spec.id, 0))
            if events:
                break
        assert [event["detail"]["rule"] for event in events if event["kind"] == "warning"] == [rule["name"]]
        assert here.hub.deleted == []
        await running.live(here, 110, 10)
        assert here.hub.deleted == []
        await running.live(here, 20, 10)
    assert here.hub.deleted == [("alice", "")]


async def test_a_restart_of_control_gives_no_new_grace_after_an_edit(here: Street) -> None:
    """Since when the rules are these is in the database; other rules begin anew."""
    file = here.directory / "profiles.yaml"
    write_rules(file, {"name": "short", "idle_timeout": "10m"})
    since = []
    for seconds in (0, 60, 60):
        here.clock.pass_time(seconds)
        if len(since) == 2:
            write_rules(file, {"name": "shorter", "idle_timeout": "5m"})
        async with parts_of(here, TUNING, str(file)) as parts:
            running = Running(parts)
            judged = await Judge(parts, running.watcher).judge_one(await _any_record(running, here))
            since.append(judged.limits.since)
    assert since == [START, START, START + timedelta(seconds=120)]


async def test_a_restart_with_a_broken_file_takes_no_exemption_away(
    here: Street, control: Callable[[str, bool], None]
) -> None:
    """Until the rules are read only a TTL ends a server; after it, who is over a limit is warned first."""
    file = here.directory / "profiles.yaml"
    free = {"name": "free", "groups": ["staff"], "never_idle": True}
    write_rules(file, free)
    idle, short = spec(idle_timeout=600), spec("bob", idle_timeout=600, ttl=3600)

    def write(connection: Connection) -> None:
        for wanted in (idle, short):
            deadline = START + timedelta(seconds=wanted.ttl) if wanted.ttl else None
            records.admit(connection, asked(wanted), START, deadline)
            records.mark_ready(connection, wanted.id, START, {})
            here.running(wanted, START)

    async with parts_of(here, TUNING, str(file)) as parts:
        await parts.store.run(write)
        await Judge(parts, Running(parts).watcher).refresh()
    file.write_text("profiles: [")
    here.clock.pass_time(3500)
    async with parts_of(here, TUNING, str(file)) as parts:
        running = Running(parts)
        await running.lifetime.load()
        await running.live(here, 120, 30)
        control("its TTL ends a server all the same", here.hub.deleted == [("bob", "")])
        events = await parts.store.run(lambda db: happenings.events_of(db, idle.id, 0))
        assert events == []
        write_rules(file, free)
        await running.live(here, 110, 10)
        assert set(here.hub.deleted) == {("bob", "")}
        await running.live(here, 30, 10)
        events = await parts.store.run(lambda db: happenings.events_of(db, idle.id, 0))
    assert ("alice", "") in here.hub.deleted
    assert [event["kind"] for event in events] == ["warning", "save", "stopping"]


async def test_a_rule_for_gpus_holds_for_what_the_ledger_gave(here: Street) -> None:
    """A server with a GPU has the rule's limit, one without its profile's."""
    rules = Lifetimes(rules=(LifetimeRule(name="gpus", gpu=True, idle_timeout=300),))
    async with parts_of(here, TUNING) as parts:
        running = Running(parts)
        record = await _any_record(running, here)
    with_gpu, without = (limits_of(record, count, rules, None, START) for count in (1, 0))
    assert (with_gpu.rule, with_gpu.idle_timeout) == ("gpus", 300)
    assert (without.rule, without.idle_timeout) == ("", 3600)


async def test_cpu_is_no_work_on_a_gpu_at_the_last_look_either(
    here: Street, control: Callable[[str, bool], None]
) -> None:
    """A server that computes without its GPU ends by the limit for idle GPUs; one that uses it does not."""
    file = here.directory / "profiles.yaml"
    write_rules(file, {"name": "gpus", "gpu_idle_timeout": "10m"})
    async with parts_of(here, TUNING, str(file)) as parts:
        running = Running(parts)
        idle, working = await request_for(parts, spec()), await request_for(parts, spec("bob"))
        for request in (idle, working):
            assert (await Admissions(parts, running.lifetime.watch).admit(request)).admitted
            here.running(request.spec, START)
            await parts.store.run(lambda db, one=request.spec.id: records.mark_ready(db, one, START, {}))
        here.launcher.gpu_busy = {idle.spec.id: 0.0, working.spec.id: 0.9}
        here.launcher.on_usage = lambda sandbox: (here.clock.pass_time(1), here.launcher.use(sandbox, 0.9))
        await running.live(here, 660, 30)
        found = await running.record(idle.spec)
    control("the twin that works on its GPU is kept", ("bob", "") not in here.hub.deleted)
    assert here.hub.deleted == [("alice", "")]
    assert found.stop_code == "stop.gpu_idle"


async def _any_record(running: Running, here: Street) -> SandboxRecord:
    wanted, now = spec(idle_timeout=3600), here.clock.now()

    def write(connection: Connection) -> None:
        if records.by_id(connection, wanted.id) is None:
            records.admit(connection, asked(wanted), now, None)
            records.mark_ready(connection, wanted.id, now, {})

    await running.parts.store.run(write)
    return await running.record(wanted)
