"""How are secrets kept in Vault? Each sandbox reads with a login of its own; the broker's login reads none.

Law: a sandbox that reads is known to Vault by a token the broker signed for it alone, so that Vault's own
policies and its audit speak of people; names and versions come by the broker's login, which opens no value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..clients.grants import Reader
from ..errors import ProgramError, SandboxError
from ..rules.grants import Grant
from ..secret_names import is_secret_name
from .credentials import Credentials, Held, is_over
from .kv_answers import created_at, fields_of, renamed, stored_of
from .store import MOST_SECRETS, About, Ended, Secret, Stored, StoreState, missing, not_held, unusable
from .vault_upkeep import Upkeep

__all__ = ["VaultStore"]

_LONGEST_NOTE = 500  # characters of a note that Vault keeps beside a secret


class VaultStore:
    """The port of store.py on Vault; `upkeep` renews and ends what was given out."""

    kind = "vault"

    def __init__(self, credentials: Credentials, upkeep: Upkeep) -> None:
        self._all = credentials
        self._upkeep = upkeep
        self._site = credentials.site
        self._client = credentials.client

    async def state(self) -> StoreState:
        """Vault's health; while it is left alone, why."""
        try:
            error = self._client.outage
            if error is None:
                await self._client.health()
        except SandboxError as found:
            error = found
        if error is None:
            return StoreState(kind=self.kind)
        return StoreState(
            kind=self.kind, ok=False, code=error.code, message=error.message, remedy=error.remedy
        )

    async def about(self, reader: Reader, grants: Sequence[Grant]) -> Mapping[str, About]:
        """Names and versions, by the broker's own login; what the sandbox holds, from memory."""
        found = await asyncio.gather(*(self._about(reader, grant) for grant in grants))
        return {grant.name: about for grant, about in zip(grants, found, strict=True)}

    async def _about(self, reader: Reader, grant: Grant) -> About:
        if not grant.static:
            held = self._all.of(reader.sandbox, grant.name)
            if held is None:
                return About(stored=True)
            renewed = held.life.renew_at is not None
            return About(stored=True, expires_at=self._all.until(held), renewed=renewed)
        metadata = await self._metadata(grant.name)
        if metadata is None:
            return About(stored=False)
        newest = int(metadata.get("current_version") or 0)
        created = created_at(metadata, grant.version or newest)
        if created is None:
            return About(stored=False)
        return About(stored=True, version=grant.version or newest, changed_at=created)

    async def read(self, reader: Reader, grant: Grant) -> Secret:
        """The values. Raises RefusedError `secret.missing`, `vault.denied`, ProgramError `vault.*`."""
        if grant.kind == "vault":
            return await self._wrapped(reader, grant)
        try:
            return await self._read(reader, grant)
        except SandboxError as error:
            held = self._all.of(reader.sandbox, "")
            if error.code != "vault.denied" or held is None or not await self._is_gone(held):
                raise
        # Somebody ended its token at Vault: a new one is made, and only once.
        return await self._read(reader, grant)

    async def _read(self, reader: Reader, grant: Grant) -> Secret:
        if not grant.static:
            return await self._dynamic(reader, grant)
        session = await self._all.session(reader)
        try:
            answer = await self._client.read(
                session.token, self._site.kv("data", grant.name), repr(grant.name), grant.version
            )
        except SandboxError as error:
            if error.code == "vault.absent":
                raise missing(grant.name) from error
            raise
        metadata = answer.data.get("metadata") or {}
        return Secret(
            name=grant.name, fields=fields_of(answer.data.get("data")), version=metadata.get("version")
        )

    async def _dynamic(self, reader: Reader, grant: Grant) -> Secret:
        """What an engine makes: the same one for a sandbox as long as it lives."""
        async with self._all.lock(reader.sandbox, grant.name):
            held = self._all.of(reader.sandbox, grant.name)
            if held is None or self._all.clock() >= held.life.replace_at:
                session = await self._all.session(reader)
                answer = await self._client.read(session.token, grant.path, repr(grant.name))
                values = renamed(grant, fields_of(answer.data))
                if not answer.lease:
                    # Nothing to renew and nothing to end, such as a signed certificate.
                    return Secret(name=grant.name, fields=values)
                held = await self._all.leased(session, grant, answer, values)
        return Secret(
            name=grant.name,
            fields=held.values,
            expires_at=self._all.until(held),
            renewed=held.life.renew_at is not None,
            accessor=held.id,
        )

    async def _wrapped(self, reader: Reader, grant: Grant) -> Secret:
        held, login = await self._all.wrapped(reader, grant)
        if login.creation_path != self._site.login_path:
            await self._upkeep.end_held([held])
            raise ProgramError(
                "Vault wrapped a token by another call than the one that was made.",
                code="vault.wrapping",
                remedy="Tell the hub's admin: this should never be.",
            )
        fields = {
            "wrapped_token": login.token,
            "address": self._site.address,
            "namespace": self._site.namespace,
            "creation_path": login.creation_path,
            "expected_path": self._site.login_path,
        }
        return Secret(
            name=grant.name,
            fields=fields,
            expires_at=self._all.until(held),
            renewed=held.life.renew_at is not None,
            accessor=held.id,
        )

    async def _is_gone(self, held: Held) -> bool:
        """Does Vault know this token no more? Then it is forgotten."""
        try:
            await self._all.as_broker(
                lambda own: self._client.write(own, "auth/token/lookup-accessor", {"accessor": held.accessor})
            )
        except SandboxError as error:
            if not is_over(error):
                raise
            self._all.forget(held)
            await self._all.journal.forget([held.id])
            return True
        return False

    async def renew(self, reader: Reader, grant: Grant) -> About:
        """Let what it holds live longer, now. Raises RefusedError `secret.not_held`."""
        held = self._all.of(reader.sandbox, grant.name)
        if held is None:
            raise not_held(grant)
        await self._all.renew(held)
        return About(stored=True, expires_at=self._all.until(held), renewed=held.life.renew_at is not None)

    async def revoke(self, reader: Reader, grant: Grant) -> Ended:
        """End what it holds; the next read makes a new one."""
        held = self._all.of(reader.sandbox, grant.name)
        if held is not None:
            self._all.forget(held)
        return await self._upkeep.end_secret(reader.sandbox, grant.name)

    async def end(self, sandboxes: Collection[str]) -> Ended:
        """End all that they hold, also what an earlier run of the broker gave them."""
        return await self._upkeep.end(sandboxes)

    async def describe(self) -> tuple[Stored, ...]:
        """What there is, by name: a walk over the names, then each one's metadata."""
        names = await self._names("")
        found = await asyncio.gather(*(self._metadata(name) for name in names))
        return tuple(
            stored_of(name, metadata)
            for name, metadata in zip(names, found, strict=True)
            if metadata is not None and created_at(metadata, int(metadata.get("current_version") or 0))
        )

    async def _names(self, below: str) -> list[str]:
        try:
            keys = await self._all.as_broker(
                lambda own: self._client.list(own, self._site.kv("metadata", below), "the list of secrets")
            )
        except SandboxError as error:
            if error.code == "vault.absent":
                return []
            raise
        found: list[str] = []
        for key in sorted(keys):
            name = f"{below}/{key.rstrip('/')}".lstrip("/")
            # What somebody else stored under a name that is none of ours cannot be granted.
            if not is_secret_name(name):
                continue
            found += await self._names(name) if key.endswith("/") else [name]
            if len(found) > MOST_SECRETS:
                raise unusable(f"it holds more than {MOST_SECRETS} secrets below {below or 'its mount'}")
        return found

    async def put(self, name: str, fields: Mapping[str, str], by: str) -> None:
        """A new version; a note beside it has who and which fields: the broker reads no value back."""
        await self._write(self._site.kv("data", name), {"data": dict(fields)}, name)
        size = sum(len(value.encode()) for value in fields.values())
        note = {
            "changed_by": by[:_LONGEST_NOTE],
            "fields": ",".join(fields)[:_LONGEST_NOTE],
            "size": str(size),
        }
        await self._write(self._site.kv("metadata", name), {"custom_metadata": note}, name)

    async def _write(self, path: str, body: Mapping[str, Any], name: str) -> None:
        await self._all.as_broker(lambda own: self._client.write(own, path, body, repr(name)))

    async def delete(self, name: str) -> bool:
        """Remove it with all versions; False if there was none."""
        if await self._metadata(name) is None:
            return False
        path = self._site.kv("metadata", name)
        await self._all.as_broker(lambda own: self._client.delete(own, path, repr(name)))
        return True

    async def prepare(self, reader: Reader, grants: Sequence[Grant]) -> None:
        """Could these be given to a server that is about to start? Raises what a read would raise.

        They are read, and nobody gets the values; what an engine makes is the server's first read then. Of a
        wrapped token only the login is tried, as it is opened once.
        """
        await self._all.session(reader)
        await asyncio.gather(*(self.read(reader, grant) for grant in grants if grant.kind != "vault"))

    async def _metadata(self, name: str) -> Mapping[str, Any] | None:
        """None where there is none; of one whose versions are all deleted there is some."""
        path = self._site.kv("metadata", name)
        try:
            answer = await self._all.as_broker(lambda own: self._client.read(own, path, repr(name)))
        except SandboxError as error:
            if error.code == "vault.absent":
                return None
            raise
        return answer.data
