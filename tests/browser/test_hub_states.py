"""Do form and start pages show each state in a browser: wrong text, cancel, hub away, hostile names?

The hub and control are real, the server behind is a stand-in that can be told to hang or to die.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from jupyter_sandbox_spawner.gpus import GpuDevice, GpuInventory
from jupyter_sandbox_spawner.rules.browser_patterns import for_browser
from tests.browser.hub_look import PROFILES, Theme, at, axe, picture, visiting
from tests.hub.hub_process import HubProcess, run_hub
from tests.lanes import VENVS

Control = Callable[[str, bool], None]
HOSTILE = "<img src=x onerror=\"window.hacked='yes'\">\u202e<script>window.hacked='yes'</script>"
_YAML = HOSTILE.replace("\u202e", "").replace("'", "''")
HOSTILE_PROFILE = f"""
- display_name: '{_YAML}'
  slug: hostile
  description: '{_YAML}'
  sandbox: {{cpu: 1, memory: 1G}}
  profile_options:
    size:
      display_name: '{_YAML}'
      choices:
        one: {{display_name: '{_YAML}'}}
        two: {{display_name: Two, sandbox: {{cpu: 2}}}}
"""
LOOKS = [(theme, width) for theme in ("light", "dark") for width in (1280, 400)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, clean_environ: None, evidence: Any) -> Iterator[HubProcess]:
    """A hub whose two GPUs are taken, with a profile of each kind."""
    file = tmp_path_factory.mktemp("profiles") / "profiles.yaml"
    file.write_text(PROFILES + HOSTILE_PROFILE)
    with run_hub(Path(VENVS, "hub/bin/python"), file, start_timeout=200) as running:
        forget = evidence("hub.log", lambda: running.log()[-8000:])
        devices = tuple(GpuDevice(id=f"GPU-{number}", kind="nvidia-h100") for number in range(2))
        running.launcher.gpus = GpuInventory(devices=devices)
        for name in ("zoe", "yan"):
            assert running.start(name, {"profile": "gpu"}).status == 201
        running.gateway.silent = True
        yield running
        forget()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_the_form_is_accessible_and_fits(hub: HubProcess, browser: Browser, theme: Theme, width: int) -> None:
    """axe finds nothing in the form with a wrong text and a queue, and nothing is wider than the window."""
    with visiting(browser, hub, "ada", theme, width) as page:
        page.goto(at(hub, "spawn/ada"))
        page.check("[value=science]", force=True)
        page.select_option("[name='option.science.size']", "large")
        page.fill("[name='text.science.branch']", "Main")
        assert axe(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        expect(page.get_by_text("starting takes place 1 in the queue")).to_be_visible()
        page.evaluate("() => document.querySelector('.sandbox-choice:has([value=hostile])').remove()")
        picture(page, f"form-{width}-{theme}")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_a_start_is_accessible_and_fits(hub: HubProcess, browser: Browser, theme: Theme, width: int) -> None:
    """axe finds nothing on the page of a start, which shows the stage that goes on and fits the window."""
    hub.start("bea", {"profile": "science", "options": {"size": "large"}})
    with visiting(browser, hub, "bea", theme, width) as page:
        page.goto(at(hub, "spawn-pending/bea"))
        expect(page.locator(".sandbox-now")).to_contain_text("Starting the notebook server")
        expect(page.locator(".sandbox-done")).to_have_count(6)
        assert axe(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        picture(page, f"start-{width}-{theme}")


def test_a_text_is_judged_while_it_is_typed(hub: HubProcess, browser: Browser) -> None:
    """A wrong text is told at once and not sent, a right one is; that of another card does not count."""
    with visiting(browser, hub, "cleo") as page:
        page.goto(at(hub, "spawn/cleo"))
        page.check("[value=science]", force=True)
        text = page.get_by_label("Branch of the course")
        text.press_sequentially("Main")
        expect(text).to_have_attribute("aria-invalid", "true")
        page.click("#spawn_form [type=submit]")
        assert page.evaluate("() => document.querySelector('#spawn_form').checkValidity()") is False
        page.check("[value=small]", force=True)
        assert page.evaluate("() => document.querySelector('#spawn_form').checkValidity()") is True
        page.check("[value=science]", force=True)
        text.fill("straße")
        expect(text).not_to_have_attribute("aria-invalid", "true")
        assert page.evaluate("() => document.querySelector('#spawn_form').checkValidity()") is True


def test_a_choice_changes_limits_and_price_on_the_card(hub: HubProcess, browser: Browser) -> None:
    """Price and limits follow the list, and come back with it."""
    with visiting(browser, hub, "cleo") as page:
        page.goto(at(hub, "spawn/cleo"))
        page.check("[value=science]", force=True)
        card = page.locator(".sandbox-choice:has([value=science])")
        before = card.locator(".sandbox-head").inner_text()
        assert "0.085 EUR an hour" in before
        page.select_option("[name='option.science.size']", "large")
        expect(card.locator(".sandbox-price")).to_have_text("0.48 EUR an hour")
        expect(card.locator("[data-limit=CPU]")).to_have_text("CPU: 8 cores")
        page.select_option("[name='option.science.size']", "middle")
        expect(card.locator(".sandbox-price")).to_have_text("0.085 EUR an hour")
        expect(card.locator("[data-limit=CPU]")).to_have_text("CPU: 2 cores")


@pytest.mark.parametrize(
    "pattern", [r"[a-z]\w*(?:[.-]\w+)?", r"\d+", r"[\w.-]{2,5}", r"[^/ ]+", r"[]a\-z]+", r"a|b/c", r".\s."]
)
def test_a_browser_reads_a_pattern_as_the_hub_does(browser: Browser, pattern: str) -> None:
    """Texts of many kinds are right or wrong in both; which are, is Python's to say."""
    texts = [
        "",
        "a",
        "main",
        "Main",
        "straße",
        "٣",
        "x.y",
        "a b",
        "b/c",
        "]a-z",
        "a-",
        "é",
        "日本",
        "12",
        "😀",
        "_",
    ]
    with browser.new_context() as context:
        page = context.new_page()
        code = "([pattern, texts]) => texts.filter((text) => new RegExp(`^(?:${pattern})$`, 'u').test(text))"
        found = page.evaluate(code, [for_browser(pattern), texts])
    assert found == [text for text in texts if re.fullmatch(pattern, text)]


def test_a_start_is_cancelled_by_its_button(hub: HubProcess, browser: Browser) -> None:
    """By keyboard: the button ends the start, and the page then says so with both ways on."""
    hub.start("dave", {"profile": "science"})
    with visiting(browser, hub, "dave") as page:
        page.goto(at(hub, "spawn-pending/dave"))
        page.get_by_role("button", name="Cancel the start").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#sandbox-stopped", timeout=60_000)
        expect(page.get_by_text("Its start was cancelled before it was ready.")).to_be_visible()
        expect(page.get_by_role("button", name="Start again with Data science")).to_be_visible()
        expect(page.get_by_role("link", name="Choose another profile")).to_be_visible()
        assert axe(page) == []
        picture(page, "stopped-1280-light")


def test_a_failed_start_is_told_where_it_is_watched(hub: HubProcess, browser: Browser) -> None:
    """The stage is marked, the reason stands above, and the ways on are there without a reload."""
    hub.start("erin", {"profile": "small"})
    with visiting(browser, hub, "erin", "dark", 400) as page:
        page.goto(at(hub, "spawn-pending/erin"))
        expect(page.locator(".sandbox-now")).to_be_visible()
        (sandbox,) = [i.id for i in hub.loop.run(hub.launcher.backend.inventory()) if i.user == "erin"]
        hub.loop.run(hub.launcher.backend.finish(sandbox, 3, "the server ended", HOSTILE))
        expect(page.locator("[data-part=reason]")).to_contain_text("ended with exit status 3", timeout=30_000)
        expect(page.locator(".sandbox-failed")).to_contain_text("Starting the notebook server")
        expect(page.get_by_role("button", name="Start again with Small")).to_be_visible()
        assert page.evaluate("() => window.hacked") is None
        assert axe(page) == []
        picture(page, "failed-400-dark")


@pytest.mark.proves("H06", "X03")
def test_h06_hostile_names_are_text(hub: HubProcess, browser: Browser, control: Control) -> None:
    """Markup in names, descriptions, options and reasons runs nowhere; put into a page as markup it does."""
    hub.start("gus", {"profile": "hostile"})
    with visiting(browser, hub, "gus") as page:
        page.goto(at(hub, "spawn-pending/gus"))
        expect(page.locator(".sandbox-now")).to_be_visible()
        expect(page.locator(".sandbox-sub")).to_contain_text("<img src=x")
        (sandbox,) = [i.id for i in hub.loop.run(hub.launcher.backend.inventory()) if i.user == "gus"]
        hub.loop.run(hub.launcher.backend.finish(sandbox, 3, HOSTILE, HOSTILE))
        expect(page.locator("[data-part=reason]")).to_contain_text("<script>", timeout=30_000)
        for path in ("spawn/gus", "home", "user/gus/"):
            page.goto(at(hub, path))
            expect(page.locator("main").last).to_contain_text("<img src=x")
            assert page.evaluate("() => window.hacked") is None, path
        page.evaluate("(text) => { document.querySelector('main').innerHTML = text; }", HOSTILE)
        page.wait_for_function("() => window.hacked === 'yes'")
        control("as markup it runs", page.evaluate("() => window.hacked") == "yes")


def test_the_page_finds_its_way_back_after_the_hub_was_away(hub: HubProcess, browser: Browser) -> None:
    """While the hub is down the page says since when; when it is back, it shows what became of the start."""
    hub.start("hal", {"profile": "small"})
    with visiting(browser, hub, "hal") as page:
        page.goto(at(hub, "spawn-pending/hal"))
        expect(page.locator(".sandbox-now")).to_be_visible()
        hub.process.kill()
        hub.process.wait(20)
        lost = page.locator("[data-part=lost]")
        expect(lost).to_contain_text("No connection to the hub since", timeout=30_000)
        picture(page, "start-lost-1280")
        hub.restart()
        page.wait_for_selector("#sandbox-stopped, #spawn_form", timeout=90_000)
