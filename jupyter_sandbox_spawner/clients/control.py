"""How do the hub plugin and the admin command ask control? Each by its own socket."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from ..rules.admission import Admission, AdmissionRequest, ProfileTerms
from ..rules.offers import Offer
from ..rules.room_words import Lack
from ..settings import Site
from ..wire import decode, encode
from .unix_http import UnixClient

__all__ = [
    "Refused",
    "Admission",
    "AdmissionRequest",
    "Claims",
    "ControlAdminClient",
    "ControlClient",
    "Ended",
    "Notice",
    "Notices",
    "Offer",
    "OfferQuestion",
    "ProfileTerms",
    "Released",
    "Stages",
    "control_socket",
]


def control_socket(site: Site, caller: str) -> str:
    """The socket of `hub`, `gateway`, `broker` or `admin`, in a 0700 directory of control's own."""
    return site.control_socket(caller)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Body of `ready`: seconds that each stage of the start took."""

    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Released:
    """Body of `released`: why it ended as the hub plugin knows it, the exit status if there is one, and the
    last lines of its log where it ended by itself (no secrets, see rules/log_lines.py)."""

    code: str
    why: str
    exit_code: int | None = None
    lines: str = ""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Body of `refused`: what the hub plugin refused before it asked, by code and field of the options."""

    server: str
    code: str
    field: str = ""


@dataclass(frozen=True, kw_only=True)
class OfferQuestion:
    """Body of `offers`: the user's groups as the hub knows them, and the server that would be started."""

    groups: tuple[str, ...] = ()
    server: str = ""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What the server inside says of itself: kernels, how many are busy, terminals, its last activity.

    `heard`: the number of the last notice it was given; the answer has those after it.
    """

    kernels: int
    busy: int
    terminals: int = 0
    last_activity: datetime | None = None
    heard: int = 0


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is told to a running server: `warning` (it ends at `at`), `save` (the same, very soon), or news.

    `id` is that of the event (GET /api/self/events); `why` is a sentence for people.
    """

    id: int
    kind: str
    code: str
    why: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Notices:
    """Control's answer to claims."""

    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Why a server's last sandbox ended, or, while it runs, when it will; for the hub's pages.

    `soft` names the limits that the host's kernel does not hold. `warned_at`, `warning`: the end that its
    user was warned of last, and why, while that stands. `lines`: the last ones of its log, where it crashed.
    """

    sandbox: str
    server: str
    status: str
    profile: str
    now: datetime
    code: str = ""
    why: str = ""
    ended_at: datetime | None = None
    deadline: datetime | None = None
    idle_timeout: int | None = None
    soft: tuple[str, ...] = ()
    warned_at: datetime | None = None
    warning: str = ""
    lines: str = ""


class ControlClient(UnixClient):
    """The hub plugin's socket. Raises UnreachableError `control.unreachable`, or AnswerError."""

    def __init__(self, path: str, timeout: float = 15.0) -> None:
        super().__init__("control", path, timeout)

    async def admit(self, request: AdmissionRequest) -> Admission:
        """Admitted or denied (`admitted` says which); the same request again gives the same answer."""
        return decode(Admission, await self.call("POST", "/api/admissions", encode(request)))

    async def ready(self, sandbox: str, stages: Mapping[str, float]) -> None:
        """The server answers; idempotent."""
        await self.call("POST", f"/api/sandboxes/{sandbox}/ready", encode(Stages(stages=stages)))

    async def released(
        self, sandbox: str, code: str, why: str, exit_code: int | None = None, lines: str = ""
    ) -> None:
        """It ended and nothing of it is left; idempotent. A reason that control decided stays."""
        body = encode(Released(code=code, why=why, exit_code=exit_code, lines=lines))
        await self.call("POST", f"/api/sandboxes/{sandbox}/released", body)

    async def refused(self, user: str, refusal: Refused) -> None:
        """A start was refused before it came to an admission; for the audit."""
        await self.call("POST", f"/api/users/{quote(user, safe='')}/refusals", encode(refusal))

    async def last(self, user: str, server: str) -> Ended | None:
        """The newest sandbox of a server; None if control knows none."""
        path = f"/api/users/{quote(user, safe='')}/servers/{quote(server, safe='')}/last"
        found = await self.call("GET", path)
        return None if found is None else decode(Ended, found)

    async def servers(self, user: str) -> Sequence[Ended]:
        """The newest sandbox of each server: open, or ended within the last week; for the home page."""
        found = await self.call("GET", f"/api/users/{quote(user, safe='')}/servers")
        return [decode(Ended, item) for item in found]

    async def offers(self, user: str, groups: Collection[str], server: str = "") -> Sequence[Offer]:
        """What the user may have now, an offer a profile; none where control has no profiles file."""
        body = encode(OfferQuestion(groups=tuple(sorted(groups)), server=server))
        found = await self.call("POST", f"/api/users/{quote(user, safe='')}/offers", body)
        return decode(tuple[Offer, ...], found)

    async def room(self, sandbox: str, lack: Lack) -> str:
        """By when there is room for one that waits for it, as a sentence; "" where nobody knows."""
        return str((await self.call("GET", f"/api/sandboxes/{sandbox}/room/{lack}"))["words"])

    async def cancel(self, user: str, ticket: str) -> None:
        """Give up the user's place in the queue. AnswerError `gpu.unknown_ticket` if there is none."""
        path = f"/api/users/{quote(user, safe='')}/tickets/{quote(ticket, safe='')}"
        await self.call("DELETE", path)

    async def forget_user(self, user: str) -> None:
        """The user was deleted at the hub: open records are closed, and a new user of this name starts
        with none; idempotent."""
        await self.call("DELETE", f"/api/users/{quote(user, safe='')}")


class ControlAdminClient(UnixClient):
    """The admin command's socket. Answers are JSON documents as in docs/reference/api."""

    def __init__(self, path: str, timeout: float = 60.0) -> None:
        super().__init__("control", path, timeout)

    async def sandboxes(self, user: str | None = None, ended: bool = False, after: str = "") -> Any:
        """A page `{items, next}` of sandboxes; `after` is the last page's `next`."""
        query = {"after": after, "ended": "1" if ended else "0", **({"user": user} if user else {})}
        return await self.call("GET", f"/api/sandboxes?{urlencode(query)}")

    async def stop(self, sandbox: str, why: str) -> Any:
        """Stop a sandbox for a reason its user will read."""
        return await self.call("POST", f"/api/sandboxes/{sandbox}/stop", {"why": why})

    async def extend(self, sandbox: str, by: int, why: str = "", key: str = "") -> Any:
        """Move its end to `by` seconds from now; the same key again changes nothing."""
        body = {"by": by, "why": why, "key": key}
        return await self.call("POST", f"/api/sandboxes/{sandbox}/extend", body)

    async def why(self, user: str, server: str) -> Any:
        """Why was it stopped, or why does it still run?"""
        path = f"/api/why/{quote(user, safe='')}/{quote(server, safe='')}"
        return await self.call("GET", path)

    async def gpu(self) -> Any:
        """Devices with who has them, the queue, and what the launcher notes about its GPUs."""
        return await self.call("GET", "/api/gpu")

    async def cancel(self, ticket: str) -> None:
        """Take a ticket out of the queue."""
        await self.call("DELETE", f"/api/gpu/tickets/{quote(ticket, safe='')}")

    async def egress_requests(
        self, status: str = "", user: str = "", before: int | None = None, limit: int = 100
    ) -> Any:
        """A page `{items, next, now, waiting}` of hosts that users asked for, the latest first."""
        query = {"status": status, "user": user, "before": "" if before is None else before, "limit": limit}
        return await self.call("GET", f"/api/egress/requests?{urlencode(query)}")

    async def approve_egress(self, request: int, terms: Mapping[str, Any]) -> Any:
        """Open it: `for` seconds, `scope` sandbox, user or group (`name`), perhaps `why` and `pattern`."""
        return await self.call("POST", f"/api/egress/requests/{request}/approve", dict(terms), timeout=300)

    async def deny_egress(self, request: int, why: str) -> Any:
        """Answer with no; its user reads why."""
        return await self.call("POST", f"/api/egress/requests/{request}/deny", {"why": why})

    async def egress_grants(self, active: bool = True) -> Any:
        """`{items, now}` of what was given; `active` leaves out what is over."""
        return await self.call("GET", f"/api/egress/grants?active={int(active)}")

    async def revoke_egress(self, grant: int, why: str = "") -> Any:
        """Take a grant back at once; its user reads why."""
        return await self.call("POST", f"/api/egress/grants/{grant}/revoke", {"why": why}, timeout=300)

    async def reconcile(self, apply: bool = False, users: bool = False) -> Any:
        """Compare all inventories; `apply` acts on what was found, otherwise it is a dry run."""
        return await self.call("POST", f"/api/reconcile?apply={int(apply)}&users={int(users)}", timeout=300)

    async def policy(self) -> Any:
        """Who decides, by which policy, and what ails it."""
        return await self.call("GET", "/api/policy")

    async def profiles(self) -> Any:
        """Which rule book is in force since when, and why the file as it is now is not: `problem`."""
        return await self.call("GET", "/api/profiles/state")

    async def audit(
        self, user: str | None = None, limit: int = 100, before: int | None = None, **more: str
    ) -> Any:
        """Audit records, newest first, `{items, next}`; `more`: further filters of the API, "" for none."""
        query: dict[str, Any] = {"limit": limit, **_asked(more)}
        query.update({"user": user} if user else {})
        query.update({"before": before} if before is not None else {})
        return await self.call("GET", f"/api/audit?{urlencode(query)}")

    async def usage(
        self, by: str, since: str = "", until: str = "", user: str | None = None, over: str = ""
    ) -> Any:
        """What was used, by user, group, profile or day; days (UTC) as `2026-11-29`, both included."""
        query = {"by": by, **_asked({"since": since, "until": until, "user": user or "", "over": over})}
        return await self.call("GET", f"/api/usage?{urlencode(query)}", timeout=300)

    async def table(self, query: Mapping[str, str]) -> Any:
        """A page of sandboxes, searched and sorted; as the admin page has it."""
        return await self.call("GET", f"/api/table?{urlencode(_asked(query))}")

    async def denials(self, query: Mapping[str, str]) -> Any:
        """A page of hosts that were refused, the latest first."""
        return await self.call("GET", f"/api/denials?{urlencode(_asked(query))}")

    async def health(self) -> Any:
        """What ails the running site: `{ok, now, parts, counts}`."""
        return await self.call("GET", "/api/health")

    async def profile_list(self) -> Any:
        """The profiles in force, with what each gives, costs and is for."""
        return await self.call("GET", "/api/profiles")


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in query.items() if text}
