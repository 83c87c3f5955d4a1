"""Which addresses does the egress door dial, and what do wrong internal services say?"""

from __future__ import annotations

import time

import pytest

from jupyter_sandbox_spawner.clients import resolve
from jupyter_sandbox_spawner.clients.resolve import own_addresses
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.gateway.egress import EgressHandler, SystemResolver

from .egress_support import LOOPBACK, RecordingResolver


async def test_the_system_resolver_knows_localhost() -> None:
    """The system resolver gives every address of a name as text."""
    resolver = SystemResolver()
    try:
        assert LOOPBACK in await resolver.addresses("localhost", 80)
    finally:
        resolver.close()


async def test_an_unknown_name_has_no_address() -> None:
    """A name that the system does not know has no address and raises nothing."""
    resolver = SystemResolver()
    try:
        assert await resolver.addresses("a" * 64 + ".invalid", 80) == ()
    finally:
        resolver.close()


async def test_a_slow_lookup_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DNS server that does not answer costs the deadline, not more."""
    # The edge of the process: a real DNS server that swallows questions would need port 53.
    monkeypatch.setattr(resolve, "_look_up", lambda host, port: time.sleep(1.0) or ("127.0.0.1",))
    resolver = SystemResolver(seconds=0.1)
    started = time.monotonic()
    try:
        assert await resolver.addresses("slow.test", 80) == ()
        assert time.monotonic() - started < 0.9
    finally:
        resolver.close()


def test_own_addresses_are_known() -> None:
    """This host's own address is told from others; a text that is no address is not looked up."""
    assert own_addresses([LOOPBACK, "192.0.2.1", "2001:db8::1", "no-address.test"]) == {LOOPBACK}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mlflow.sandbox.internal", "127.0.0.1:5000"),
        ("mlflow.sandbox.internal:80", "localhost:5000"),
        ("mlflow.sandbox.internal:80", "127.0.0.1"),
        ("ml flow:80", "127.0.0.1:5000"),
    ],
)
def test_wrong_internal_services_are_refused(name: str, place: str) -> None:
    """An internal service without a port, or that is not an address, is refused with a remedy."""
    with pytest.raises(ConfigurationError) as caught:
        EgressHandler(RecordingResolver(), {name: place})
    assert caught.value.code == "egress.service_invalid"
    assert caught.value.remedy
