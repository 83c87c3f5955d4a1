"""Are a start, its failure and its end followed and gone on from without any script, on both hubs?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub_config.demo.pages import Page, read_all_hidden
from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory

from .conftest import VERSIONS
from .hub_process import PASSWORD, HubProcess, run_hub
from .test_pages import plain

PROFILES = """
prices: {currency: EUR, cpu_hour: 0.1}
profiles:
- {display_name: Plain, slug: plain, default: true, sandbox: {cpu: 1, memory: 1G}}
- display_name: '<b>Sized</b>'
  slug: sized
  sandbox: {cpu: 1, memory: 1G, ttl: 8h}
  profile_options:
    size:
      display_name: Size
      choices:
        small: {display_name: Small}
        large: {display_name: Large, sandbox: {cpu: 2, variables: {SIZE: large}}}
- {display_name: GPU, slug: gpu, sandbox: {cpu: 1, memory: 1G, gpu: 1, ttl: 1h}}
"""
SIZED = {"profile": "sized", "options": {"size": "large"}}


@pytest.fixture(scope="module", params=VERSIONS)
def hub(
    request: pytest.FixtureRequest, venvs: Path, tmp_path_factory: pytest.TempPathFactory, evidence: Any
) -> Iterator[HubProcess]:
    """A running hub with prices, choices and one GPU."""
    file = tmp_path_factory.mktemp("profiles") / "profiles.yaml"
    file.write_text(PROFILES)
    with run_hub(venvs / request.param / "bin/python", file, start_timeout=60) as running:
        running.launcher.gpus = GpuInventory(devices=(GpuDevice(id="GPU-1", kind="nvidia-h100"),))
        forget = evidence("hub.log", lambda: running.log()[-8000:])
        yield running
        forget()


def variables(hub: HubProcess, user: str) -> list[str]:
    """What SIZE was in each boot document of the user, oldest first."""
    found = [item.environment for item in hub.gateway.documents.values()]
    return [item["SIZE"] for item in found if item["JUPYTERHUB_USER"] == user and "SIZE" in item]


def again(page: Page) -> list[tuple[str, str]]:
    """The hidden fields of *Start again*."""
    form = re.search(r'<form action="[^"]*/spawn/[^"]*" method="post">.*?</form>', page.text, re.DOTALL)
    assert form is not None, page.text
    names = re.findall(r'<input type="hidden" name="([^"]*)"', form[0])
    return [(name, value) for name in names for value in read_all_hidden(form[0], name)]


async def test_a_start_is_followed_without_a_script(hub: HubProcess) -> None:
    """The page of a start has each stage with its state and time, and looks again by itself."""
    hub.gateway.silent = True
    hub.start("ava", SIZED)
    async with Visitor(hub.base, "ava", PASSWORD) as ava:
        await ava.login()
        page = await ava.open(ava.hub("spawn-pending/ava"))
        assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page.text
        words = plain(page.text)
        assert re.search(r"Starting the sandbox \(done\) \d\.\d s", words), words
        assert "Starting the notebook server (in progress)" in words
        assert "&lt;b&gt;Sized&lt;/b&gt;" in page.text
        assert "<b>Sized</b>" not in page.text
        hub.gateway.silent = False
        hub.wait_for("it runs", lambda: hub.servers("ava")[""]["ready"])


async def test_the_same_is_started_again_by_a_form(hub: HubProcess) -> None:
    """After an end the page says why, and its button posts the same profile with the same choices."""
    hub.start("bob", SIZED)
    hub.api("DELETE", "users/bob/server")
    async with Visitor(hub.base, "bob", PASSWORD) as bob:
        await bob.login()
        page = await bob.open(bob.hub("user/bob/"))
        assert page.status == 424
        assert "It was stopped at the hub." in plain(page.text)
        assert "Your files are kept in your home" in plain(page.text)
        assert "Choose another profile" in page.text
        fields = again(page)
        assert ("profile", "sized") in fields
        # Not followed: the stand-in of a server has no page to come to.
        async with bob.session.post(bob.hub("spawn/bob"), data=fields, allow_redirects=False) as posted:
            assert posted.status == 302
    hub.wait_for("it runs again", lambda: hub.servers("bob").get("", {}).get("ready"))
    assert variables(hub, "bob") == ["large", "large"]


async def test_starting_again_needs_the_token_of_the_page(hub: HubProcess) -> None:
    """The same form without its XSRF token starts nothing; another site could have sent it."""
    hub.start("carl", SIZED)
    hub.api("DELETE", "users/carl/server")
    async with Visitor(hub.base, "carl", PASSWORD) as carl:
        await carl.login()
        page = await carl.open(carl.hub("user/carl/"))
        fields = [(name, value) for name, value in again(page) if name != "_xsrf"]
        refused = await carl.open(carl.hub("spawn/carl"), fields)
    assert refused.status == 403
    assert hub.servers("carl") == {}


async def test_a_failed_start_says_why_and_the_way_out(hub: HubProcess) -> None:
    """A start that failed after its page was shown: reason, last lines, the same again, another profile."""
    hub.gateway.silent = True
    hub.start("dora", SIZED)
    (sandbox,) = [i.id for i in hub.loop.run(hub.launcher.backend.inventory()) if i.user == "dora"]
    hub.loop.run(hub.launcher.backend.finish(sandbox, 3, "the server ended", "ImportError: no <b>torch</b>"))
    hub.wait_for("it is over", lambda: hub.servers("dora") == {})
    async with Visitor(hub.base, "dora", PASSWORD) as dora:
        await dora.login()
        page = await dora.open(dora.hub("spawn-pending/dora"))
    words = plain(page.text)
    assert "Your server did not start" in words
    assert "ended with exit status 3" in words
    assert "ImportError: no &lt;b&gt;torch&lt;/b&gt;" in page.text
    assert "<b>torch" not in page.text
    assert ("profile", "sized") in again(page)
    assert "Choose another profile" in words


async def test_a_profile_that_is_gone_is_not_offered_again(hub: HubProcess) -> None:
    """What may not be had any more has no button; the form with all others is one click away."""
    assert hub.start("emil", {"profile": "plain"}).status == 201
    hub.api("DELETE", "users/emil/server")
    async with Visitor(hub.base, "emil", PASSWORD) as emil:
        await emil.login()
        assert 'id="sandbox-again"' in (await emil.open(emil.hub("user/emil/"))).text
        with without_plain(Path(hub.control.site.profiles)):
            # A file that was just written is read a moment later.
            for _ in range(100):
                page = await emil.open(emil.hub("user/emil/"))
                if 'id="sandbox-again"' not in page.text:
                    break
    assert 'id="sandbox-again"' not in page.text
    assert "Choose another profile" in page.text


@contextmanager
def without_plain(file: Path) -> Iterator[None]:
    """The profiles file with another default profile for the block."""
    text = file.read_text()
    file.write_text(text.replace("slug: plain, default", "slug: other, default"))
    try:
        yield
    finally:
        file.write_text(text)


async def test_the_place_in_the_queue_is_shown(hub: HubProcess) -> None:
    """While every GPU is taken the form says when and which place; then it is the user's own place."""
    hub.start("finn", {"profile": "gpu"})
    async with Visitor(hub.base, "gwen", PASSWORD) as gwen:
        await gwen.login()
        before = plain((await gwen.open(gwen.hub("spawn/gwen"))).text)
        hub.start("gwen", {"profile": "gpu"})
        form = plain((await gwen.open(gwen.hub("spawn/gwen"))).text)
        page = await gwen.open(gwen.hub("spawn-pending/gwen"))
    hub.api("DELETE", "users/finn/server")
    assert "starting takes place 1 in the queue" in before
    assert "you are number 1 in the queue" in form
    assert "GPU your last choice" not in before
    assert "GPU" in plain(page.text)


async def test_the_form_has_prices(hub: HubProcess) -> None:
    """Where the admin wrote prices, each card has that of an hour, with the saved choices."""
    hub.start("hans", SIZED)
    hub.api("DELETE", "users/hans/server")
    async with Visitor(hub.base, "hans", PASSWORD) as hans:
        await hans.login()
        words = plain((await hans.open(hans.hub("spawn/hans"))).text)
    assert "&lt;b&gt;Sized&lt;/b&gt; your last choice 0.20 EUR an hour" in words
