"""Which uid and which homes does a user have on a cluster? Its PersistentVolumeClaims are the registry.

Nothing of it is on the launcher's disk. A deleted user's claims stay, marked, and with them the uid; an admin
deletes them. Only the launcher that holds the Lease writes; what it finds taken all the same it gives back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone

from ..backends.kubernetes.api import Cluster
from ..backends.kubernetes.layout import OWNER_LABEL, SITE_LABEL, site_label
from ..backends.kubernetes.questions import Document
from ..errors import BackendError, ConfigurationError, IsolationError, SandboxError
from ..kubernetes_site import KubernetesSite
from ..leftovers import Leftover
from ..models import UserPlace
from ..names import LABEL_OWNER, canonical_username
from ..rules.catalogue import ZONES
from ..rules.claims import (
    HOME_LABEL,
    RETIRED,
    UidRange,
    UserClaim,
    claim_manifest,
    next_uid,
    read_claim,
    retirement,
    user_label,
)
from ..units import format_size
from .due_claims import DueClaims
from .users import unknown_zone

__all__ = ["ClaimedHomes"]

Used = Callable[[], Awaitable[Collection[str]]]
log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_GONE_TIME = 15.0  # seconds until a claim that was deleted has to be gone
_LOOK = 0.2  # seconds between looks
_TRIES = 3  # for a uid that somebody else took at the same moment


class ClaimedHomes:
    """Users and Homes of a cluster; see premises.py for the verbs."""

    def __init__(self, api: Cluster, cluster: KubernetesSite, uid_base: int, uid_count: int) -> None:
        self._api = api
        self._cluster = cluster
        self._uids = UidRange(first=uid_base + 1, last=uid_base + uid_count - 1)
        self._labels = {OWNER_LABEL: LABEL_OWNER, SITE_LABEL: site_label(cluster)}
        self._turn = asyncio.Lock()
        self._starting: Counter[str] = Counter()
        self._due = DueClaims()

    @property
    def canary_uid(self) -> int:
        """The uid of probes; it owns nothing."""
        return self._uids.last

    async def find(self, user: str, zone: str = "") -> UserPlace | None:
        """See Users.find."""
        found = [claim for claim in await self._of(user) if claim.zone == zone]
        return _as_place(found[0]) if found and zone in ZONES else None

    async def place(self, user: str, zone: str = "") -> UserPlace:
        """See Users.place."""
        canonical_username(user)
        if zone not in ZONES:
            raise unknown_zone(zone)
        async with self._turn:
            for _ in range(_TRIES):
                own = await self._of(user)
                claim = next((claim for claim in own if claim.zone == zone), None)
                if claim is None:
                    claim = await self._make(user, zone, own)
                if claim is not None:
                    if not claim.bound:
                        self._due.asked(claim.name)
                    return _as_place(claim)
        raise BackendError(
            f"{user!r} gets no uid: others take it at the same moment.",
            code="users.uid_taken",
            remedy="Try again. If it stays like this, two launchers are at work: see the Lease launcher.",
        )

    async def retire(self, user: str) -> bool:
        """See Users.retire."""
        canonical_username(user)
        async with self._turn:
            claims, change = await self._of(user), retirement(datetime.now(timezone.utc))
            for claim in claims:
                await self._api.patch("persistentvolumeclaims", claim.name, change)
        return bool(claims)

    async def everybody(self) -> tuple[UserPlace, ...]:
        """See Users.everybody."""
        return tuple(_as_place(claim) for claim in await self._all() if not claim.retired and not claim.zone)

    async def strays(self) -> tuple[Leftover, ...]:
        """See Users.strays: claims of deleted users."""
        return tuple(
            Leftover(
                kind="home", name=claim.name, user=claim.user, since=claim.since, detail=f"uid {claim.uid}"
            )
            for claim in await self._all()
            if claim.retired
        )

    async def prepare(self, place: UserPlace, size: int | None, used: Used | None = None) -> None:
        """Grow the claim where the profile's quota is larger. Raises IsolationError `home.not_grown`, or
        `home.being_made` where another sandbox waits for this home's first volume."""
        async with self._turn:
            claim = await self._claim(place)
            if size is None or claim.size >= size:
                return
            try:
                await self._grow(claim, size, used)
            except BackendError as error:
                log.warning("The claim %s cannot grow to %s: %s", claim.name, format_size(size), error)
                raise IsolationError(
                    f"Your home has {format_size(claim.size)}; this profile promises {format_size(size)}.",
                    code="home.not_grown",
                    field="disk",
                    remedy="Take another profile, or ask your admin: the storage class must allow expansion.",
                ) from error

    async def _grow(self, claim: UserClaim, size: int, used: Used | None) -> None:
        """One without a volume cannot grow, and holds nothing: it is made anew, if nobody waits for it."""
        if not claim.bound:
            if self._starting[claim.name] > 1 or (used and claim.name in await used()):
                raise IsolationError(
                    f"Another of your servers is starting with a home of {format_size(claim.size)}, and this"
                    f" profile promises {format_size(size)}.",
                    code="home.being_made",
                    field="disk",
                    remedy="Wait until the other server runs, or stop it; then start this one again.",
                )
            log.info("The claim %s has no volume yet; it is made anew for %s", claim.name, format_size(size))
            # An answer that was lost is false at the second asking, though the claim goes.
            if await self._delete(claim) or await self._goes(claim):
                await self._make_larger(claim, size)
                return
        change = {"spec": {"resources": {"requests": {"storage": str(size)}}}}
        if await self._api.patch("persistentvolumeclaims", claim.name, change) is None:
            raise _foreign(claim.name, claim.user, claim.uid)

    async def _delete(self, claim: UserClaim) -> bool:
        """As it was read; False where it was gone, or is another by now."""
        name, uid, version = claim.name, claim.object_uid, claim.version
        return await self._api.delete("persistentvolumeclaims", name, uid, version=version)

    async def _goes(self, claim: UserClaim) -> bool:
        there = await self._api.get("persistentvolumeclaims", claim.name)
        known = (there or {}).get("metadata") or {}
        return known.get("uid") != claim.object_uid or "deletionTimestamp" in known

    async def _make_larger(self, claim: UserClaim, size: int) -> None:
        manifest = claim_manifest(claim.user, claim.uid, claim.zone, self._cluster, self._labels, size)
        deadline = asyncio.get_running_loop().time() + _GONE_TIME
        while True:
            try:
                await self._api.create("persistentvolumeclaims", manifest)
            except BackendError as error:
                if error.code != "kubernetes.conflict" or asyncio.get_running_loop().time() > deadline:
                    raise
                there = await self._api.get("persistentvolumeclaims", claim.name)
                if there is not None and there["metadata"]["uid"] != claim.object_uid:
                    if read_claim(there).size >= size:
                        return  # the new one, whose answer was lost
                    raise
                await asyncio.sleep(_LOOK)
            else:
                return

    @contextmanager
    def starting(self, home: str) -> Iterator[None]:
        """See Homes.starting."""
        self._due.came(home)
        self._starting[home] += 1
        try:
            yield
        finally:
            self._starting[home] -= 1

    async def release(self, home: str, used: Used | None = None) -> None:
        """See Homes.release; nodes mount and unmount by themselves.

        A claim that never got a volume goes: it holds nothing, and would wait for the storage class of its
        day for ever. It stays for a start on its way that asked for it, or with a volume meanwhile.
        """
        try:
            async with self._turn:
                document = await self._api.get("persistentvolumeclaims", home)
                claim = read_claim(document) if document is not None else None
                if claim is None or claim.bound:
                    self._due.done(home)
                    return
                # A start may begin while it is asked who uses it; its `prepare` waits for this turn.
                in_use = used and home in await used()
                if in_use or self._starting[home] or not self._due.waits(home):
                    return
                gone = await self._delete(claim)
            if gone:
                self._due.done(home)
                log.info("The claim %s never had a volume, and is taken away", home)
        except SandboxError as error:
            self._due.missed(home)
            log.warning("The claim %s is left as it is, and tried again later: %s", home, error)

    async def mounted(self) -> frozenset[str]:
        """See Homes.mounted: claims without a volume that nobody gave back, or could not.

        All are looked at where the launcher was started now, or a question about claims got no answer.
        """
        if not self._due.known:
            claims = _readable(await self._documents(HOME_LABEL))
            self._due.found(claim.name for claim in claims if not (claim.bound or claim.retired))
        for home in self._due.all():
            document = await self._api.get("persistentvolumeclaims", home)
            if document is None or document["spec"].get("volumeName"):
                self._due.done(home)
        waiting = (home for home in self._due.all() if self._due.waits(home))
        return frozenset(home for home in waiting if not self._starting[home])

    async def _claim(self, place: UserPlace) -> UserClaim:
        document = await self._api.get("persistentvolumeclaims", place.home)
        claim = read_claim(document) if document is not None else None
        if claim is None or (claim.user, claim.uid, claim.retired) != (place.user, place.host_uid, False):
            raise _foreign(place.home, place.user, place.host_uid)
        return claim

    async def _make(self, user: str, zone: str, own: list[UserClaim]) -> UserClaim | None:
        """A new claim, or None where its uid turned out to be somebody else's as well."""
        uid = own[0].uid if own else next_uid(await self._all(), self._uids)
        manifest = claim_manifest(user, uid, zone, self._cluster, self._labels)
        try:
            made = read_claim(await self._api.create("persistentvolumeclaims", manifest))
        except BackendError as error:
            if error.code != "kubernetes.conflict":
                raise
            return None  # an answer was lost; the next look finds it
        twins = [claim for claim in await self._all() if claim.uid == uid and claim.user != user]
        if not twins or own:
            log.info("%s has the claim %s and uid %s", user, made.name, uid)
            return made
        log.warning("The uid %s is %s's as well; %s gets another", uid, twins[0].user, user)
        await self._api.delete("persistentvolumeclaims", made.name, made.object_uid)
        return None

    async def _of(self, user: str) -> list[UserClaim]:
        found = await self._listed(f"{HOME_LABEL}={user_label(user)},{RETIRED}=no")
        if len({claim.uid for claim in found}) > 1:
            raise ConfigurationError(
                f"The claims of {user!r} have several uids: {', '.join(sorted(c.name for c in found))}.",
                code="users.registry_broken",
                remedy="Mark those that are not the user's: kubectl label pvc NAME --overwrite"
                f" {RETIRED}=yes",
            )
        return found

    async def _all(self) -> list[UserClaim]:
        return await self._listed(HOME_LABEL)

    async def _listed(self, selector: str) -> list[UserClaim]:
        found = await self._documents(selector)
        return sorted((read_claim(item) for item in found), key=lambda claim: claim.name)

    async def _documents(self, selector: str) -> Sequence[Document]:
        own = ",".join(f"{name}={value}" for name, value in self._labels.items())
        try:
            listing = await self._api.list("persistentvolumeclaims", f"{own},{selector}")
        except SandboxError:
            self._due.missed()  # somebody may have asked in order to give one back
            raise
        return listing.items


def _readable(documents: Sequence[Document]) -> Iterator[UserClaim]:
    """One that somebody broke hinders no other; its user's start says what is wrong."""
    for document in documents:
        with suppress(ConfigurationError):
            yield read_claim(document)


def _foreign(name: str, user: str, uid: int) -> ConfigurationError:
    return ConfigurationError(
        f"The claim {name} is not a home of {user!r} with uid {uid}.",
        code="users.home_foreign",
        remedy="Start the server again; if it stays like this, look at the claim's annotations.",
    )


def _as_place(claim: UserClaim) -> UserPlace:
    return UserPlace(user=claim.user, host_uid=claim.uid, home=claim.name)
