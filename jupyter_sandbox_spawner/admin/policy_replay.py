"""What would another policy have decided of what was asked here? The audit's questions, asked again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..rules.audit import rfc3339
from ..rules.policy_record import Past, past_decisions, shortened
from ..settings import load_site
from ..units import parse_duration
from ..wire import encode
from .exits import ExitStatus
from .policy_trials import ask_all, settings_of

__all__ = ["replay"]


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One past decision and where it stands."""

    seq: int
    time: str
    past: Past


def replay(arguments: argparse.Namespace) -> int:
    """Print what would be decided otherwise, and a count of each kind."""
    site = None if arguments.directory and arguments.file else load_site(arguments.site)
    directory = arguments.directory or (f"{site.state_dir}/audit" if site else "")
    file = arguments.file or (site.profiles if site else "")
    since = datetime.now(timezone.utc) - timedelta(seconds=parse_duration(arguments.since, "--since"))
    cases = list(_cases(Path(directory) / "audit.ndjson", rfc3339(since)))
    readable = [case for case in cases if case.past.question is not None]
    questions = [json.dumps(encode(case.past.question)) for case in readable]
    answers = ask_all(questions, settings_of(file or None), arguments.opa)
    changed = []
    for case, answer in zip(readable, answers, strict=True):
        said = [decision for decision in answer if decision is not None]
        allow = all(decision.allow for decision in said)
        reasons = [reason for decision in said for reason in decision.reasons]
        if allow != case.past.allow:
            changed.append(_change(case, allow, reasons))
    _print(arguments.json, changed, len(cases), len(cases) - len(readable))
    return ExitStatus.OK


def _cases(file: Path, since: str) -> Iterator[_Case]:
    try:
        with file.open("rb") as stream:
            for line in stream:
                record = _record(line)
                if record is not None and str(record.get("time", "")) >= since:
                    for past in past_decisions(record):
                        yield _Case(seq=int(record.get("seq", 0)), time=str(record["time"]), past=past)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}.",
            code="audit.missing",
            remedy="Name the directory with --directory; it is STATE_DIR/audit.",
        ) from error


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # being written now; a broken one is what `audit verify` reports
    return record if isinstance(record, dict) else None


def _change(case: _Case, allow: bool, reasons: list[str]) -> dict[str, Any]:
    question = case.past.question
    return {
        "seq": case.seq,
        "time": case.time,
        "question": shortened(question) if question else None,
        "was": list(case.past.reasons) if not case.past.allow else "allow",
        "would_be": "allow" if allow else reasons,
    }


def _print(as_json: bool, changed: list[dict[str, Any]], asked: int, unread: int) -> None:
    if as_json:
        print(json.dumps({"decisions": asked, "unreadable": unread, "changed": changed}, indent=1))
        return
    for item in changed:
        was, would_be = (_words(item[name]) for name in ("was", "would_be"))
        print(f"{item['seq']:>8} {item['time']} {json.dumps(item['question'], ensure_ascii=False)}")
        print(f"{'':>8} {was} -> {would_be}")
    denied = sum(1 for item in changed if item["would_be"] != "allow")
    print(
        f"{asked} decisions: {denied} would be denied that were allowed, {len(changed) - denied} allowed that"
        f" were denied; {unread} cannot be asked again."
    )


def _words(said: str | list[str]) -> str:
    return said if isinstance(said, str) else f"deny {' '.join(said)}"
