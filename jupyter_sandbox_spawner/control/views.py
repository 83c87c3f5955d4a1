"""What do people and programs read about a sandbox? Records turned into JSON documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..clients.control import Ended
from ..models import SandboxSpec
from ..rules.catalogue import Dataset
from ..rules.datasets import Verdict as Mounting
from ..rules.endings import sentence
from ..rules.idleness import Limits, Signals, Verdict
from .happenings import Told
from .notices import is_delayed
from .records import SandboxRecord

__all__ = [
    "data_view",
    "ended",
    "event_view",
    "line_view",
    "previous_view",
    "reason",
    "summary",
    "timestamp",
    "verdict_view",
    "who_and_when",
    "why_of",
]

_CHAIN = ("hash", "prev")
_SAME = timedelta(seconds=1)


def timestamp(instant: datetime | None) -> str | None:
    """RFC 3339, whole seconds."""
    return None if instant is None else instant.isoformat(timespec="seconds").replace("+00:00", "Z")


def ended(
    record: SandboxRecord,
    now: datetime,
    told: Told | None = None,
    soft: Sequence[str] = (),
    held: Limits | None = None,
) -> Ended:
    """For the hub's pages: why it ended, or when it will by the limits `held`, what its user was told, which
    limits are `soft`."""
    told = told or Told()
    held = held or Limits(started_at=record.admitted_at)
    stands = _stands(told, record, now)
    return Ended(
        sandbox=record.id,
        server=record.server,
        status=record.status,
        profile=record.profile,
        now=now,
        code=record.stop_code or "",
        why=why_of(record),
        ended_at=record.released_at,
        deadline=min((at for at in (held.deadline, held.max_age_at, held.closes_at) if at), default=None),
        idle_timeout=held.idle_timeout,
        soft=tuple(soft),
        warned_at=told.warned_at if stands else None,
        warning=told.warning if stands else "",
        lines=told.lines,
    )


def why_of(record: SandboxRecord) -> str:
    """The reason as a sentence; "" while nobody decided an end."""
    return sentence(record.stop_code, record.stop_why or "") if record.stop_code else ""


def _stands(told: Told, record: SandboxRecord, now: datetime) -> bool:
    """Is it still true? Not once it was used since, was given more time, or the instant has passed."""
    if told.warned_at is None or told.said_at is None or not record.is_open or told.warned_at <= now:
        return False
    if is_delayed(record, told.code, told.warned_at, told.said_at):
        return False
    later = record.deadline is not None and record.deadline - told.warned_at >= _SAME
    return not (later and told.code == "warning.ttl")


def who_and_when(record: SandboxRecord) -> dict[str, Any]:
    """What every list says of a sandbox."""
    return {
        "id": record.id,
        "user": record.user,
        "server": record.server,
        "profile": record.profile,
        "groups": record.groups,
        "status": record.status,
        "admitted_at": timestamp(record.admitted_at),
        "ready_at": timestamp(record.ready_at),
        "released_at": timestamp(record.released_at),
    }


def summary(record: SandboxRecord, now: datetime) -> dict[str, Any]:
    """One line of a list."""
    left = None if record.deadline is None else max((record.deadline - now).total_seconds(), 0)
    return {
        **who_and_when(record),
        "deadline": timestamp(record.deadline),
        "time_left": left if record.is_open else None,
        "idle_timeout": record.idle_timeout,
        "stop": reason(record),
    }


def event_view(item: Mapping[str, Any]) -> dict[str, Any]:
    """An event for others than its user: without the lines of a log."""
    detail = {key: value for key, value in item["detail"].items() if key != "lines"}
    return {**item, "at": timestamp(item["at"]), "detail": detail}


def reason(record: SandboxRecord) -> dict[str, Any] | None:
    """Why it was or is being stopped."""
    if record.stop_code is None:
        return None
    return {
        "code": record.stop_code,
        "why": why_of(record),
        "actor": record.stop_actor,
        "decided_at": timestamp(record.stop_decided_at),
        "exit_code": record.exit_code,
    }


def previous_view(
    record: SandboxRecord, before: SandboxRecord, now: datetime, lines: str = ""
) -> dict[str, Any]:
    """The server's last sandbox, for `record`'s, with the log's last `lines`; of another zone's nothing that
    it could choose."""
    view = summary(before, now) | {"lines": lines}
    if before.zone is None or before.zone != record.zone:
        view["lines"] = ""
        if view["stop"] is not None:
            view["stop"] |= {"why": "It ran in another zone.", "exit_code": None}
    return view


def line_view(
    line: Mapping[str, Any], record: SandboxRecord, zones: Mapping[str, str | None]
) -> dict[str, Any]:
    """A line of the audit, for what runs in `record`; `zones` by sandbox, those that are known.

    A sandbox chooses words that are logged, such as hosts and paths: they stay in its zone. A line's hash,
    and the next one's, would tell whether a guess at them is right.
    """
    name = line["subject"]["sandbox"]
    if name:
        zone = zones.get(name)
        whole = name == record.id or (zone is not None and zone == record.zone)
    else:
        whole = line["actor"] != "gateway"
    return {
        key: ({} if key == "detail" and not whole else item)
        for key, item in line.items()
        if key not in _CHAIN
    }


def verdict_view(
    verdict: Verdict, signals: Signals, now: datetime, traffic: Mapping[str, int] | None
) -> dict[str, Any]:
    """Why it still runs: the rule's answer and what each witness said; the first rank counts most."""
    return {
        "action": verdict.action,
        "code": verdict.code,
        "kind": verdict.kind,
        "why": verdict.why,
        "rule": verdict.rule,
        "ends_at": timestamp(verdict.at),
        "idle_since": timestamp(verdict.idle_since),
        "signals": {
            "door_used_at": timestamp(signals.door_used_at),
            "cpu_used_at": timestamp(signals.cpu_used_at),
            "said_used_at": timestamp(signals.said_used_at),
            "busy": signals.busy,
        },
        "witnesses": _witnesses(signals, now, traffic),
    }


def _witnesses(signals: Signals, now: datetime, traffic: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Rank 1 is measured from outside, 2 what the server says of itself, 3 what its user asked for."""
    busy = signals.said_at is not None and signals.busy
    found: list[tuple[str, datetime | None, int, Any]] = [
        ("doors", signals.door_used_at, 1, dict(traffic) if traffic is not None else None),
        ("egress", signals.egress_used_at, 1, None),
        ("cpu", signals.cpu_used_at, 1, None),
        ("gpu", signals.gpu_used_at, 1, None),
        ("kernels", signals.said_at, 2, "busy" if busy else "idle" if signals.said_at else None),
        ("server", signals.said_used_at, 2, None),
        ("keep_alive", signals.keep_until, 3, bool(signals.keep_until and signals.keep_until > now)),
    ]
    return [
        {"name": name, "at": timestamp(at), "rank": rank, "value": value} for name, at, rank, value in found
    ]


def data_view(spec: SandboxSpec, verdict: Mounting, catalogue: Sequence[Dataset]) -> dict[str, Any]:
    """The zone, what is mounted where, and what the profile names and is not mounted, with the reason."""
    mounts = [mount for mount in spec.mounts if mount.kind == "dataset"]
    purposes = {item.name: item.purpose for item in catalogue}
    mounted = {mount.dataset for mount in mounts}
    return {
        "zone": spec.zone,
        "datasets": [
            {
                "name": mount.dataset,
                "tags": list(mount.tags),
                "path": mount.target,
                "read_only": mount.read_only,
                "purpose": purposes.get(mount.dataset, ""),
            }
            for mount in mounts
        ],
        "left_out": [
            {
                "name": item.name,
                "code": item.code or "dataset.next_start",
                "why": item.why or "It was not granted at the start; it is mounted when you start again.",
            }
            for item in verdict.decisions
            if item.name not in mounted
        ],
    }
