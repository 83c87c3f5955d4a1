"""Does git log in by itself where a grant says so, and is any other place left alone?"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
import trustme

from jupyter_sandbox_spawner.hub.environment import ServerPlan, boot_document
from jupyter_sandbox_spawner.rules.grants import Grant
from tests.backends.facts import SPEC
from tests.singleuser.brokerapi import CANARY, SECRETS
from tests.singleuser.httpsserver import HttpsServer, https_server
from tests.singleuser.selfapi import TOKEN, SelfApi
from tests.singleuser.shim import command_on_path
from tests.singleuser.test_git_credential import HOST, NAME, door, granted

Control = Callable[[str, bool], None]
LOGIN = ("bot", CANARY)


def environment(
    *grants: Grant, before: dict[str, str] | None = None, image: str | Path = "/image"
) -> dict[str, str]:
    """What a server with these grants gets told about git; `image` is its Python environment."""
    plan = ServerPlan(
        environment=before or {},
        user="ada",
        hub_prefix="/jh/hub/",
        prefix="/jh/user/ada/",
        python_prefix=str(image),
        command="x",
    )
    document = boot_document(plan, SPEC, datetime.now(timezone.utc), grants)
    return {name: text for name, text in document.environment.items() if name.startswith("GIT_")}


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the servers' certificates."""
    return trustme.CA()


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """A directory with one bare repository that has a commit."""
    root, work = tmp_path / "repositories", tmp_path / "work"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q", "--bare", root / "project.git"], check=True)
    subprocess.run([*git, "init", "-q", work], check=True)
    subprocess.run([*git, "-C", work, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "-C", work, "push", "-q", root / "project.git", "HEAD:main"], check=True)
    return root


@pytest.fixture
def served(authority: trustme.CA, repositories: Path, api: SelfApi) -> Iterator[HttpsServer]:
    """The granted git server."""
    with https_server(authority, repositories, LOGIN) as server:
        granted(api, server.place)
        yield server


def image(tmp_path: Path) -> Path:
    """A Python environment with the command, at a path that a shell would split."""
    directory = tmp_path / "user image" / "bin"
    directory.mkdir(parents=True)
    command_on_path(directory)
    return directory.parent


class Git:
    """git of a user in a sandbox, with a home of its own."""

    def __init__(self, tmp_path: Path, authority: trustme.CA, **more: str) -> None:
        self.home = tmp_path / "home"
        self.home.mkdir()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(self.home),
            "NO_PROXY": "localhost,127.0.0.1",
            "no_proxy": "localhost,127.0.0.1",
            "GIT_SSL_CAINFO": str(tmp_path / "ca.pem"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "x",
            "GIT_AUTHOR_EMAIL": "x@example.org",
            "GIT_COMMITTER_NAME": "x",
            "GIT_COMMITTER_EMAIL": "x@example.org",
            **more,
        }

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it."""
        return subprocess.run(
            ["git", *words],
            env=self._environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def holding(directory: Path, text: str) -> list[Path]:
    """The files below it with this text."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path for path in files if text.encode() in path.read_bytes()]


@pytest.mark.proves("S16")
def test_clone_and_push_need_nothing_pasted(
    api: SelfApi,
    served: HttpsServer,
    tmp_path: Path,
    authority: trustme.CA,
    repositories: Path,
    control: Control,
) -> None:
    """A real git clones from and pushes to a real https server by the plain address, and keeps no value."""
    git = Git(
        tmp_path,
        authority,
        **environment(Grant(name=NAME, kind="git", host=served.place), image=image(tmp_path)),
    )
    # A user's own helper, which would write every login that git saw into a file of the home.
    git("config", "--global", "credential.helper", "store")
    cloned = git("clone", f"https://{served.place}/git/project.git", "here")
    assert cloned.returncode == 0, cloned.stderr
    assert git("-C", "here", "commit", "--allow-empty", "-m", "second").returncode == 0
    pushed = git("-C", "here", "push", "origin", "HEAD:main")
    assert pushed.returncode == 0, pushed.stderr
    log = subprocess.run(
        ["git", "-C", repositories / "project.git", "log", "--format=%s", "main"],
        capture_output=True,
        text=True,
        check=True,
    )
    control("the push arrived", log.stdout == "second\nfirst\n")
    assert served.shown == {LOGIN}
    assert CANARY not in cloned.stdout + cloned.stderr + pushed.stdout + pushed.stderr
    # git's own store escapes what is no ASCII; the beginning is the same in every spelling.
    assert holding(git.home, CANARY[:11]) == []


@pytest.mark.proves("S16")
def test_another_host_gets_nothing_of_it(
    api: SelfApi,
    served: HttpsServer,
    tmp_path: Path,
    authority: trustme.CA,
    repositories: Path,
    control: Control,
) -> None:
    """A second server on another port sees no login, fails at once, and its users' own helper works on."""
    git = Git(
        tmp_path,
        authority,
        **environment(Grant(name=NAME, kind="git", host=served.place), image=image(tmp_path)),
    )
    with https_server(authority, repositories, ("own", "mine")) as other:
        refused = git("clone", f"https://{other.place}/git/project.git", "refused")
        assert refused.returncode != 0
        assert other.shown == set()
        git("config", "--global", "credential.helper", "!f() { echo username=own; echo password=mine; }; f")
        cloned = git("clone", f"https://{other.place}/git/project.git", "own")
        control("the user's own helper answers there", cloned.returncode == 0)
        assert other.shown == {("own", "mine")}
        git("config", "--global", "credential.helper", "store")
        place = other.place.replace(":", "%3a")
        (git.home / ".git-credentials").write_text(f"https://own:mine@{place}\n")
        assert git("clone", f"https://{other.place}/git/project.git", "stored").returncode == 0
        control("what a helper of git's stores is found", holding(git.home, "own:mine") != [])
    control("the granted host works", git("clone", f"https://{served.place}/git/project.git").returncode == 0)
    assert served.shown == {LOGIN}


def test_a_refusal_is_read_in_gits_own_output(
    api: SelfApi, served: HttpsServer, tmp_path: Path, authority: trustme.CA
) -> None:
    """When an admin has cut the server off, `git clone` ends with the sentence and asks nobody."""
    api.answers[f"POST {SECRETS}/{NAME}/read"] = (403, {"code": "secret.blocked", "message": "Cut off."})
    git = Git(
        tmp_path,
        authority,
        **environment(Grant(name=NAME, kind="git", host=served.place), image=image(tmp_path)),
    )
    done = git("clone", f"https://{served.place}/git/project.git")
    assert done.returncode != 0
    assert "Cut off." in done.stderr
    assert "told us to quit" in done.stderr
    assert "could not read Username" not in done.stderr


def test_a_proxied_host_is_reached_through_the_brokers_door(
    api: SelfApi, tmp_path: Path, authority: trustme.CA
) -> None:
    """The plain address leads to the door below NAME/proxy/, with the server's token when it asks for one."""
    granted(api, HOST, delivery="proxy")
    told = environment(
        Grant(name=NAME, kind="git", host=HOST, delivery="proxy"), Grant(name="db/x"), image=image(tmp_path)
    )
    told = {name: text.replace("127.0.0.1:8081", door(api)) for name, text in told.items()}
    api.asks_for_login(f"{SECRETS}/{NAME}/proxy/")
    done = Git(tmp_path, authority, **told)("ls-remote", f"https://{HOST}/group/project.git")
    asked = [(what, head.get("Authorization", "")) for what, head, _ in api.asked if "/proxy/" in what]
    line = f"GET {SECRETS}/{NAME}/proxy/group/project.git/info/refs?service=git-upload-pack"
    own = base64.b64encode(f"sandbox:{TOKEN}".encode()).decode()
    # git from 2.46 on shows it with the first question.
    assert asked in ([(line, ""), (line, f"Basic {own}")], [(line, f"Basic {own}")]), done.stderr
    assert CANARY not in str(api.asked)


@pytest.mark.parametrize(
    ("grants", "count"),
    [((), None), ((Grant(name="a"), Grant(name="b", kind="pip", host="x.example")), None)],
)
def test_without_a_grant_for_git_its_settings_are_left_alone(grants: tuple[Grant, ...], count: None) -> None:
    """No variable is set, so no host of anybody's is touched."""
    assert environment(*grants) == {}


def test_a_template_is_filled_with_whose_server_it_is() -> None:
    """The broker's address has the person's own name; a group that the person is not in has no address."""
    own = Grant(name="users/{username}/git", kind="git", host=HOST, delivery="proxy")
    team = Grant(name="teams/{group}/git", kind="git", host="other.example.org")
    told = environment(own, team)
    key = f"url.http://127.0.0.1:8081{SECRETS}/users/{SPEC.user}/git/proxy/.insteadOf"
    assert (told["GIT_CONFIG_KEY_0"], told["GIT_CONFIG_VALUE_0"]) == (key, f"https://{HOST}/")
    assert "other.example.org" not in str(told)


def test_settings_that_an_admin_made_stay() -> None:
    """GIT_CONFIG_COUNT of the profile goes on counting; ours come after."""
    mine = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.lowSpeedTime", "GIT_CONFIG_VALUE_0": "9"}
    told = environment(Grant(name=NAME, kind="git", host=HOST), before=mine)
    assert told == {
        **mine,
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_1": f"credential.https://{HOST}.helper",
        "GIT_CONFIG_VALUE_1": "",
        "GIT_CONFIG_KEY_2": f"credential.https://{HOST}.helper",
        "GIT_CONFIG_VALUE_2": "!/image/bin/jupyter-sandbox git-credential",
    }
