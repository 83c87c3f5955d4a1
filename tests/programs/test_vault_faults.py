"""What does a person read when the way to Vault is broken, and who waits? A real Vault behind a proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.clients.vault import VaultClient, checked_path
from jupyter_sandbox_spawner.errors import ConfigurationError, SandboxError
from jupyter_sandbox_spawner.vault_site import VaultSite

from ..support.faulty_proxy import FaultyProxy, faulty_proxy
from ..support.vault_server import VaultServer
from .vault_street import ALICE, OWN, ControlStandIn, VaultPlace, becomes, gone, opened_vault, reader, site_of

pytestmark = [pytest.mark.lane("vault"), pytest.mark.timeout(120)]
Control = Callable[[str, bool], None]


@pytest.fixture
def way(vault: VaultServer) -> Iterator[FaultyProxy]:
    """The only way to Vault."""
    vault.put("users/alice/notes", {"value": "alice's"})
    with faulty_proxy(vault.address) as proxy:
        yield proxy


@pytest.fixture
async def place(vault: VaultServer, way: FaultyProxy, tmp_path: Path) -> AsyncIterator[VaultPlace]:
    """Alice's sandbox has read already, so that a fault meets everything at work."""
    async with opened_vault(vault, tmp_path, site=site_of(vault, address=way.address)) as found:
        found.control.runs.add(ALICE.sandbox)
        await found.parts.store.read(ALICE, OWN)
        yield found


FAULTS: dict[str, tuple[Callable[[FaultyProxy], None], str, str]] = {
    "sealed by status": (lambda way: way.answer(503), "vault.sealed", "Vault is sealed"),
    "429": (lambda way: way.answer(429, {"Retry-After": "7"}), "vault.rate_limited", "asked too often"),
    "473": (lambda way: way.answer(473), "vault.standby", "performance standby"),
    "472": (lambda way: way.answer(472), "vault.standby", "is a standby"),
    "500": (lambda way: way.answer(500), "vault.failed", "an error of its own"),
    "501": (lambda way: way.answer(501), "vault.not_initialized", "not set up"),
    "502": (lambda way: way.answer(502), "vault.bad_gateway", "cannot reach it"),
    "504": (lambda way: way.answer(504), "vault.bad_gateway", "did not get an answer"),
    "malformed": (lambda way: way.malformed(), "vault.malformed", "not what Vault answers"),
    "no JSON": (lambda way: way.malformed("<html>"), "vault.malformed", "not what Vault answers"),
    "refused": (lambda way: way.refuse(), "vault.unreachable", "nobody listens"),
    "reset": (lambda way: way.reset(), "vault.reset", "cut the connection"),
    "cut": (lambda way: way.cut(), "vault.reset", "cut the connection"),
    "hanging": (lambda way: way.hang(), "vault.slow", "did not answer in time"),
    "dripping": (lambda way: way.drip(0.5), "vault.slow", "did not answer in time"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_has_a_sentence_of_its_own(place: VaultPlace, way: FaultyProxy, fault: str) -> None:
    """One line with its cause and the way out, within nine seconds; afterwards everything works as before."""
    break_it, code, words = FAULTS[fault]
    break_it(way)
    began = time.monotonic()
    with pytest.raises(SandboxError) as caught:
        await place.parts.store.read(ALICE, OWN)
    assert (caught.value.code, words in caught.value.message) == (code, True), caught.value
    assert caught.value.remedy
    assert caught.value.status == 503
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 9
    way.pass_on()

    async def works() -> bool:
        try:
            return dict((await place.parts.store.read(ALICE, OWN)).fields) == {"value": "alice's"}
        except SandboxError:
            return False

    await becomes(works, 8)


async def test_the_sentences_differ(place: VaultPlace, way: FaultyProxy) -> None:
    """Nobody has to guess which of two causes is meant."""
    said: dict[str, set[str]] = {}
    for fault in ("sealed by status", "429", "473", "500", "501", "502", "malformed", "refused", "reset"):
        FAULTS[fault][0](way)
        with pytest.raises(SandboxError) as caught:
            await place.parts.store.read(ALICE, OWN)
        said.setdefault(caught.value.message, set()).add(fault)
        way.pass_on()
        # So that the breaker does not repeat an outage of before.
        await place.parts.store.read(ALICE, OWN)
    assert len(said) == 9, said


async def test_a_retry_time_is_told(place: VaultPlace, way: FaultyProxy) -> None:
    """A limit of Vault's says when to come again."""
    way.answer(429, {"Retry-After": "7"})
    with pytest.raises(SandboxError) as caught:
        await place.parts.store.read(ALICE, OWN)
    assert "7 s" in caught.value.remedy


async def test_a_really_sealed_vault_says_so(vault: VaultServer, place: VaultPlace) -> None:
    """Reads and logins are told so; unsealed, the sandbox reads on with the login it had."""
    with vault.sealed():
        for who in (ALICE, reader("alice", 7)):
            with pytest.raises(SandboxError) as caught:
                await place.parts.store.read(who, OWN)
            assert caught.value.code == "vault.sealed"
        state = await place.parts.store.state()
        assert (state.ok, state.code) == (False, "vault.sealed")

    async def fine() -> bool:
        return (await place.parts.store.state()).ok

    await becomes(fine, 8)
    assert dict((await place.parts.store.read(ALICE, OWN)).fields) == {"value": "alice's"}


async def test_no_token_follows_a_redirect(
    vault: VaultServer, place: VaultPlace, way: FaultyProxy, control: Control
) -> None:
    """A redirect to another host is an error, and nothing is sent there."""
    with faulty_proxy(vault.address, "127.0.0.2") as elsewhere:
        way.redirect(elsewhere.address)
        with pytest.raises(SandboxError) as caught:
            await place.parts.store.read(ALICE, OWN)
        assert caught.value.code == "vault.redirected"
        assert (elsewhere.connections, elsewhere.requests) == (0, [])
        # Asked outright, that host does see a token.
        async with VaultClient(replace(place.site, address=elsewhere.address)) as client:
            with pytest.raises(SandboxError):
                await client.read("nobody's", "auth/token/lookup-self")
        control("the other host notices tokens", elsewhere.token_seen)


async def test_a_hanging_vault_holds_up_nobody_for_long(place: VaultPlace, way: FaultyProxy) -> None:
    """Fifty readers at once: each has its sentence in ten seconds, and the loop goes on turning."""
    way.hang()
    lags: list[float] = []

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.02)
            lags.append(time.monotonic() - before - 0.02)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    found = await asyncio.gather(
        *(place.parts.store.read(reader("alice", number), OWN) for number in range(50)),
        return_exceptions=True,
    )
    took = time.monotonic() - began
    watching.cancel()
    assert {getattr(error, "code", error) for error in found} == {"vault.slow"}
    assert took < 10
    assert sorted(lags)[len(lags) * 99 // 100] < 0.2
    # From now on nobody waits at all, until one call has tried again.
    began = time.monotonic()
    with pytest.raises(SandboxError):
        await place.parts.store.read(ALICE, OWN)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("number", range(2))
async def test_what_ends_while_vault_is_away_ends_later(
    vault: VaultServer, way: FaultyProxy, tmp_path: Path, number: int
) -> None:
    """The end waits on disk, also over a restart of the broker, and is made as soon as Vault answers."""
    control = ControlStandIn()
    control.runs.add(ALICE.sandbox)
    site = site_of(vault, address=way.address)
    async with opened_vault(vault, tmp_path, control, site) as before:
        await before.parts.store.read(ALICE, OWN)
        (accessor,) = control.said("issued")
        way.refuse()
        began = time.monotonic()
        ended = await before.parts.store.end([ALICE.sandbox])
        assert (ended.ended, ended.queued) == (0, 1)
        assert time.monotonic() - began < 5
        if number == 0:
            way.pass_on()
            await becomes(lambda: gone(vault, accessor), 15)
            return
    way.pass_on()
    async with opened_vault(vault, tmp_path, control, site):
        await becomes(lambda: gone(vault, accessor), 8)


async def test_a_wrong_name_and_a_wrong_authority_are_told_apart(tmp_path: Path) -> None:
    """A host that nobody knows, and a certificate that nobody signed."""
    site = VaultSite(address="https://nobody.invalid:8200")
    async with VaultClient(site) as client:
        with pytest.raises(SandboxError) as caught:
            await client.health()
    assert caught.value.code == "vault.unknown_host"
    async with _OwnCertificate(tmp_path) as (port, authority):
        async with VaultClient(VaultSite(address=f"https://localhost:{port}")) as client:
            with pytest.raises(SandboxError) as caught:
                await client.health()
        assert caught.value.code == "vault.tls"
        for missing in ("/nowhere/ca.pem", str(tmp_path / "empty.pem")):
            (tmp_path / "empty.pem").write_text("no certificate")
            async with VaultClient(VaultSite(address=f"https://localhost:{port}", ca=missing)) as client:
                with pytest.raises(SandboxError) as caught:
                    await client.health()
            assert caught.value.code == "vault.no_authority"
            assert "`ca`" in caught.value.remedy
        async with VaultClient(VaultSite(address=f"https://localhost:{port}", ca=authority)) as client:
            with pytest.raises(SandboxError) as caught:
                await client.health()
        assert caught.value.code == "vault.standby"


class _OwnCertificate:
    """A server whose authority is the test's, which answers 473 to everybody."""

    def __init__(self, directory: Path) -> None:
        import trustme

        self._authority = trustme.CA()
        self._file = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self._file))

    async def __aenter__(self) -> tuple[int, str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("localhost").configure_cert(context)
        listener = socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._answer, sock=listener, ssl=context)
        return listener.getsockname()[1], str(self._file)

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _answer(self, asked: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        await asked.readuntil(b"\r\n\r\n")
        answer.write(b"HTTP/1.1 473 Standby\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await answer.drain()
        answer.close()


@pytest.mark.parametrize(
    "path",
    ["secret/data/../sys", "a//b", "/a", "a/", "a%2fb", "a?b", "a#b", "a/\u2215/b", "a b", "..", "a\0"],
)
def test_a_path_that_could_be_another_is_refused(path: str) -> None:
    """hvac would collapse `..`, and quote the rest; neither ever reaches it."""
    with pytest.raises(ConfigurationError) as caught:
        checked_path(path)
    assert caught.value.code == "vault.path_invalid"
    assert checked_path("secret/data/users/alice-2/x.y_z") == "secret/data/users/alice-2/x.y_z"
