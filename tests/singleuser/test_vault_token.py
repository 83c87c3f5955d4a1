"""Does a wrapped Vault token open once, into one file in memory, and is anything odd an alarm and no file?"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError, RefusedError, SandboxError, UnreachableError
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from jupyter_sandbox_spawner.singleuser.secret_values import secrets
from jupyter_sandbox_spawner.singleuser.vault_token import unwrap
from tests.singleuser.brokerapi import CANARY, SECRETS, about, give
from tests.singleuser.selfapi import SelfApi
from tests.singleuser.test_secret_list import soon
from tests.singleuser.vaultapi import LOGIN_PATH, VaultApi, vault_api

Control = Callable[[str, bool], None]
NAME = "own/vault"
# As Vault's are spelled, put together here so that no scan takes it for a real one.
WRAPPED = ".".join(("hvs", "wrapping-token-of-this-test"))
TOKEN = ".".join(("hvs", CANARY.encode().hex()))


@pytest.fixture
def vault() -> Iterator[VaultApi]:
    """A Vault with one wrapped login."""
    with vault_api() as server:
        server.wrap(WRAPPED, TOKEN)
        yield server


@pytest.fixture
def broker(api: SelfApi, vault: VaultApi, memory: Path) -> SelfApi:
    """A broker that hands out this wrapped token, and takes alarms."""
    hands_out(api, vault.address)
    api.answers[f"POST {SECRETS}/{NAME}/alarm"] = (200, {"alarmed": ""})
    return api


def hands_out(api: SelfApi, address: str, **others: str) -> None:
    """Let the broker hand out the wrapped token of a Vault at this address."""
    fields = {"wrapped_token": WRAPPED, "address": address, "namespace": "", "creation_path": LOGIN_PATH}
    fields |= {"expected_path": LOGIN_PATH, **others}
    more: dict[str, Any] = {"expires_at": soon(14), "renewed": True}
    give(api, NAME, kind="vault", static=False, environment={}, fields=fields, **more)


def alarms(api: SelfApi) -> list[str]:
    """The codes of the alarms that were sent."""
    return [json.loads(body)["code"] for what, _, body in api.asked if what == f"POST {SECRETS}/{NAME}/alarm"]


def files(memory: Path) -> list[Path]:
    """What lies below the runtime directory."""
    return [path for path in memory.rglob("*") if path.is_file()]


@pytest.mark.proves("S14")
def test_the_token_is_in_one_file_in_memory(
    broker: SelfApi, vault: VaultApi, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looked up, then opened; the file is 0400 in a 0700 directory; what is printed says how to use it."""
    assert main(["secrets", "vault", NAME]) == ExitStatus.OK
    printed = capsys.readouterr()
    (file,) = files(memory)
    assert (file.name, file.read_text()) == ("own+vault", TOKEN)
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o400, 0o700)
    assert [path for path, _, _ in vault.asked] == ["/v1/sys/wrapping/lookup", "/v1/sys/wrapping/unwrap"]
    assert "X-Vault-Token" not in vault.asked[0][1]
    assert str(file) in printed.out
    assert "in 14 min, and is renewed while this server runs" in printed.out
    assert f"VAULT_ADDR={vault.address} VAULT_TOKEN=" in printed.out
    assert TOKEN not in printed.out + printed.err
    assert WRAPPED not in printed.out + printed.err
    assert alarms(broker) == []


def test_a_new_token_takes_the_place_of_the_old(broker: SelfApi, vault: VaultApi, memory: Path) -> None:
    """Run again it replaces the file as a whole, though nobody may write into it."""
    first = unwrap(NAME)
    vault.wrap(WRAPPED, "hvs.second")
    assert f" {first.file}, " in str(secrets.vault(NAME))
    assert [path.read_text() for path in files(memory)] == ["hvs.second"]


def test_a_namespace_goes_with_every_question(broker: SelfApi, vault: VaultApi, memory: Path) -> None:
    """Vault Enterprise and OpenBao find the token in the namespace that the broker names."""
    hands_out(broker, vault.address, namespace="team/a")
    assert "VAULT_NAMESPACE=team/a" in str(unwrap(NAME))
    assert [head["X-Vault-Namespace"] for _, head, _ in vault.asked] == ["team/a", "team/a"]


@pytest.mark.proves("S14")
def test_a_token_that_somebody_opened_is_an_alarm(
    broker: SelfApi, vault: VaultApi, memory: Path, control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second opening fails with a sentence, writes nothing, and the broker is told."""
    control("it opens once", TOKEN in Path(unwrap(NAME).file).read_text())
    shutil.rmtree(memory / "vault")
    assert main(["secrets", "vault", NAME]) == ExitStatus.REFUSED
    printed = capsys.readouterr()
    assert "does not open: somebody else opened it" in printed.err
    assert "The hub's admin has been told" in printed.err
    assert (files(memory), alarms(broker)) == ([], ["wrapping.used"])
    assert WRAPPED not in printed.err


@pytest.mark.proves("S14")
@pytest.mark.parametrize("path", ["auth/userpass/login/eve", "sys/wrapping/wrap", "", f"{LOGIN_PATH}/x"])
def test_a_token_of_another_making_is_not_opened(
    broker: SelfApi, vault: VaultApi, memory: Path, control: Control, path: str
) -> None:
    """Where it was made elsewhere it stays closed, there is no file, and the broker is told."""
    vault.wrap(WRAPPED, TOKEN, path)
    with pytest.raises(RefusedError) as caught:
        unwrap(NAME)
    assert caught.value.code == "wrapping.wrong_path"
    assert not any(asked.endswith("/unwrap") for asked, _, _ in vault.asked)
    assert (files(memory), alarms(broker)) == ([], ["wrapping.wrong_path"])
    vault.wrap(WRAPPED, TOKEN)
    control("one of the right making opens", Path(unwrap(NAME).file).read_text() == TOKEN)


def test_what_the_broker_says_of_the_path_does_not_count(broker: SelfApi, vault: VaultApi) -> None:
    """Vault's own word is compared with what is expected; without an expectation nothing is opened."""
    hands_out(broker, vault.address, expected_path="")
    vault.wrap(WRAPPED, TOKEN, "")
    with pytest.raises(RefusedError) as caught:
        unwrap(NAME)
    assert caught.value.code == "wrapping.wrong_path"


@pytest.mark.parametrize(
    "inner", [{"data": {"client_token": "x"}}, {"auth": None}, {"auth": {"client_token": ""}}]
)
def test_what_holds_no_token_is_an_alarm(
    broker: SelfApi, vault: VaultApi, memory: Path, inner: dict[str, object]
) -> None:
    """Something else was wrapped: no file, and the broker is told."""
    vault.wrapped[WRAPPED] = (LOGIN_PATH, inner)
    with pytest.raises(RefusedError):
        unwrap(NAME)
    assert (files(memory), alarms(broker)) == ([], ["wrapping.no_token"])


def test_an_alarm_that_cannot_be_sent_is_said(broker: SelfApi, vault: VaultApi) -> None:
    """The person then tells the admin; the first error stays the one that is raised."""
    vault.wrapped.clear()
    del broker.answers[f"POST {SECRETS}/{NAME}/alarm"]
    with pytest.raises(RefusedError, match="no alarm could be sent") as caught:
        unwrap(NAME)
    assert caught.value.code == "wrapping.used"


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ((503, {}, b'{"errors": ["Vault is sealed"]}'), "HTTP 503"),
        ((302, {"Location": "ELSEWHERE"}, b""), "HTTP 302"),
        ((307, {"Location": "ELSEWHERE"}, b""), "HTTP 307"),
        ((403, {"X-Sandbox-Deny": "egress.not_allowed"}, b""), "egress does not allow it"),
        ((200, {}, b"<html>"), "does not answer"),
        ((200, {}, b"[]"), "does not answer"),
    ],
)
def test_a_vault_that_is_away_is_no_alarm(
    broker: SelfApi, vault: VaultApi, memory: Path, broken: tuple[int, dict[str, str], bytes], words: str
) -> None:
    """Sealed, denied by the sandbox's own proxy, odd or redirecting: a sentence, no file, no alarm."""
    status, headers, content = broken
    with vault_api() as elsewhere:
        vault.broken = (
            status,
            {name: text.replace("ELSEWHERE", elsewhere.address) for name, text in headers.items()},
            content,
        )
        with pytest.raises(UnreachableError) as caught:
            unwrap(NAME)
        assert elsewhere.asked == []
    assert caught.value.code == "secret.vault_away"
    assert words in caught.value.message
    assert WRAPPED not in str(caught.value)
    assert (files(memory), alarms(broker)) == ([], [])


def test_a_vault_that_cannot_be_reached_is_no_alarm(broker: SelfApi, memory: Path) -> None:
    """Nobody listens there: the sentence names the host and the profile's egress."""
    hands_out(broker, "http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"egress must allow 127\.0\.0\.1:9"):
        unwrap(NAME)
    assert (files(memory), alarms(broker)) == ([], [])


def test_vault_is_asked_through_the_sandboxs_proxy(
    broker: SelfApi, vault: VaultApi, memory: Path, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """An https Vault is asked for at the egress proxy, which decides; a denial there is no alarm."""
    hands_out(broker, "https://vault.example.org:8200")
    with vault_api() as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(UnreachableError, match=r"Vault at vault\.example\.org:8200 does not answer"):
            unwrap(NAME)
        assert [path for path, _, _ in proxy.asked] == ["vault.example.org:8200"]
    assert alarms(broker) == []
    hands_out(broker, vault.address)
    control("a local one is asked directly", Path(unwrap(NAME).file).read_text() == TOKEN)


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example.org",
        "ftp://x",
        "https://",
        "",
        "https://u:p@vault.example.org",
        "file:///etc/passwd",
    ],
)
def test_only_an_https_vault_is_asked(broker: SelfApi, memory: Path, address: str) -> None:
    """Over plain http anybody on the way could open the token first."""
    hands_out(broker, address)
    with pytest.raises(SandboxError) as caught:
        unwrap(NAME)
    assert caught.value.code == "secret.vault_address"
    assert files(memory) == []


@pytest.mark.parametrize("place", ["disk", "missing", "directory"])
def test_a_place_that_lasts_is_refused_before_the_token_is_used(
    broker: SelfApi, vault: VaultApi, memory: Path, tmp_path: Path, control: Control, place: str
) -> None:
    """A file on a disk, in no directory, or in a directory's place: the token is neither read nor opened."""
    (memory / "taken").mkdir()
    chosen = {"disk": Path("/usr/token"), "missing": memory / "none/token", "directory": memory / "taken"}
    with pytest.raises(ConfigurationError) as caught:
        unwrap(NAME, str(chosen[place]))
    assert caught.value.code == "secret.file_refused"
    assert (broker.asked, vault.asked) == ([], [])
    named = unwrap(NAME, str(memory / "mine"))
    control("a file in memory is taken", Path(named.file).read_text() == TOKEN)


def test_a_file_that_cannot_be_written_leaves_nothing(
    broker: SelfApi, vault: VaultApi, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk there is a sentence without the token, and no half file."""

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigurationError, match="No space left on device") as caught:
        unwrap(NAME)
    assert TOKEN not in str(caught.value)
    assert files(memory) == []


def test_a_link_to_a_disk_is_a_disk(broker: SelfApi, vault: VaultApi, memory: Path) -> None:
    """What counts is where the file would really be."""
    (memory / "link").symlink_to("/usr")
    with pytest.raises(ConfigurationError, match="on a disk"):
        unwrap(NAME, str(memory / "link/token"))
    assert vault.asked == []


def test_a_secret_of_another_kind_has_no_token(broker: SelfApi, vault: VaultApi) -> None:
    """It says how that one is read."""
    give(broker, NAME)
    with pytest.raises(ConfigurationError, match="is of kind kv"):
        unwrap(NAME)
    assert vault.asked == []


def test_the_list_and_the_secret_hide_the_wrapped_token(broker: SelfApi) -> None:
    """It is a value like any other, and no variable is made of it."""
    from jupyter_sandbox_spawner.singleuser.secret_use import variables
    from jupyter_sandbox_spawner.singleuser.secret_values import read

    assert WRAPPED not in repr(read(NAME)) + str(dict(read(NAME)))
    assert about(NAME)["name"] == NAME
    with pytest.raises(RefusedError, match="belongs in a file"):
        variables([NAME])
