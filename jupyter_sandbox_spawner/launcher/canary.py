"""Are sandboxes closed on this host, today? A probe sandbox tries before the first real one starts.

Law: no proof, no start. Each runtime of the site is proved by itself. A proof holds for what it was made of:
this boot, kernel, runtime, package and site; when one of them changes, the next start asks again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .. import __version__
from ..backends.base import Backend
from ..errors import IsolationError, SandboxError
from ..models import BootDocument, Doors, IngressPlan, Resources, SandboxSpec
from ..names import sandbox_id
from ..rules.canary import Verdict, judge
from ..settings import Site
from ..wire import encode_json
from . import canary_probe
from .proofs import CANARY, Proof, is_canary

__all__ = ["CANARY", "Canary", "is_canary"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_PATIENCE = 30.0  # seconds for the probe; it needs less than one
_LAST_WORDS = 5.0  # seconds at the launcher's end; below what the supervisor waits before it kills
_ASK_AGAIN = 10.0  # seconds after a failed proof, so that a repaired host is believed soon
_RESOURCES = Resources(cpu=1.0, memory=256 << 20, pids=32, tmpfs=8 << 20, tmpfs_inodes=500)


class Canary:
    """`require` before a sandbox is made; `prove` to ask now."""

    def __init__(self, site: Site, backend: Backend, host_uid: int, surroundings: Callable[[], str]) -> None:
        """`surroundings` is a text that changes whenever an old proof must not count any longer."""
        self._site = site
        self._backend = backend
        self._host_uid = host_uid
        self._surroundings = surroundings
        self._file = Path(site.launcher_dir) / "canary.json"
        self._lock = asyncio.Lock()
        self._failed_at: dict[str, float] = {}
        self.proofs = self._load()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Canary]:
        """Sweep up an earlier probe and prove in the background, so that the first user need not wait.

        Where this host cannot use one of the site's runtimes its probe says so, and nothing starts under it.
        """
        await self._sweep()
        first = asyncio.create_task(self._first(), name="canary")
        try:
            yield self
        finally:
            # Broken off in its middle a start leaves more to sweep up than it takes to let it end.
            await asyncio.wait([first], timeout=_LAST_WORDS)
            first.cancel()
            await asyncio.wait([first])

    async def require(self, runtime: str, overlay: Mapping[str, Any] | None = None) -> None:
        """Raises IsolationError `isolation.unproved` unless sandboxes under it are proved to be closed."""
        proof = self.proofs.get(runtime)
        if proof is None or proof.key != self._key() or not proof.verdict.proved:
            proof = await self._prove_once(runtime)
        if not proof.verdict.proved:
            raise IsolationError(
                proof.verdict.why,
                code="isolation.unproved",
                remedy=f"No server starts under {runtime}; tell your admin: jupyter-sandbox-admin canary",
            )

    async def require_at(self, sandbox_id: str) -> None:
        """See Prover.require_at; there is no other machine."""

    async def prove(self) -> None:
        """Run the probes now and remember what they showed."""
        async with self._lock:
            for runtime in self._site.runtimes:
                await self._prove(runtime)

    async def _prove_once(self, runtime: str) -> Proof:
        """However many wait, one probe answers them all; after a failure not more often than it may help."""
        async with self._lock:
            proof = self.proofs.get(runtime)
            recent = time.monotonic() - self._failed_at.get(runtime, -_ASK_AGAIN) < _ASK_AGAIN
            if proof is not None and proof.key == self._key() and (proof.verdict.proved or recent):
                return proof
            return await self._prove(runtime)

    async def _prove(self, runtime: str) -> Proof:
        key = self._key()
        verdict = await self._probe(runtime)
        proof = Proof(key=key, verdict=verdict, at=datetime.now(timezone.utc))
        if verdict.proved:
            log.info("A probe sandbox has proved that sandboxes under %s are closed here.", runtime)
        else:
            self._failed_at[runtime] = time.monotonic()
            log.critical("No sandbox is started under %s: %s", runtime, verdict.why)
        self.proofs[runtime] = proof
        self._save()
        return proof

    async def _first(self) -> None:
        for runtime in self._site.runtimes:
            try:
                await self.require(runtime)
            except SandboxError as error:
                log.error("%s %s", error.code, error)

    async def _probe(self, runtime: str) -> Verdict:
        directory = f"{self._site.run_dir}/canary"
        spec = self._spec(runtime)
        try:
            async with _boot_door(directory, self._document()):
                return await self._play(spec, Doors(directory=directory))
        except (SandboxError, OSError) as error:
            return Verdict(broken=(str(error).rstrip("."),))
        finally:
            await self._sweep(spec.id)
            shutil.rmtree(directory, ignore_errors=True)

    async def _play(self, spec: SandboxSpec, doors: Doors) -> Verdict:
        await self._backend.create(spec, doors, {})
        await self._backend.start(spec.id)
        status = await self._backend.ended(spec.id, _PATIENCE)
        said = await self._backend.log_tail(spec.id)
        lines = [line for line in said.splitlines() if line.startswith(canary_probe.MARK)]
        if status is None or not lines:
            ended = "did not end in time" if status is None else f"ended ({status.reason})"
            return Verdict(broken=(f"it {ended} without an answer: {said[-200:].strip()!r}",))
        return judge(json.loads(lines[-1].removeprefix(canary_probe.MARK)))

    async def _sweep(self, sandbox: str = "") -> None:
        """Take this probe away, or all; one that stays must keep nobody from proving another runtime."""
        for item in await self._backend.inventory():
            if is_canary(item.user) and sandbox in ("", item.id):
                try:
                    await self._backend.remove(item.id)
                except SandboxError as error:
                    log.error("The probe %s could not be removed: %s", item.id, error)

    def _spec(self, runtime: str) -> SandboxSpec:
        return SandboxSpec(
            id=sandbox_id(CANARY, "", os.urandom(8).hex()),
            user=CANARY,
            server="",
            profile="canary",
            profile_digest="",
            environment_name=next(iter(self._site.environments)),
            host_uid=self._host_uid,
            resources=_RESOURCES,
            mounts=(),
            runtime=runtime,
        )

    def _document(self) -> bytes:
        prefix = self._site.environments[next(iter(self._site.environments))].prefix
        source = Path(str(canary_probe.__file__)).read_text()
        hidden = (self._site.state_dir, self._site.run_dir)
        document = BootDocument(
            version=1,
            environment={"PATH": "/usr/bin:/bin"},
            argv=(f"{prefix}/bin/python", "-I", "-S", "-B", "-c", source, *hidden),
            working_directory="/",
            relay=(),
            ingress=IngressPlan(port=8888, idle_connections=1),
            expires_at=datetime.now(timezone.utc) + timedelta(seconds=_PATIENCE),
        )
        return encode_json(document)

    def _key(self) -> str:
        parts = [__version__, *os.uname(), _boot_id(), repr(self._site), self._surroundings()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _load(self) -> dict[str, Proof]:
        """A proof of this boot outlives the launcher; anything else is no proof."""
        try:
            found: Any = json.loads(self._file.read_bytes())
            return {str(runtime): _read_proof(item) for runtime, item in found["proofs"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is no proof (%s); the probe runs again.", self._file, error)
            return {}

    def _save(self) -> None:
        document = {"proofs": {runtime: _written(proof) for runtime, proof in self.proofs.items()}}
        temporary = self._file.with_suffix(".new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                json.dump(document, stream)
            os.replace(temporary, self._file)
        except OSError as error:  # the proof in memory counts; a launcher that starts anew asks again
            log.error("The proof is not on disk: %s", error)


@asynccontextmanager
async def _boot_door(directory: str, document: bytes) -> AsyncIterator[None]:
    """A directory of doors with a boot door in it that gives this document to whoever reads."""

    async def give(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(document)
        writer.close()
        await writer.wait_closed()

    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory, 0o755)
    path = f"{directory}/boot.sock"
    server = await asyncio.start_unix_server(give, path)
    # The probe's own uid has to connect; the document holds nothing that is not in this package.
    os.chmod(path, 0o666)  # noqa: S103
    try:
        yield
    finally:
        server.close()


def _written(proof: Proof) -> dict[str, Any]:
    return {"key": proof.key, "at": proof.at.isoformat(), **asdict(proof.verdict)}


def _read_proof(document: Any) -> Proof:
    verdict = Verdict(escapes=tuple(document["escapes"]), broken=tuple(document["broken"]))
    return Proof(key=str(document["key"]), verdict=verdict, at=datetime.fromisoformat(document["at"]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
