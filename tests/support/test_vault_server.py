"""Is the Vault that tests meet a real one: sealed, restarted, audited, cut off, and gone afterwards?"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from hub_config.vault.own_vault import SETUP, OwnVault, Refused
from tests.lanes import CHECKOUT
from tests.support.faulty_proxy import faulty_proxy
from tests.support.vault_server import VaultServer, running_vault
from tests.support.waiting import until

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("vault")


def test_a_sealed_vault_answers_503(vault: VaultServer, control: Control) -> None:
    """Sealed, it refuses reading and logging in; unsealed, tokens of before work."""
    vault.put("users/alice/db", {"password": "p-1"})
    token = vault.login("alice")["client_token"]
    with vault.sealed():
        for call in (lambda: vault.read("users/alice/db", token), lambda: vault.login("alice")):
            with pytest.raises(Refused, match="503"):
                call()
    control("unsealed", vault.read("users/alice/db", token) == {"password": "p-1"})


def test_a_restart_keeps_everything(vault: VaultServer) -> None:
    """Address, secrets and tokens are the same after it."""
    vault.put("users/alice/db", {"password": "p-2"})
    token, address, pid = vault.login("alice")["client_token"], vault.address, vault.pid
    vault.restart()
    assert (vault.address, vault.pid != pid) == (address, True)
    assert vault.read("users/alice/db", token) == {"password": "p-2"}


def test_the_audit_has_calls_and_no_values(vault: VaultServer, control: Control) -> None:
    """Paths stand there; a value is an HMAC."""
    vault.put("users/alice/audited", {"password": "canary-of-the-audit"})
    vault.read("users/alice/audited", vault.login("alice")["client_token"])
    control("the path", "secret/data/users/alice/audited" in vault.read_audit())
    assert "canary-of-the-audit" not in vault.read_audit()


def test_the_way_to_it_can_be_broken(vault: VaultServer, tmp_path: Path, control: Control) -> None:
    """Through the proxy it is the same Vault, until the switch is thrown."""
    with faulty_proxy(vault.address) as proxy:
        client = OwnVault(tmp_path, port=proxy.port)
        client.root_token = vault.root_token
        control("it passes", client.call("GET", "sys/health")["sealed"] is False)
        assert client.call("GET", "sys/mounts")["data"]["secret/"]["type"] == "kv"  # a long answer, in chunks
        proxy.answer(429, {"Retry-After": "7"})
        with pytest.raises(Refused, match="429"):
            client.call("GET", "sys/health")
        assert proxy.token_seen


def test_it_can_speak_tls(tmp_path: Path, control: Control) -> None:
    """Its authority is believed, in the set-up too, and no other one is."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    with running_vault(tls=True) as server:
        control("its own authority", server.address.startswith("https://") and bool(server.login("alice")))
        variables = {
            "VAULT_ADDR": server.address,
            "VAULT_TOKEN": server.root_token,
            "VAULT_CACERT": str(other),
        }
        done = subprocess.run(
            [SETUP], env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, "certificate" in done.stderr) == (4, True)


def test_each_one_is_another(vault: VaultServer) -> None:
    """Two run beside each other, with tokens and addresses of their own."""
    with running_vault(prepared=False) as other:
        other.initialise()
        assert other.address != vault.address
        with pytest.raises(Refused, match="403"):
            other.call("GET", "auth/token/lookup-self", token=vault.root_token)


STARTER = """
import os, pathlib, sys
from hub_config.vault.own_postgres import OwnPostgres
from hub_config.vault.own_vault import OwnVault
vault = OwnVault(pathlib.Path(sys.argv[1]))
vault.start()
postgres = OwnPostgres()
postgres.start()
print(vault.pid, postgres.pid, postgres.directory, flush=True)
sys.stdin.read()
"""


def lives(process: Path) -> bool:
    """Does it run? One that has ended and that nobody has reaped yet does not."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.lane("postgresql")
def test_they_end_with_who_started_them(tmp_path: Path, control: Control) -> None:
    """A starter that is killed with SIGKILL leaves neither a Vault nor a PostgreSQL running."""
    command = [sys.executable, "-c", STARTER, str(tmp_path / "vault")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=CHECKOUT) as starter:
        assert starter.stdout is not None
        first, second, directory = starter.stdout.readline().split()
        processes = [Path("/proc", pid) for pid in (first, second)]
        control("they run", all(process.exists() for process in processes))
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait()
    asyncio.run(until(lambda: not any(lives(process) for process in processes)))
    shutil.rmtree(directory)
