"""Do pip and twine log in by themselves where a grant says so, and is any other place left alone?"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring.backend
import keyring.core
import pytest
import trustme
from keyring.errors import PasswordDeleteError, PasswordSetError

from jupyter_sandbox_spawner.singleuser.keyring_backend import SandboxKeyring
from tests.singleuser.brokerapi import CANARY, SECRETS, about, give, lists
from tests.singleuser.httpsserver import HttpsServer, https_server
from tests.singleuser.selfapi import TOKEN, SelfApi

Control = Callable[[str, bool], None]
NAME = "team/index"
HOST = "pkg.example.org"
LOGIN = ("bot", CANARY)


def granted(api: SelfApi, host: str, **fields: str) -> None:
    """Let the broker have a login for this index."""
    lists(api, about("team/git", kind="git", host=host), about(NAME, kind="pip", host=host))
    given = fields or {"username": "bot", "password": CANARY}
    give(api, NAME, kind="pip", host=host, environment={}, fields=given)


@pytest.fixture
def broker(api: SelfApi) -> SelfApi:
    """A broker with a login for pkg.example.org."""
    granted(api, HOST)
    return api


def asked(service: str, user: str | None = None) -> tuple[str, str] | None:
    """What keyring's callers get."""
    found = SandboxKeyring().get_credential(service, user)
    return None if found is None else (found.username, found.password)


@pytest.mark.parametrize("service", [f"https://{HOST}/simple/", f"https://{HOST}", f"https://{HOST}:443/x?y"])
def test_the_granted_index_gets_its_login(broker: SelfApi, service: str) -> None:
    """Any path of exactly the granted host, by https."""
    assert asked(service) == asked(service, "bot") == LOGIN
    assert SandboxKeyring().get_password(service, "bot") == CANARY


@pytest.mark.parametrize(
    "service",
    [
        HOST,
        f"{HOST}:443",
        f"http://{HOST}/simple/",
        f"HTTPS://{HOST}/",
        f"//{HOST}/",
        f"https://{HOST}:8443/",
        f"https://{HOST}./",
        f"https://{HOST.upper()}/",
        f"https://bot@{HOST}/",
        f"https://eve@{HOST}/",
        f"https://bot:x@{HOST}/",
        f"https://bot@bot@{HOST}/",
        f"https://bot@evil.example@{HOST}/",
        f"https://{HOST}@evil.example/",
        f"https://evil.example/{HOST}",
        f"https://evil.example#{HOST}",
        f"https://evil.example\\@{HOST}/",
        f"https://{HOST}\\.evil.example/",
        f"https://{HOST}%2eevil.example/",
        f"https://{HOST}.evil.example/",
        f"https://sub.{HOST}/",
        "https://pk\u0261.example.org/",
        "https://pkg\u3002example\u3002org/",
        f"https://{HOST}\u2024evil.example/",
        f"https://{HOST}\t/",
        f"ht\ntps://{HOST}/",
        f" https://{HOST}/",
        "https://[::1",
        "https://",
        "",
    ],
)
def test_any_other_place_gets_nothing(broker: SelfApi, control: Control, service: str) -> None:
    """Without https, for other hosts, ports, users and look-alikes: None, and no value is read."""
    assert asked(service) is None
    assert asked(service, "bot") is None
    assert SandboxKeyring().get_password(service, "bot") is None
    assert not any(what.endswith("/read") for what, _, _ in broker.asked)
    control("the granted index is answered", asked(f"https://{HOST}/simple/") == LOGIN)


@pytest.mark.parametrize(
    ("fields", "user", "expected"),
    [
        ({"user": "bot", "password": CANARY}, "eve", None),
        ({"token": CANARY}, None, ("__token__", CANARY)),
        ({"value": CANARY}, "ada", ("ada", CANARY)),
    ],
)
def test_the_user_is_the_secrets_or_the_askers(
    broker: SelfApi, fields: dict[str, str], user: str | None, expected: tuple[str, str] | None
) -> None:
    """Another user's login is not given; a token alone goes with the name asked for, or __token__."""
    granted(broker, HOST, **fields)
    assert asked(f"https://{HOST}/", user) == expected


@pytest.mark.parametrize(
    ("path", "user", "opens"),
    [
        (f"{SECRETS}/{NAME}/proxy/simple/", None, True),
        (f"{SECRETS}/{NAME}/proxy/simple/", "sandbox", True),
        (f"{SECRETS}/{NAME}/proxy/simple/", "bot", False),
        (f"{SECRETS}/{NAME}/proxy", None, False),
        (f"{SECRETS}/{NAME}/read", None, False),
        (f"{SECRETS}/other/proxy/simple/", None, False),
        (f"{SECRETS}/{NAME}/proxy/../../x", None, False),
        (f"{SECRETS}/{NAME}/proxy/%2e%2e/x", None, False),
        ("/jh/hub/api/user", None, False),
    ],
)
def test_the_brokers_proxy_gets_the_servers_token(
    api: SelfApi, path: str, user: str | None, opens: bool
) -> None:
    """Below .../NAME/proxy/ of a grant by proxy, at this sandbox's own door alone, with its own token."""
    lists(api, about(NAME, kind="pip", host=HOST, delivery="proxy"))
    assert asked(f"http://127.0.0.1:{api.server_port}{path}", user) == (("sandbox", TOKEN) if opens else None)
    assert asked(f"https://127.0.0.1:{api.server_port}{path}", user) is None
    assert asked(f"http://localhost:{api.server_port}{path}", user) is None
    assert asked(f"https://{HOST}/") is None


def test_a_login_that_cannot_be_read_is_told(broker: SelfApi, capsys: pytest.CaptureFixture[str]) -> None:
    """None for the caller, who would else stop using every keyring, and the sentence for the person."""
    broker.answers[f"POST {SECRETS}/{NAME}/read"] = (403, {"code": "secret.blocked", "message": "Cut off."})
    assert asked(f"https://{HOST}/") is None
    assert capsys.readouterr().err == "jupyter sandbox: Cut off.\n"


def test_nothing_is_stored(broker: SelfApi) -> None:
    """Both verbs are refused; one that is not ours may be tried by keyring's chain."""
    with pytest.raises(PasswordSetError) as caught:
        SandboxKeyring().set_password(f"https://{HOST}/", "x", "y")
    assert isinstance(caught.value, NotImplementedError)
    with pytest.raises(PasswordDeleteError):
        SandboxKeyring().delete_password(f"https://{HOST}/", "x")


def test_keyring_finds_it_in_a_sandbox_only(broker: SelfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point is installed; inside it is usable and below the chain, outside it is not there."""
    keyring.core.init_backend()
    assert SandboxKeyring in set(map(type, keyring.backend.get_all_keyring()))
    assert 5 < SandboxKeyring.priority < 10
    monkeypatch.delenv("JUPYTER_SANDBOX")
    assert not SandboxKeyring.viable


# ---- real programs


@pytest.fixture
def authority() -> trustme.CA:
    """Who signs the servers' certificates."""
    return trustme.CA()


@pytest.fixture
def index(authority: trustme.CA, tmp_path: Path, api: SelfApi) -> Iterator[HttpsServer]:
    """The granted package index, with one wheel."""
    with https_server(authority, tmp_path, LOGIN) as server:
        fill(server, tmp_path)
        granted(api, server.place)
        yield server


def fill(server: HttpsServer, tmp_path: Path) -> Path:
    """Put a wheel of nothing into an index; the wheel."""
    wheel = tmp_path / "tinyone-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinyone.py", "")
        archive.writestr("tinyone-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyone\nVersion: 1\n")
        archive.writestr(
            "tinyone-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tinyone-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page = f'<a href="/files/{wheel.name}#sha256={digest}">{wheel.name}</a>'
    server.pages["/simple/tinyone/"] = ("text/html", page.encode())
    server.pages[f"/files/{wheel.name}"] = ("application/octet-stream", wheel.read_bytes())
    return wheel


def program(tmp_path: Path, authority: trustme.CA, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one as in a sandbox: its keyring is the one that the environment's packages bring."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    (tmp_path / "home").mkdir(exist_ok=True)
    # pip runs a `keyring` of any environment but its own.
    own, other = Path(sys.executable).parent, tmp_path / "bin"
    other.mkdir(exist_ok=True)
    (other / "keyring").unlink(missing_ok=True)
    (other / "keyring").symlink_to(own / "keyring")
    return subprocess.run(
        [sys.executable, "-m", *words],
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("PIP_")},
            "PATH": f"{other}:{own}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "NO_PROXY": "localhost",
            "no_proxy": "localhost",
            "PIP_CONFIG_FILE": os.devnull,
            **dict.fromkeys(("PIP_CERT", "TWINE_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str(bundle)),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def download(tmp_path: Path, authority: trustme.CA, url: str, *more: str) -> Any:
    """Let pip fetch the package from this index."""
    into = tmp_path / "into"
    pip = ("pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--retries=0")
    done = program(tmp_path, authority, *pip, "-d", into, "-i", url, *more, "tinyone")
    return done, (into / "tinyone-1-py3-none-any.whl").exists()


@pytest.mark.parametrize(
    ("provider", "user"), [("auto", ""), ("import", ""), ("subprocess", "bot@")], ids=lambda text: text or "-"
)
def test_pip_installs_with_nothing_pasted(
    api: SelfApi, index: HttpsServer, tmp_path: Path, authority: trustme.CA, provider: str, user: str
) -> None:
    """A real pip takes the login from keyring, imported or as a program, and prints no value."""
    url = f"https://{user}{index.place}/simple/"
    done, arrived = download(tmp_path, authority, url, f"--keyring-provider={provider}")
    assert arrived, f"{index.seen} {done.stdout} {done.stderr}"
    assert index.shown >= {LOGIN}
    assert CANARY not in done.stdout + done.stderr


def test_pip_gives_another_index_nothing(
    api: SelfApi, index: HttpsServer, tmp_path: Path, authority: trustme.CA, control: Control
) -> None:
    """A second index on another port asks for a login and sees none."""
    with https_server(authority, tmp_path, LOGIN) as other:
        fill(other, tmp_path)
        done, arrived = download(tmp_path, authority, f"https://{other.place}/simple/", "--no-input")
        assert not arrived, done.stdout
        assert other.seen
        assert other.shown == set()
    _, arrived = download(tmp_path, authority, f"https://{index.place}/simple/")
    control("the granted index is used", arrived)


def test_twine_uploads_with_nothing_pasted(
    api: SelfApi, index: HttpsServer, tmp_path: Path, authority: trustme.CA
) -> None:
    """A real twine takes user and password from keyring."""
    wheel = tmp_path / "tinyone-1-py3-none-any.whl"
    words = ("upload", "--non-interactive", "--disable-progress-bar", "--repository-url")
    done = program(tmp_path, authority, "twine", *words, f"https://{index.place}/legacy/", wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    assert index.shown == {LOGIN}
    assert len(index.posted) == 1
    assert base64.b64encode(CANARY.encode()).decode() not in done.stdout + done.stderr
