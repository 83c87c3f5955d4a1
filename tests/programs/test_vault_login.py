"""How does the broker log in at a real Vault, and how does Vault know its keys when they change?"""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from jupyter_sandbox_spawner.broker.own_login import OwnLogin
from jupyter_sandbox_spawner.broker.signing import Signer
from jupyter_sandbox_spawner.clients.vault import VaultClient
from jupyter_sandbox_spawner.errors import ConfigurationError, SandboxError
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.rules.signing_keys import KeyTimes
from jupyter_sandbox_spawner.vault_site import VaultSite

from ..support.faulty_proxy import faulty_proxy
from ..support.token_review import running_cluster
from ..support.vault_server import VaultServer
from .vault_street import becomes, opened_vault, reader, site_of

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(60)]
Control = Callable[[str, bool], None]


async def token_of(site: VaultSite, directory: Path) -> str:
    """What a broker that starts with these settings gets."""
    async with VaultClient(site) as client:
        return await OwnLogin(site, client, str(directory)).token()


async def works(site: VaultSite, token: str) -> bool:
    """May it do what the broker does?"""
    async with VaultClient(site) as client:
        found = await client.read(token, "auth/token/lookup-self")
        return "sandbox-broker" in found.data["policies"]


async def test_a_wrapped_secret_id_is_opened_once_and_kept(vault: VaultServer, tmp_path: Path) -> None:
    """A restart needs nobody; what is kept is the broker's alone; an unwrapped id works as well."""
    site = site_of(vault)
    assert await works(site, await token_of(site, tmp_path))
    assert await works(site, await token_of(site, tmp_path))
    kept = tmp_path / "vault-secret-id.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    plain = tmp_path / "plain"
    plain.write_text(json.loads(kept.read_text())["secret_id"] + "\n")
    assert await works(site, await token_of(replace(site, secret_id_file=str(plain)), tmp_path / "x"))


@pytest.mark.proves("C07")
async def test_a_secret_id_that_somebody_opened_is_an_alarm(
    vault: VaultServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, control: Control
) -> None:
    """The broker says SECURITY and what to do, and does not log in."""
    site = site_of(vault)
    wrapped = await asyncio.to_thread(Path(site.secret_id_file).read_text)
    thief = vault.call("PUT", "sys/wrapping/unwrap", token=wrapped.strip())
    control("it could be opened", bool(thief["data"]["secret_id"]))
    with pytest.raises(ConfigurationError) as caught:
        await token_of(site, tmp_path)
    assert caught.value.code == "vault.wrapping"
    assert "Find out who opened it" in caught.value.remedy
    assert "SECURITY" in caplog.text
    assert thief["data"]["secret_id"] not in caplog.text


async def test_what_was_wrapped_elsewhere_is_not_opened(vault: VaultServer, tmp_path: Path) -> None:
    """A wrapped thing of another call is refused by its origin, and stays closed."""
    answer = vault.call("PUT", "sys/wrapping/wrap", {"secret_id": "x"}, headers={"X-Vault-Wrap-TTL": "60"})
    wrapped = answer["wrap_info"]["token"]
    file = tmp_path / "id"
    file.write_text(wrapped)
    with pytest.raises(ConfigurationError, match="it was made by 'sys/wrapping/wrap'"):
        await token_of(replace(site_of(vault), secret_id_file=str(file)), tmp_path / "d")
    assert vault.call("PUT", "sys/wrapping/unwrap", token=wrapped)["data"] == {"secret_id": "x"}


async def test_a_wrapped_secret_id_is_opened_at_the_start(vault: VaultServer, tmp_path: Path) -> None:
    """Before anybody asks for a secret: in ten minutes it would be too old."""
    async with opened_vault(vault, tmp_path):

        async def opened() -> bool:
            return await asyncio.to_thread((tmp_path / "broker/vault-secret-id.json").exists)

        await becomes(opened, 5)


async def test_a_token_from_a_file(vault: VaultServer, tmp_path: Path) -> None:
    """As an agent of Vault writes it."""
    file = tmp_path / "token"
    file.write_text(vault.broker_token() + "\n")
    site = replace(site_of(vault), login="token", token_file=str(file))
    assert await works(site, await token_of(site, tmp_path))


async def test_a_service_account_logs_in(vault: VaultServer, tmp_path: Path) -> None:
    """With the token that a pod finds in its volume; that of another account is refused."""
    with running_cluster(tmp_path) as cluster:
        place = ["--kubernetes", cluster.address, "--kubernetes-ca", str(cluster.ca_file)]
        await asyncio.to_thread(
            vault.set_up, "--shared", "shared/*", *place, "--service-account", "hub/broker"
        )
        file = tmp_path / "token"
        file.write_text(cluster.token("hub/broker"))
        site = replace(site_of(vault), login="kubernetes", token_file=str(file))
        assert await works(site, await token_of(site, tmp_path))
        file.write_text(cluster.token("hub/another"))
        with pytest.raises(SandboxError) as caught:
            await token_of(site, tmp_path)
        assert caught.value.code == "vault.denied"


async def test_every_call_names_the_namespace(vault: VaultServer) -> None:
    """Where one is set; an Enterprise or OpenBao behind it then looks nowhere else."""
    with faulty_proxy(vault.address) as way:
        async with VaultClient(replace(site_of(vault), address=way.address, namespace="team-a")) as client:
            await client.health()
            for call in (
                client.login("approle", {}),
                client.read("x", "secret/data/a"),
                client.write("x", "auth/token/revoke-accessor", {"accessor": "a"}),
            ):
                with pytest.raises(SandboxError):
                    await call
        assert {seen.namespace for seen in way.requests} == {"team-a"}
        assert len(way.requests) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"role_id_file": "/nowhere"}, "vault.role_id_file: '/nowhere' cannot be used"),
        ({"secret_id_file": "/nowhere"}, "vault.secret_id_file"),
        ({"login": "token"}, "vault.token_file: '' cannot be used: it is not set"),
    ],
)
async def test_a_missing_file_is_named(
    vault: VaultServer, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    """The field, its value and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=words):
        await token_of(replace(site_of(vault), **changes), tmp_path)  # type: ignore[arg-type]


async def test_a_revoked_login_of_the_broker_is_renewed(vault: VaultServer, tmp_path: Path) -> None:
    """Where Vault refuses the broker's own token, it logs in again by itself."""
    moments = [0.0]
    site = site_of(vault)
    async with VaultClient(site) as client:
        own = OwnLogin(site, client, str(tmp_path), clock=lambda: moments[0])
        first = await own.token()
        vault.call("PUT", "auth/token/revoke", {"token": first})
        assert own.refused() is False  # just logged in: that is no reason to hammer Vault
        moments[0] = 60.0
        assert own.refused() is True
        assert await works(site, await own.token())


async def test_a_namespace_that_vault_would_pass_over_is_refused(vault: VaultServer, tmp_path: Path) -> None:
    """Vault without Enterprise ignores the header; then nothing is read from another place silently."""
    with pytest.raises(ConfigurationError) as caught:
        await token_of(replace(site_of(vault), namespace="team-a"), tmp_path)
    assert (caught.value.code, caught.value.field) == ("vault.no_namespaces", "vault.namespace")


async def test_keys_change_without_a_gap(vault: VaultServer, tmp_path: Path) -> None:
    """A new key is known to Vault before it signs; tokens of the old one are taken until they end."""
    times = KeyTimes(ahead=timedelta(seconds=1), after=timedelta(seconds=2))
    site = site_of(vault)
    signer = Signer(str(tmp_path), times=times)

    async def accepted(token: str) -> bool:
        async with VaultClient(site) as client:
            return bool((await client.login_jwt(token)).accessor)

    async def signs(wanted: str) -> bool:
        return str(jwt.get_unverified_header(signer.token(site, reader()))["kid"]) == wanted

    (old,) = (key["kid"] for key in signer.key_set()["keys"])
    before = signer.token(site, reader())
    new = signer.rotate()
    assert await signs(old)
    vault.set_jwt_keys(signer.pems())
    assert await accepted(signer.token(site, reader()))
    await becomes(lambda: signs(new), 5)
    assert await accepted(signer.token(site, reader()))
    assert await accepted(before)

    async def forgotten() -> bool:
        signer.tend()
        return [key["kid"] for key in signer.key_set()["keys"]] == [new]

    await becomes(forgotten, 5)


async def test_keys_survive_a_restart_and_are_private(tmp_path: Path) -> None:
    """Another signer at the same place has the same key, in a file of mode 0600; a broken one is named."""
    first = Signer(str(tmp_path))
    assert Signer(str(tmp_path)).key_set() == first.key_set()
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(first.key_set()["keys"][0]) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    file.write_text("{}")
    with pytest.raises(ConfigurationError) as caught:
        Signer(str(tmp_path))
    assert caught.value.code == "vault.key_unusable"


@pytest.mark.parametrize("changes", [{"issuer": "another"}, {"audience": "another"}, {"jwt_role": "nobody"}])
async def test_a_wrong_issuer_audience_or_role_is_vaults_no(
    vault: VaultServer, tmp_path: Path, changes: dict[str, str]
) -> None:
    """Each is refused with Vault's own reason."""
    async with opened_vault(vault, tmp_path, **changes) as place:
        with pytest.raises(SandboxError) as caught:
            await place.parts.store.read(reader(), Grant(name="users/alice/notes"))
    assert caught.value.code == "vault.refused"
    assert "Vault refused the request for a login: " in caught.value.message


async def test_what_the_broker_may_not_do_itself(vault: VaultServer, control: Control) -> None:
    """Its own token reads no value, though it stores them and knows their names."""
    vault.put("users/alice/notes", {"value": "alice's"})
    site, token = site_of(vault), await asyncio.to_thread(vault.broker_token)
    async with VaultClient(site) as client:
        names = await client.list(token, "secret/metadata/users/alice")
        control("it lists names", "notes" in names)
        with pytest.raises(SandboxError) as caught:
            await client.read(token, "secret/data/users/alice/notes")
    assert caught.value.code == "vault.denied"
