"""Do the parts of the hub plugin keep their promises, each alone?"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ProfileRefusedError, UnreachableError
from jupyter_sandbox_spawner.hub.choice import asked_now
from jupyter_sandbox_spawner.hub.environment import ServerPlan, boot_document
from jupyter_sandbox_spawner.hub.form import Heading, profile_form
from jupyter_sandbox_spawner.hub.lifecycle import to_its_end
from jupyter_sandbox_spawner.hub.refusals import FailedStart, RefusedStart, start_error
from jupyter_sandbox_spawner.hub.stages import Stages
from jupyter_sandbox_spawner.models import UserPlace
from jupyter_sandbox_spawner.rules.choosing import Choice
from jupyter_sandbox_spawner.rules.offers import Offer
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles
from jupyter_sandbox_spawner.rules.profiles import Defaults, to_spec
from tests.backends.facts import SPEC

HOSTILE = """
- {display_name: '<script>alert(1)</script>', slug: a, default: true, description: '"><img src=x onerror=1>',
   sandbox: {cpu: 1, memory: 1G, egress: [mirror.example]}}
- {display_name: B, slug: b, allowed_groups: ['<b>chiefs</b>'], sandbox: {cpu: 1, memory: 1G}}
"""
PAIR = parse_profiles(HOSTILE)


def test_the_form_escapes_names() -> None:
    """Names, descriptions, groups and notices stand in the form as text, never as markup."""
    page = profile_form(PAIR, (), Choice(profile=PAIR[0]), Heading(notice="<i>note</i>"))
    # The form's own script comes last.
    page = page.partition("</fieldset>")[0]
    for markup in ("<script>", "<img", "<b>chiefs", "<i>note"):
        assert markup not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "It is for group &lt;b&gt;chiefs&lt;/b&gt;" in page


def test_the_form_needs_no_script() -> None:
    """The form is radio buttons: the current one checked, a refused one disabled, limits as text."""
    page = profile_form(PAIR, (), Choice(profile=PAIR[0]))
    assert page.count('type="radio" name="profile"') == 2
    assert page.count('about" checked>') == 1
    assert page.count('about" disabled>') == 1
    assert "mirror.example" in page
    assert "1.0 GB" in page


OPTIONS = parse_profiles("""
- display_name: A
  slug: a
  default: true
  sandbox: {cpu: 1, memory: 1G}
  profile_options:
    size:
      display_name: <b>Size</b>
      choices:
        small: {display_name: <i>Small</i>}
        large: {display_name: Large, sandbox: {memory: 2G}}
        lab: {display_name: Lab, allowed_groups: [lab], sandbox: {memory: 3G}}
      unlisted_choice: {pattern: ".+", variable: SIZE, message: <u>Any.</u>}
- {display_name: Old, slug: old, deprecated: {message: Gone.}, sandbox: {cpu: 1, memory: 1G}}
""")


def test_the_form_keeps_what_was_chosen() -> None:
    """The saved choice is selected, another group's is disabled and says why; old profiles are hidden."""
    page = profile_form(OPTIONS, (), Choice(profile=OPTIONS[0], options={"size": "large"}))
    assert re.search(r'<option value="large" selected [^>]*>Large: Memory 2.0 GB</option>', page)
    assert re.search(
        r'<option value="lab" disabled [^>]*>Lab: Memory 3.0 GB \(not available: It is for', page
    )
    assert '<span class="sandbox-amount">2.0 GB</span>' in page
    assert 'value="old"' not in page
    own = profile_form(OPTIONS, (), Choice(profile=OPTIONS[0], options={"size": '"><img src=x>'}))
    assert re.search(r'<option value="\.own" selected [^>]*>Something else, as written beside<', own)
    assert '<span class="sandbox-amount">1.0 GB</span>' in own
    assert 'value="&#34;&gt;&lt;img src=x&gt;"' in own
    for markup in ("<b>Size", "<i>Small", "<u>Any", "<img"):
        assert markup not in own


def test_an_offer_greys_a_card() -> None:
    """What is not free is disabled and says why; what is free says how much."""
    full = Offer(slug="a", allowed=False, reason="2 of 2 GPUs are in use.", free="next about 16:40 UTC")
    page = profile_form(OPTIONS, (), Choice(profile=OPTIONS[0]), offers={"a": full})
    assert "2 of 2 GPUs are in use." in page
    assert "next about 16:40 UTC" in page
    assert 'about" disabled>' in page
    assert "checked" not in page.partition("<fieldset")[2].partition("</fieldset>")[0]
    free = Offer(slug="a", allowed=True, free="3 of 4 GPUs are free")
    assert 'about" checked>' in profile_form(OPTIONS, (), Choice(profile=OPTIONS[0]), offers={"a": free})


async def test_watchers_see_every_stage_from_the_first() -> None:
    """A watcher that comes late sees the same events as one that was there from the beginning."""
    stages = Stages()
    early = asyncio.ensure_future(_collect(stages))
    for name in ("profile", "place"):
        with stages.stage(name):
            await asyncio.sleep(0)
    stages.finish()
    assert await early == await _collect(stages)
    last = (await early)[-1]
    assert [stage["name"] for stage in last["stages"]] == ["profile", "place"]


async def test_a_failed_stage_releases_the_watchers() -> None:
    """When a start fails the watchers leave."""
    stages = Stages()
    watcher = asyncio.ensure_future(_collect(stages))
    with pytest.raises(RuntimeError), stages.stage("profile"):
        raise RuntimeError
    stages.close()
    events = await asyncio.wait_for(watcher, 5)
    assert [event["message"] for event in events] == ["Checking the profile"]


async def test_an_event_tells_the_stages_as_a_page_draws_them() -> None:
    """Each event has the stage that goes on with its number, and the seconds of those that are over."""
    stages = Stages()
    with stages.stage("profile"):
        stages.note("Beware.")
    with pytest.raises(RuntimeError), stages.stage("place"):
        raise RuntimeError
    stages.close()
    first, note, second = await _collect(stages)
    assert [event["stage"] for event in (first, note, second)] == ["profile", "profile", "place"]
    assert (second["number"], second["of"]) == (2, 7)
    assert [item["name"] for item in second["done"]] == ["profile"]
    assert (note["message"], note["notice"], note["progress"]) == ("Beware.", True, first["progress"])
    assert [line.state for line in stages.lines()] == ["done", "failed", *["ahead"] * 5]


async def _collect(stages: Stages) -> list[dict[str, Any]]:
    return [event async for event in stages.follow()]


def test_admin_arguments_come_last() -> None:
    """The boot document's argv starts with the image's own command and ends with the admin's arguments."""
    profile = parse_profiles(HOSTILE)[0]
    spec = to_spec(
        profile, "sb-x", UserPlace(user="ada", host_uid=1, home="/h"), "", Defaults(environment="d")
    )
    plan = ServerPlan(
        environment={"PATH": "/evil", "JPY_API_TOKEN": "t", "HTTP_PROXY": "http://elsewhere"},
        user="ada lovelace",
        hub_prefix="/jh/hub/",
        prefix="/jh/user/ada%20lovelace/",
        python_prefix="/opt/user",
        command="jupyterhub-singleuser",
        arguments=("--debug",),
    )
    document = boot_document(plan, spec, datetime.now(timezone.utc))
    assert document.argv[0] == "/opt/user/bin/jupyterhub-singleuser"
    assert document.argv[-1] == "--debug"
    assert "'/run/sandbox/inside', 'shell']" in document.argv[2]  # its files import each other: not shell.py
    environment = document.environment
    assert environment["PATH"] == "/opt/user/bin:/usr/local/bin:/usr/bin:/bin"
    assert environment["HTTP_PROXY"] == "http://127.0.0.1:3128"
    assert "JPY_API_TOKEN" not in environment
    assert environment["JUPYTERHUB_ACTIVITY_URL"].endswith("/jh/hub/api/users/ada%20lovelace/activity")
    assert environment["MEM_LIMIT"] == str(1 << 30)
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert not [name for name in environment if name.startswith("MLFLOW")]
    theirs = replace(plan, tracking=True, environment={"MLFLOW_TRACKING_URI": "http://mine.example"})
    preset = boot_document(theirs, spec, datetime.now(timezone.utc)).environment
    assert preset["MLFLOW_TRACKING_AUTH"] == "sandbox"
    assert preset["MLFLOW_TRACKING_URI"] == "http://mine.example"


@pytest.mark.proves("Q08")
@pytest.mark.parametrize(("devices", "visible"), [((), "void"), (("GPU-1", "GPU-2"), "GPU-1,GPU-2")])
def test_only_given_devices_are_visible(devices: tuple[str, ...], visible: str) -> None:
    """What spawner or profile say of visible devices is replaced by what the server was given."""
    all_of_them = {"NVIDIA_VISIBLE_DEVICES": "all"}
    spec = replace(SPEC, gpu_devices=devices, environment=all_of_them)
    plan = ServerPlan(
        environment=all_of_them,
        user="ada",
        hub_prefix="/hub/",
        prefix="/user/ada/",
        python_prefix="/opt/user",
        command="jupyterhub-singleuser",
    )
    document = boot_document(plan, spec, datetime.now(timezone.utc))
    assert document.environment["NVIDIA_VISIBLE_DEVICES"] == visible


def _request(method: str, body: bytes = b"", query: Any = None, form: Any = None) -> Any:
    request = SimpleNamespace(
        method=method, body=body, query_arguments=query or {}, body_arguments=form or {}, files={}
    )
    return SimpleNamespace(request=request)


@pytest.mark.proves("T10")
@pytest.mark.parametrize(
    ("handler", "explicit"),
    [
        (None, False),
        (_request("GET"), False),
        (_request("GET", query={"next": [b"/x"]}), False),
        (_request("GET", query={"opt-profile": [b"a"]}), True),
        (_request("POST", form={"profile": [b"a"]}), True),
        (_request("POST"), False),
        (_request("POST", b"null"), False),
        (_request("POST", b'{"profile": "a"}'), True),
        (_request("POST", b'{"user_options": {"profile": "a"}}'), True),
        (_request("POST", b'{"display_name": "x"}'), False),
        (_request("POST", b'{"display_name": "x", "user_options": null}'), False),
    ],
)
def test_a_request_tells_explicit_from_saved(handler: Any, explicit: bool) -> None:
    """Options count as explicit only if this very request carried them."""
    assert asked_now(handler) is explicit


def test_refusal_and_failure_are_told_apart() -> None:
    """A refusal keeps its status, a failure of a program has 500 or more; both show the sentence."""
    spawner = SimpleNamespace(_spawn_future=None, handler=None)
    refused = start_error(ProfileRefusedError("You may not.", remedy="Ask."), spawner)
    failed = start_error(UnreachableError("It does not answer."), spawner)
    assert isinstance(refused, RefusedStart)
    assert isinstance(failed, FailedStart)
    assert (refused.status_code, failed.status_code) == (403, 503)
    assert refused.jupyterhub_message == "You may not. Ask."


async def test_a_clean_up_outlives_a_cancellation() -> None:
    """Cancelling twice does not cut a clean-up short; the cancellation still arrives."""
    go_on, done = asyncio.Event(), []

    async def clean() -> None:
        await go_on.wait()
        done.append(True)

    task = asyncio.ensure_future(to_its_end(clean()))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]
