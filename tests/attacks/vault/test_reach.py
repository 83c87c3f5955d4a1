"""Can a sandbox get past the broker to Vault itself? C07; and what does its own token open?"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.attacks.vault.place import VaultPlace

Control = Callable[[str, bool], None]


@pytest.mark.proves("C07")
def test_c07_a_sandbox_cannot_reach_vault(place: VaultPlace, control: Control) -> None:
    """By address, by the relay and by every name of this host it is refused; the broker comes through."""
    house = place.house
    ports = [urlsplit(address).port for address in (place.server.address, place.way.address)]
    house.fresh("alice")
    seen = house.attack(
        "alice",
        f"""
import urllib.request
relay = urllib.request.build_opener(urllib.request.ProxyHandler({{"http": "http://127.0.0.1:3128"}}))
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))

def tunnel(place):
    with socket.create_connection(("127.0.0.1", 3128), 10) as connection:
        connection.sendall(f"CONNECT {{place}} HTTP/1.1\\r\\nHost: {{place}}\\r\\n\\r\\n".encode())
        answer = connection.recv(4096).decode()
        if " 200 " not in answer.splitlines()[0]:
            raise OSError(answer.splitlines()[0])
        return answer

for port in {ports}:
    for host in ("127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", "10.0.0.1", socket.gethostname(), "vault"):
        url = f"http://{{host}}:{{port}}/v1/sys/health?from=inside"
        attempt(f"direct {{url}}", lambda: direct.open(url, timeout=5).status)
        attempt(f"relay {{url}}", lambda: relay.open(url, timeout=5).status)
        attempt(f"tunnel {{url}}", lambda: tunnel(f"{{host}}:{{port}}"))
attempt("the warehouse", lambda: tunnel("warehouse.sandbox.internal:5432"))
attempt("environ", lambda: sorted(name for name in os.environ if "VAULT" in name))
""",
    )
    control("a tunnel that the profile allows opens", seen.pop("the warehouse")["ok"])
    assert seen.pop("environ")["value"] == []
    assert [name for name, item in seen.items() if item["ok"]] == []
    # The broker's own calls, which never rest, go on meanwhile.
    assert [seen for seen in place.way.requests if "from=inside" in seen.path] == []
    before = len(place.way.requests)
    read = house.run("alice", "import jupyter_sandbox; print(jupyter_sandbox.secrets('warehouse/reader'))")
    control("the broker reaches it for her", read.ok and len(place.way.requests) > before)


@pytest.mark.proves("C10", "S06")
def test_vault_knows_each_sandbox_by_its_person(place: VaultPlace, control: Control) -> None:
    """Alice's login at Vault carries her name, server and sandbox, and no right to what is bob's."""
    house = place.house
    sandbox = house.server("alice")
    control(
        "she reads",
        house.run("alice", "import jupyter_sandbox; jupyter_sandbox.secrets('users/alice/token')").ok,
    )
    accessor = place.accessor(sandbox)
    found = place.server.call("PUT", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
    assert (found["policies"], found["type"], found["orphan"]) == (["sandbox-user"], "service", True)
    assert (found["meta"]["sandbox"], found["meta"]["profile"]) == (sandbox, "small")
    assert found["ttl"] <= 15 * 60
    rights = {
        path: place.server.call("PUT", "sys/capabilities-accessor", {"accessor": accessor, "paths": [path]})[
            path
        ]
        for path in (
            "secret/data/users/alice/token",
            "secret/data/users/bob/token",
            "secret/metadata/users/alice",
        )
    }
    assert list(rights.values()) == [["read"], ["deny"], ["deny"]]
