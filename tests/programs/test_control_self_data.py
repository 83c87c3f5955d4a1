"""Does a sandbox hear of every dataset that its own start asked for, by the name that it asked for?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.models import UserPlace
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.admission import AdmissionRequest, terms_of
from jupyter_sandbox_spawner.rules.profile_choices import named_datasets, resolve
from jupyter_sandbox_spawner.rules.profiles import Defaults, to_spec

from .control_street import parts_of, street
from .test_control_api import Control

BOOK = """
profiles:
  - display_name: Study
    slug: study
    default: true
    sandbox: {cpu: 1, memory: 1G, datasets: ["home-{username}", news]}
    profile_options:
      data:
        display_name: Data
        choices:
          few: {display_name: Few, default: true}
          all: {display_name: All, sandbox: {datasets: ["home-{username}", news, cases]}}
datasets:
  - {id: home-alice, version: "1", uri: file:///srv/alice, owner: olga, tags: [phi]}
  - {id: cases, version: "1", uri: file:///srv/cases, owner: olga, tags: [phi]}
  - {id: news, version: "1", uri: file:///srv/news, owner: olga, tags: [public]}
"""


@pytest.fixture
async def program() -> AsyncIterator[Control]:
    """Control with that file."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="csd", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        file = Path(name, "profiles.yaml")
        await asyncio.to_thread(file.write_text, BOOK)
        tuning = Tuning(settle=0, tick=0.05)
        parts = await stack.enter_async_context(parts_of(here, tuning, profiles=str(file)))
        found = Control(here, parts)
        await found.serve(stack)
        yield found


async def _left_out(program: Control, options: Mapping[str, str]) -> dict[str, str]:
    """By name, why what alice's start with these choices asked for is not mounted."""
    profile = (await program.parts.terms.book()).profiles[0]
    profile = resolve(profile, options, "alice", ())
    place = UserPlace(user="alice", host_uid=3_000_001, home="/h", root_uid=3_000_000)
    spec = to_spec(profile, sandbox_id("alice", "", "1"), place, "", Defaults(environment="user"))
    request = AdmissionRequest(spec=spec, groups=(), terms=terms_of(profile, None), options=options)
    answer = await Admissions(program.parts, lambda _: None).admit(request)
    assert answer.admitted
    assert answer.spec is not None
    program.here.running(answer.spec, program.here.clock.now())
    status, me = await program.ask("GET", "/api/self", spec.id)
    assert (status, [item["name"] for item in me["datasets"]]) == (200, ["news@1"])
    return {item["name"]: item["code"] for item in me["left_out"]}


@pytest.mark.parametrize(
    ("options", "names"), [({}, ["home-alice@1"]), ({"data": "all"}, ["home-alice@1", "cases@1"])]
)
async def test_left_out_is_what_was_asked_for(
    program: Control, options: dict[str, str], names: list[str]
) -> None:
    """Templates are filled in, and the datasets of the choice are there, each with its own reason."""
    assert await _left_out(program, options) == dict.fromkeys(names, "dataset.not_approved")


async def test_choices_that_are_not_known(program: Control) -> None:
    """Without a word about choices, or with those of an older file, names are filled in all the same."""
    profile = (await program.parts.terms.book()).profiles[0]
    for options in (None, {"size": "large"}):
        assert named_datasets(profile, options, "alice", ()) == ("home-alice", "news")
