"""What ails the running site? Each part is asked at once; whatever is wrong with one, there is an answer.

Law: it never raises and never waits long: a part that does not answer is a finding.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from ..errors import SandboxError
from .parts import Parts
from .records import OPEN
from .tables import sandboxes
from .tables_egress import egress_requests
from .tables_ledger import tickets
from .views import timestamp

__all__ = ["Health", "Part"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_PATIENCE = 5.0  # seconds
_LOG = "Look at the program's log: journalctl -u 'jupyter-sandbox*', or where `run` writes."
_COUNTS = ("open", "waiting_requests", "queue")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing looked at, as in doctor's findings; `needed` False: the site runs without it, weaker."""

    name: str
    fine: bool
    seen: str
    remedy: str = ""
    needed: bool = True


class Health:
    """Looks at everything that control depends on."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def document(self) -> dict[str, Any]:
        """`{ok, now, parts, counts}`; a count is null where the database does not say."""
        looks: dict[str, Callable[[], Awaitable[Part | list[Part]]]] = {
            "database": self._database,
            "hub": self._hub,
            "launcher": self._launcher,
            "isolation": self._isolation,
            "gateway": self._gateway,
            "broker": self._broker,
            "policy": self._policy,
            "profiles": self._profiles,
            "audit": self._audit,
        }
        found = await asyncio.gather(*(_looked(name, look) for name, look in looks.items()))
        parts = [part for some in found for part in some]
        return {
            "ok": all(part.fine or not part.needed for part in parts),
            "now": timestamp(self._parts.clock.now()),
            "parts": [asdict(part) for part in parts],
            "counts": await self._counts(),
        }

    async def _counts(self) -> dict[str, int | None]:
        try:
            return await asyncio.wait_for(self._parts.store.run(_counted), _PATIENCE)
        except (SandboxError, asyncio.TimeoutError) as error:
            log.warning("Nothing is counted: %s", error)
            return dict.fromkeys(_COUNTS)

    async def _database(self) -> Part:
        await self._parts.store.run(lambda db: db.execute(select(1)).scalar())
        return Part(name="database", fine=True, seen="It answers.")

    async def _hub(self) -> Part:
        version = await self._parts.hub.version()
        return Part(name="hub", fine=True, seen=f"JupyterHub {version} answers.")

    async def _launcher(self) -> list[Part]:
        found = await self._parts.launcher.capabilities()
        soft = sorted(name for name, hard in found.limits.items() if not hard)
        kinds = ", ".join(f"{name} {version}" for name, version in sorted(found.runtimes.items()))
        parts = [Part(name="launcher", fine=True, seen=f"It answers; runtimes: {kinds or found.backend}.")]
        said = "The kernel holds every limit." if not soft else f"Not held by the kernel: {', '.join(soft)}."
        helps = " ".join(found.missing) or "Run: jupyter-sandbox-admin doctor"
        parts.append(
            Part(name="limits", fine=not soft, seen=said, remedy=helps if soft else "", needed=False)
        )
        parts += [
            Part(name=f"runtime {name}", fine=False, seen=why, remedy="Run: jupyter-sandbox-admin doctor")
            for name, why in sorted(found.refused.items())
        ]
        return parts

    async def _isolation(self) -> list[Part]:
        found = await self._parts.launcher.canary()
        return [
            Part(
                name=f"isolation under {name}",
                fine=bool(item["proved"]),
                seen=f"Proved at {item['at']}." if item["proved"] else f"Not proved: {item['why']}",
                remedy="" if item["proved"] else "Try again: jupyter-sandbox-admin canary --again",
            )
            for name, item in found["runtimes"].items()
        ]

    async def _gateway(self) -> Part:
        fine = await self._parts.gateway.health()
        return Part(
            name="gateway",
            fine=fine,
            seen="It answers." if fine else "It says that it is not well.",
            remedy="" if fine else _LOG,
        )

    async def _broker(self) -> Part:
        try:
            await self._parts.broker.keys()
        except SandboxError as error:
            if error.code != "secret.needs_vault":
                raise
            # The broker itself answered, that it has no keys to publish: nothing ails it.
            return Part(name="broker", fine=True, seen="It answers; this site has no Vault.")
        return Part(name="broker", fine=True, seen="It answers.")

    async def _policy(self) -> Part:
        found = self._parts.policy.status(await self._parts.terms.book())
        opa = found["opa"]
        if found["closed"]:
            seen, remedy = "No profiles file could be read, so policy allows nothing.", "See profiles."
            return Part(name="policy", fine=False, seen=seen, remedy=remedy)
        if opa is not None and opa["failing_since"] is not None:
            seen = f"OPA at {opa['address']} fails since {opa['failing_since']}: {opa['cause']}"
            remedy = "Mend OPA; what it should decide is denied meanwhile."
            return Part(name="policy", fine=False, seen=seen, remedy=remedy)
        return Part(name="policy", fine=True, seen=f"Decided by {found['engine']}.")

    async def _profiles(self) -> Part:
        state = await self._parts.terms.state()
        if state.problem:
            remedy = f"Mend it and check: jupyter-sandbox-admin profiles check {state.file}"
            return Part(name="profiles", fine=False, seen=state.problem[:2000], remedy=remedy)
        seen = f"{state.file} is in force since {timestamp(state.loaded_at)}." if state.file else "No file."
        return Part(name="profiles", fine=True, seen=seen)

    async def _audit(self) -> Part:
        trouble = self._parts.audit.trouble
        remedy = "Make room there; it is tried again each minute." if trouble else ""
        return Part(name="audit", fine=not trouble, seen=trouble or "It is written.", remedy=remedy)


async def _looked(name: str, look: Callable[[], Awaitable[Part | list[Part]]]) -> list[Part]:
    try:
        found = await asyncio.wait_for(look(), _PATIENCE)
    except SandboxError as error:
        return [Part(name=name, fine=False, seen=error.message, remedy=error.remedy or _LOG)]
    except asyncio.TimeoutError:
        return [Part(name=name, fine=False, seen=f"No answer within {_PATIENCE:g} s.", remedy=_LOG)]
    except Exception as error:
        # Whatever was answered, the other findings are shown; the log has the traceback.
        log.exception("%s could not be looked at", name)
        return [Part(name=name, fine=False, seen=f"It answered oddly ({type(error).__name__}).", remedy=_LOG)]
    return found if isinstance(found, list) else [found]


def _counted(connection: Connection) -> dict[str, int | None]:
    queries = (
        select(func.count()).select_from(sandboxes).where(sandboxes.c.status.in_(OPEN)),
        select(func.count()).select_from(egress_requests).where(egress_requests.c.status == "waiting"),
        select(func.count()).select_from(tickets),
    )
    return {
        name: connection.execute(query).scalar_one() for name, query in zip(_COUNTS, queries, strict=True)
    }
