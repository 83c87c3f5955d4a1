"""Is the profiles file read again when it changes, by hub and control, and are options of it started?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.clients.control import ControlAdminClient

from .conftest import VERSIONS
from .hub_process import PASSWORD, HubProcess, run_hub

BOOK = """\
- display_name: Work
  slug: work
  default: true
  sandbox: {cpu: 1, memory: 1G, variables: {PLACE: "lake/{username}"}}
  profile_options:
    size:
      display_name: Size
      choices:
        small: {display_name: Small}
        large: {display_name: Large, sandbox: {memory: 8G}}
        huge: {display_name: Huge, allowed_groups: [research], sandbox: {memory: 64G}}
    branch:
      display_name: Branch
      unlisted_choice: {pattern: "[a-z]+", variable: BRANCH}
"""
MORE = BOOK + "- {display_name: New, slug: new, sandbox: {cpu: 2, memory: 2G}}\n"
BAD = MORE.replace("cpu: 2", "cpu: two")
GIB = 1 << 30


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A profiles file of this test's own."""
    file = tmp_path / "profiles.yaml"
    file.write_text(BOOK)
    return file


@pytest.fixture(params=VERSIONS)
def site(request: pytest.FixtureRequest, venvs: Path, book: Path) -> Iterator[HubProcess]:
    """A hub over that file, with an admin called root."""
    more = 'c.Authenticator.admin_users = {"root"}'
    with run_hub(venvs / request.param / "bin/python", book, more=more) as running:
        yield running


def ask_control(site: HubProcess, question: Callable[[ControlAdminClient], Any]) -> Any:
    """One answer of control's admin socket."""

    async def ask() -> Any:
        client = ControlAdminClient(f"{site.directory}/control/admin.sock")
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(ask())


def newest(site: HubProcess) -> Any:
    """The spec of the last sandbox that the launcher was asked for."""
    return site.launcher.requests[-1].spec


def test_options_reach_the_spec_and_stay_saved(site: HubProcess, control: Any) -> None:
    """A choice and a text change the admitted spec; without options the saved ones count again."""
    options = {"profile": "work", "options": {"size": "large", "branch": "dev"}}
    assert site.start("ines", options).status == 201
    assert newest(site).resources.memory == 8 * GIB
    assert newest(site).environment == {"PLACE": "lake/ines", "BRANCH": "dev"}
    site.api("DELETE", "users/ines/server")
    assert site.start("ines").status == 201
    assert (newest(site).resources.memory, newest(site).environment["BRANCH"]) == (8 * GIB, "dev")
    before = len(site.launcher.requests)
    refused = site.start("hugo", {"profile": "work", "options": {"size": "huge"}})
    assert (refused.status, "group research" in refused.document["message"]) == (403, True)
    assert len(site.launcher.requests) == before
    control("hugo may have the small one", site.start("hugo").status == 201)


async def test_a_form_posts_its_options(site: HubProcess) -> None:
    """The form has the options as plain fields, and what they post is started."""
    async with Visitor(site.base, "nina", PASSWORD) as nina:
        await nina.login()
        url = nina.hub("spawn/nina")
        page = (await nina.open(url)).text
        assert 'name="option.work.size"' in page
        assert "It is for group research" in page
        chosen = {"profile": "work", "option.work.size": "large", "text.work.branch": "dev"}
        form = {"_xsrf": nina.xsrf(url), **chosen}
        async with nina.session.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()
    site.wait_for("the server runs", lambda: site.servers("nina").get("", {}).get("ready"))
    assert (newest(site).resources.memory, newest(site).environment["BRANCH"]) == (8 * GIB, "dev")


async def pages(site: HubProcess, user: str) -> list[str]:
    """Home page and form, as this user sees them."""
    async with Visitor(site.base, user, PASSWORD) as visitor:
        await visitor.login()
        return [(await visitor.open(visitor.hub(path))).text for path in ("home", f"spawn/{user}")]


def test_an_edit_counts_without_a_restart(site: HubProcess, book: Path, control: Any) -> None:
    """A new profile is offered and admitted; a bad edit changes nothing, and admins are told its line."""
    control("before the edit it does not exist", site.start("olaf", {"profile": "new"}).status == 400)
    book.write_text(MORE)
    site.wait_for("the edit counts", lambda: site.start("olaf", {"profile": "new"}).status == 201)
    assert newest(site).resources.cpu == 2
    book.write_text(BAD)
    where = f"{book}:{len(BAD.splitlines())}: profiles[1].sandbox.cpu: 'two' is not a number of cores."
    site.wait_for("control refuses it", lambda: where in ask_control(site, _state)["problem"])
    state = ask_control(site, _state)
    assert state["profiles"] == ["work", "new"]
    for page in asyncio.run(pages(site, "root")):
        assert "The profiles file is refused" in page
        assert "profiles[1].sandbox.cpu" in page
    for page in asyncio.run(pages(site, "otto")):
        assert "refused" not in page
    assert site.start("pia", {"profile": "new"}).status == 201
    assert where in site.log()
    lines = ask_control(site, lambda client: client.audit(limit=200))["items"]
    found = [line for line in lines if line["action"].startswith("profiles.")]
    assert [line["action"] for line in found] == ["profiles.refused", "profiles.loaded", "profiles.loaded"]
    assert where in found[0]["detail"]["problem"]
    assert [line["policy"]["digest"] for line in found[:2]] == [state["digest"]] * 2


def _state(client: ControlAdminClient) -> Any:
    return client.profiles()
