"""Which sandboxes are open, and how do they open, close and come back after a restart?"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from ..errors import ConfigurationError, RefusedError
from ..leftovers import Leftover
from ..models import EgressPolicy, GatewayEntry
from ..names import is_sandbox_id
from ..rules.api_filter import allowed_calls
from ..rules.heads import PagePolicy
from ..rules.pod_doors import PodDenial
from ..serving import private_directory
from .boot import BootDesk
from .door import Reserve
from .doorway import Carriers, open_doors, resize_egress
from .events import Detail, Spool
from .ingress import HoldTimes, IngressPool
from .memory import Memory, Use
from .repeats import Reporter
from .routing import RouteTable
from .sandbox import OpenSandbox
from .state import Record, StateDirectory

__all__ = ["Registry", "Surroundings"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What every sandbox of this gateway shares: directories, the hub's URLs, how long requests are held."""

    doors_dir: str
    state_dir: str
    base_url: str = "/"
    hub_origin: str = ""
    own_host: bool = False
    hold: HoldTimes = field(default_factory=HoldTimes)


class Registry:
    """The open sandboxes: verbs restore, open, get, close, shut_down."""

    def __init__(self, around: Surroundings, carriers: Carriers, spool: Spool) -> None:
        self._around = around
        self._carriers = carriers
        self._spool = spool
        self._state = StateDirectory(around.state_dir)
        self._memory = Memory(f"{around.state_dir}/use")
        self._reserve = Reserve()
        self._locks: dict[str, asyncio.Lock] = {}
        self._open: dict[str, OpenSandbox] = {}
        self._saving: set[asyncio.Task[None]] = set()
        self.routes = RouteTable()
        self._strangers = Reporter(spool, "", "", "")
        private_directory(around.doors_dir)

    def __iter__(self) -> Iterator[OpenSandbox]:
        return iter(tuple(self._open.values()))

    async def restore(self) -> None:
        """Re-open the doors of every sandbox on disk, each in the directory it had."""
        uses = self._memory.load()
        for sandbox, record in self._state.load().items():
            self._admit(sandbox, record, uses.get(sandbox, Use()))
        self._memory.start(self._uses)
        log.info("%s sandboxes re-opened.", len(self._open))

    async def open(self, sandbox: str, entry: GatewayEntry) -> str:
        """Open the doors; returns their directory. Idempotent; a changed egress policy is taken over.

        Raises ConfigurationError `gateway.entry_invalid` or, when the id is open for somebody else,
        `gateway.entry_differs`.
        """
        _check(sandbox, entry)
        async with self._lock(sandbox):
            known = self._open.get(sandbox)
            if known is None:
                record = Record(entry=entry)
                await self._state.save(sandbox, record)
                self._admit(sandbox, record, Use())
            elif replace(known.entry, egress=entry.egress) != entry:
                raise ConfigurationError(
                    f"{sandbox} is open with another owner, uid, prefix or limits.",
                    code="gateway.entry_differs",
                    remedy="Close it first; every start has an id of its own.",
                )
            elif known.entry.egress != entry.egress:
                await self._set_egress(known, entry.egress)
        return self.directory(sandbox)

    def get(self, sandbox: str) -> OpenSandbox:
        """An open sandbox; raises RefusedError `sandbox.unknown` (404)."""
        found = self._open.get(sandbox)
        if found is None:
            raise RefusedError(
                f"The gateway knows no sandbox {sandbox!r}.", code="sandbox.unknown", status=404
            )
        return found

    def pod_denied(self, sandbox: str, denial: PodDenial) -> None:
        """Count and audit what the wires refused to a pod of this sandbox; "": of nobody known."""
        detail: Detail = {"host": denial.address, "code": denial.code, "claimed": denial.claimed}
        if sandbox:
            self.get(sandbox).deny("pods.denied", detail, denial.count)
        else:
            self._strangers.report("pods.denied", detail, denial.count)

    async def drop_timed(self, sandbox: str) -> None:
        """Take out of the egress policy what was given for a time, on disk too."""
        async with self._lock(sandbox):
            found = self.get(sandbox)
            own = tuple(rule for rule in found.policy.rules if rule.until is None)
            await self._set_egress(found, replace(found.policy, rules=own))

    async def set_egress(self, sandbox: str, policy: EgressPolicy) -> None:
        """Replace the egress policy, on disk too."""
        async with self._lock(sandbox):
            await self._set_egress(self.get(sandbox), policy)

    async def close(self, sandbox: str) -> None:
        """Close the doors and forget the sandbox; no-op when it is unknown."""
        async with self._lock(sandbox):
            found = self._open.pop(sandbox, None)
            if found is not None:
                self.routes.remove(found)
                await found.close()
            if is_sandbox_id(sandbox):
                await asyncio.to_thread(_take_away, Path(self.directory(sandbox)))
                await self._state.remove(sandbox)
        self._locks.pop(sandbox, None)

    def leftovers(self) -> tuple[Leftover, ...]:
        """Doors and records on disk of sandboxes that are not open; `close` takes them away."""
        found = [
            Leftover(kind="doors", name=name, sandbox=name, since=_instant(at))
            for name, at in sorted(_doors(self._around.doors_dir).items())
        ]
        for name, at in sorted(self._state.ids().items()):
            found.append(Leftover(kind="entry", name=name, sandbox=name, since=_instant(at)))
        return tuple(item for item in found if item.name not in self._open and not self._is_busy(item.name))

    async def shut_down(self) -> None:
        """End every connection but keep all records: the next gateway re-opens the doors."""
        await asyncio.gather(*(found.close() for found in self._open.values()))
        self._strangers.flush()
        await self._memory.close(self._uses)
        await asyncio.gather(*self._saving, return_exceptions=True)
        self._state.close()
        self._reserve.close()

    def directory(self, sandbox: str) -> str:
        """Where the doors of this sandbox are."""
        return f"{self._around.doors_dir}/{sandbox}"

    def _is_busy(self, sandbox: str) -> bool:
        lock = self._locks.get(sandbox)
        return lock is not None and lock.locked()

    def _lock(self, sandbox: str) -> asyncio.Lock:
        return self._locks.setdefault(sandbox, asyncio.Lock())

    async def _set_egress(self, found: OpenSandbox, policy: EgressPolicy) -> None:
        found.set_policy(policy)
        resize_egress(found)
        await self._save(found)

    async def _save(self, found: OpenSandbox) -> None:
        record = Record(entry=found.entry, booted=found.boot.booted, ready=found.ingress.was_ready)
        await self._state.save(found.id, record)

    def _became_ready(self, found: OpenSandbox) -> None:
        task = asyncio.get_running_loop().create_task(self._save(found))
        self._saving.add(task)
        task.add_done_callback(self._saved)

    def _saved(self, task: asyncio.Task[None]) -> None:
        self._saving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Only the hold time after a restart depends on it.
            log.error("That a server is ready is not on disk: %s", error)

    def _uses(self) -> dict[str, Use]:
        return {name: found.use for name, found in self._open.items()}

    def _admit(self, sandbox: str, record: Record, before: Use) -> None:
        entry = record.entry
        around = self._around
        found = OpenSandbox(
            sandbox,
            entry,
            PagePolicy(
                prefix=entry.prefix,
                hub_origin=around.hub_origin,
                own_host=around.own_host,
                hosts=entry.browser.hosts,
            ),
            allowed_calls(around.base_url, entry.user),
            Reporter(self._spool, sandbox, entry.user, entry.server),
            before,
        )
        found.boot = BootDesk(record.booted, lambda: self._save(found), found.deny)
        found.ingress = IngressPool(record.ready, around.hold, lambda: self._became_ready(found))
        directory = Path(self.directory(sandbox))
        directory.mkdir(mode=0o755, exist_ok=True)
        directory.chmod(0o755)
        found.doors = open_doors(found, str(directory), self._carriers, self._reserve)
        self._open[sandbox] = found
        self.routes.add(found)


def _doors(directory: str) -> dict[str, float]:
    """Sandboxes that have doors; when they were last changed (epoch)."""
    found: dict[str, float] = {}
    for path in Path(directory).iterdir():
        if is_sandbox_id(path.name):
            with suppress(FileNotFoundError):  # closed meanwhile
                found[path.name] = path.lstat().st_mtime
    return found


def _take_away(doors: Path) -> None:
    """No-op where there is nothing; a link is taken away and not followed."""
    if doors.is_symlink():
        doors.unlink(missing_ok=True)
    else:
        shutil.rmtree(doors, ignore_errors=True)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _check(sandbox: str, entry: GatewayEntry) -> None:
    prefix = entry.prefix
    if not is_sandbox_id(sandbox):
        raise _invalid("id", sandbox, "Use names.sandbox_id.")
    if not (prefix.startswith("/") and prefix.endswith("/") and len(prefix) > 1 and "//" not in prefix):
        raise _invalid("prefix", prefix, "Give the server's path with both slashes, such as /user/ada/.")
    if not prefix.isascii() or not prefix.isprintable() or any(mark in prefix for mark in "?#; "):
        raise _invalid("prefix", prefix, "Escape it as the hub does in URLs.")
    if not 0 <= entry.host_uid < 2**32 - 1:
        raise _invalid("host_uid", str(entry.host_uid), "Give the uid that the launcher allocated.")


def _invalid(field_name: str, value: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"{field_name}: {value!r} is not possible.",
        code="gateway.entry_invalid",
        field=field_name,
        remedy=remedy,
    )
