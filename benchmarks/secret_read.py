"""What does a person wait for a secret? A cell in a real sandbox at a real hub, beside bare hvac."""

from __future__ import annotations

import asyncio
import json
import shlex
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hvac

from hub_config.demo.kernel import Kernel
from hub_config.demo.running import RunningSite, running_site
from hub_config.demo.vault import keys_address, use_vault

from .figures import Goal, Measure
from .house import scratch
from .row import BenchmarkError, Row, Take
from .vault import RowVault, open_vault

__all__ = ["ROWS"]

_OURS, _BARE = "in a notebook", "bare hvac"
_SECRETS = [f"shared/n{number}" for number in range(20)]
_READS, _LISTS = 20, 4
_PACE = 1.0  # reads and lists a second that the broker takes of one sandbox; a limit, not a speed
_P50 = Measure("a value read, p50", "ms", Goal("at most", 50), compare="ours")
_RATIO = Measure("a value read, p50, beside hvac", "ms")
_P95 = Measure("a value read, p95", "ms", compare="ours")
_LIST = Measure("20 names listed", "ms", Goal("at most", 200), compare="ours")
_PROFILES = """
- display_name: Bench
  slug: bench
  default: true
  sandbox:
    cpu: 2
    memory: 1G
    secrets: [{names}]
"""
_CELL = f"""
import json, time, jupyter_sandbox

def timed(act, count):
    found = []
    for number in range(count):
        begin = time.perf_counter()
        act(number)
        found.append(time.perf_counter() - begin)
    return found

names = {_SECRETS!r}
print(json.dumps({{
    "reads": timed(lambda number: jupyter_sandbox.secrets(names[number % len(names)]).close(), {_READS}),
    "lists": timed(lambda number: jupyter_sandbox.secrets(), {_LISTS}),
}}))
"""


@dataclass
class _Notebook:
    kernel: Kernel
    free_at: float = 0.0

    async def take(self) -> Mapping[str, float]:
        """A cell's own times; the next one waits until the broker would take as many again."""
        await asyncio.sleep(max(self.free_at - time.monotonic(), 0))
        output = await self.kernel.execute(_CELL, 120)
        self.free_at = time.monotonic() + (_READS + _LISTS) / _PACE
        if not output.ok:
            raise BenchmarkError(f"the cell broke: {output}")
        return _figures(json.loads(output.stdout))


def _hvac(client: hvac.Client, broker: hvac.Client) -> Mapping[str, float]:
    """The same secrets, and the metadata that a list needs."""

    def read(number: int) -> None:
        client.secrets.kv.v2.read_secret_version(path=_SECRETS[number], raise_on_deleted_version=True)

    def names(number: int) -> None:
        for name in _SECRETS:
            broker.secrets.kv.v2.read_secret_metadata(path=name)

    return _figures({"reads": _timed(read, _READS), "lists": _timed(names, _LISTS)})


def _timed(act: Callable[[int], None], count: int) -> list[float]:
    found = []
    for number in range(count):
        begin = time.perf_counter()
        act(number)
        found.append(time.perf_counter() - begin)
    return found


def _figures(seconds: Mapping[str, list[float]]) -> Mapping[str, float]:
    middle = statistics.median(seconds["reads"]) * 1e3
    late = statistics.quantiles(seconds["reads"], n=20, method="inclusive")[-1] * 1e3
    listed = statistics.median(seconds["lists"]) * 1e3
    return {_P50.name: middle, _RATIO.name: middle, _P95.name: late, _LIST.name: listed}


def _told(vault: RowVault) -> Path:
    """What scripts/vault-dev writes for the demo."""
    environment = vault.directory / "environment"
    environment.touch(mode=0o600)
    environment.write_text(f"export VAULT_TOKEN={shlex.quote(vault.own.root_token)}\n")
    told = {
        "address": vault.own.address,
        "role_id_file": str(vault.directory / "role-id"),
        "environment_file": str(environment),
    }
    file = vault.directory / "vault.json"
    file.write_text(json.dumps(told))
    return file


async def _kernel(stack: AsyncExitStack, running: RunningSite) -> Kernel:
    visitor = await stack.enter_async_context(running.visitor("alice"))
    await visitor.login()
    await visitor.start("bench")
    await visitor.open(visitor.server("lab"))
    return await stack.enter_async_context(Kernel(visitor))


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(scratch())
        vault = await stack.enter_async_context(open_vault(directory))
        for name in _SECRETS:
            vault.put(name, {"user": "reader", "password": "p" * 24})
        profiles = directory / "profiles.yaml"
        profiles.write_text(_PROFILES.format(names=", ".join(_SECRETS)))
        profiles.chmod(0o644)
        directory.chmod(0o711)  # the programs have uids of their own, and read their profiles
        site = running_site(profiles=profiles, prepare=partial(use_vault, _told(vault)))
        running = await stack.enter_async_context(site)
        keys = await keys_address(running)
        await asyncio.to_thread(vault.own.set_up, "--only-keys", "--jwks-url", keys)
        notebook = _Notebook(await _kernel(stack, running))
        made = vault.own.call("POST", "auth/token/create-orphan", {"policies": ["sandbox-user"]})
        client = hvac.Client(url=vault.own.address, token=made["auth"]["client_token"])
        broker = hvac.Client(url=vault.own.address, token=vault.own.root_token)

        async def take(contestant: str) -> Mapping[str, float]:
            if contestant == _OURS:
                return await notebook.take()
            return await asyncio.to_thread(_hvac, client, broker)

        yield take


ROWS = (
    Row(
        "secret",
        "a value read and names listed in a notebook, by gateway, broker, hub, control and Vault",
        (_OURS, _BARE),
        (_P50, _RATIO, _P95, _LIST),
        _opened,
    ),
)
