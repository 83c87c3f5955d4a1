"""Do the parts of the demo keep their promise: a login that fails closed, a wheel that installs?"""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from pathlib import Path

import aiohttp
import pytest

from hub_config.demo.authenticator import DemoAuthenticator, read_users, write_users
from hub_config.demo.pages import read_endings, read_form, read_hidden, read_reason
from hub_config.demo.programs import Programs
from hub_config.demo.upstream import GREETING, PACKAGE, build_wheel, serve_upstreams
from jupyter_sandbox_spawner.errors import ConfigurationError

USERS = {"alice": {"password": "a generated one", "groups": ["research"], "admin": False}}


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    """A users' file as the demo writes it."""
    path = tmp_path / "users.json"
    write_users(path, USERS)
    return path


def test_the_users_file_is_private_and_holds_no_password(users_file: Path) -> None:
    """The file has mode 0600 and the password is not in it."""
    assert users_file.stat().st_mode & 0o777 == 0o600
    assert "a generated one" not in users_file.read_text()


@pytest.mark.parametrize(
    ("password", "name", "expected"),
    [("a generated one", "alice", "alice"), ("wrong", "alice", None), ("a generated one", "mallory", None)],
)
async def test_only_name_and_password_together_open(
    users_file: Path, password: str, name: str, expected: str | None
) -> None:
    """A login succeeds with a known name and its own password only."""
    authenticator = DemoAuthenticator(users_file=str(users_file))
    assert await authenticator.authenticate(None, {"username": name, "password": password}) == expected


def test_without_the_file_nothing_starts(tmp_path: Path) -> None:
    """No setting, a missing file and an empty one are refused with the command that helps."""
    (tmp_path / "empty.json").write_text("{}")
    for path in ("", str(tmp_path / "absent.json"), str(tmp_path / "empty.json")):
        with pytest.raises(ConfigurationError) as caught:
            read_users(path)
        assert caught.value.code in {"demo.users_missing", "demo.users_open"}
        assert caught.value.remedy


def test_a_file_that_others_may_read_is_refused(users_file: Path) -> None:
    """A users' file with mode 0644 stops the hub."""
    os.chmod(users_file, 0o644)
    with pytest.raises(ConfigurationError, match="others may read") as caught:
        read_users(str(users_file))
    assert caught.value.code == "demo.users_open"


def test_the_wheel_is_complete() -> None:
    """The wheel built on the fly has its module, its metadata and a record of both."""
    name, raw = build_wheel()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        record = archive.read("sandbox_demo_greeting-1.0.dist-info/RECORD").decode()
        assert {line.split(",")[0] for line in record.splitlines()} == set(archive.namelist())
    assert name.endswith("-py3-none-any.whl")


async def test_the_upstreams_answer_and_write_down_who_asked() -> None:
    """Index and mirror answer on loopback, and every request is written down."""
    async with serve_upstreams() as upstreams, aiohttp.ClientSession() as session:
        page = await session.get(f"http://127.0.0.1:{upstreams.index_port}/simple/{PACKAGE}/")
        assert "#sha256=" in await page.text()
        greeting = await session.get(f"http://127.0.0.1:{upstreams.mirror_port}/anything")
        assert await greeting.text() == GREETING
        assert len(upstreams.requests) == 2


def test_pages_are_read_as_a_person_reads_them() -> None:
    """Hidden fields are unescaped, greyed profiles are refused ones, reasons are one line."""
    page = (
        '<input type="hidden" name="_xsrf" value="a&amp;b"/>'
        '<label><input type="radio" name="profile" value="small" checked>Small</label>'
        '<label><input type="radio" name="profile" value="big" disabled>Big<b>ask group x</b></label>'
    )
    form = read_form(page)
    assert read_hidden(page, "_xsrf") == "a&b"
    assert [profile.slug for profile in form.allowed()] == ["small"]
    assert "ask group x" in form.refused()[0].text
    assert read_reason('{"message": "no"}') == "no"
    late = "<title>JupyterHub</title><p>The latest attempt has failed. </p> <p>Not you</p> <p>Retry?</p>"
    assert read_reason(late) == "Not you"
    assert read_reason('<p class="login_error">Bad\n <b>name</b></p>') == "Bad name"


def test_the_panel_says_how_each_server_is() -> None:
    """Each server's line of the home page is read as one sentence; a page without a panel has none."""
    row = "<tr>\n<td>{}</td>\n<td>Small</td>\n<td>{}</td>\n</tr>"
    page = '<section class="sandbox-panel"><table>' + row.format("Default server", "Stopped\n now. Its time")
    page += row.format("two", "Running: 5 min left") + "</table></section>"
    assert read_endings(page) == {"Default server": "Stopped now. Its time", "two": "Running: 5 min left"}
    assert read_endings("<p>nothing</p>") == {}


async def test_a_killed_program_counts_once_it_answers_again(tmp_path: Path) -> None:
    """The newest process of a program is killed, and only its own next start counts as its answer."""
    log = tmp_path / "programs.log"
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    log.write_text(f"hub       started, pid 1\nhub       ready, 0.1 s\nhub       started, pid {victim.pid}\n")
    programs = Programs(log)
    assert programs.pid("hub") == victim.pid
    killing = asyncio.create_task(programs.kill(["hub"]))
    assert await victim.wait() == -9
    with log.open("a") as stream:
        stream.write("gateway   ready, 0.1 s\nhub       started, pid 3\n")
    await asyncio.sleep(0.1)
    assert not killing.done()
    with log.open("a") as stream:
        stream.write("hub       ready, 0.2 s\n")
    assert (await killing).seconds.keys() == {"hub"}
