"""Has anybody edited, deleted, reordered or cut off a line of the audit?

Law: `hash = sha256(prev || canonical record without hash)`, canonical as in RFC 8785; a head is a signed
`{seq, hash, time, key_id}`. Who may write the files and the key can forge both: keep some heads elsewhere
(an object-locked bucket, a mailbox) and give them to `verify` too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..errors import SandboxError

__all__ = [
    "GENESIS",
    "VERSION",
    "Entry",
    "Finding",
    "Outcome",
    "Report",
    "key_id",
    "line_of",
    "open_head",
    "open_line",
    "rfc3339",
    "seal",
    "sign_head",
    "verify",
]

VERSION = 1
GENESIS = "0" * 64
Outcome = Literal["allowed", "denied", "done", "failed", "decided"]
FindingKind = Literal["edit", "delete", "reorder", "truncation", "head_forged", "unreadable"]
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What somebody wants written: who did what to whom, how it ended, by which policy. Never a secret.

    `engine` and `decision_id` are set where a policy engine decided just this.
    """

    actor: str
    action: str
    outcome: Outcome
    user: str = ""
    server: str = ""
    sandbox: str = ""
    code: str = ""
    policy_digest: str = ""
    engine: str = ""
    decision_id: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, at a sequence number, in a sentence."""

    kind: FindingKind
    seq: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What verify saw: findings, how many records, the last number and the last one under a signature."""

    findings: tuple[Finding, ...]
    records: int
    last_seq: int
    signed_seq: int


def rfc3339(instant: datetime) -> str:
    """`2026-11-25T22:00:00.123456Z`; the instant must be aware UTC."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def seal(entry: Entry, seq: int, time: datetime, prev: str) -> Record:
    """The record of an entry, bound to the hash of the one before."""
    record: Record = {
        "v": VERSION,
        "seq": seq,
        "time": rfc3339(time),
        "prev": prev,
        "actor": entry.actor,
        "subject": {"user": entry.user, "server": entry.server, "sandbox": entry.sandbox},
        "action": entry.action,
        "outcome": entry.outcome,
        "detail": dict(entry.detail),
    }
    if entry.code:
        record["code"] = entry.code
    stamp = {"digest": entry.policy_digest, "engine": entry.engine, "decision_id": entry.decision_id}
    if any(stamp.values()):
        record["policy"] = {name: value for name, value in stamp.items() if value}
    record["hash"] = _hash(record)
    return record


def line_of(document: Mapping[str, Any]) -> bytes:
    """One NDJSON line: canonical JSON and a newline."""
    return rfc8785.dumps(dict(document)) + b"\n"


def open_line(line: bytes) -> Record | None:
    """The record of one whole, unbroken line whose own hash is right; None for anything else."""
    record = _parse(line)
    if record is None or not line.endswith(b"\n") or _hash_or_none(record) != record["hash"]:
        return None
    return record


def open_head(line: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Record | None:
    """The head of one line that a trusted key signed; None for anything else."""
    head = _parse_head(line)
    return head if head is not None and _is_signed(head, keys) else None


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def sign_head(record: Mapping[str, Any], key: Ed25519PrivateKey, time: datetime) -> Record:
    """A signed head over everything up to this record."""
    head: Record = {
        "seq": record["seq"],
        "hash": record["hash"],
        "time": rfc3339(time),
        "key_id": key_id(key.public_key()),
    }
    return {**head, "signature": key.sign(rfc8785.dumps(head)).hex()}


def verify(lines: Iterable[bytes], heads: Iterable[bytes], keys: Mapping[str, Ed25519PublicKey]) -> Report:
    """Walk the whole file once; `keys` maps key ids to the public keys that are trusted."""
    findings: list[Finding] = []
    signed = _trusted_heads(heads, keys, findings)
    walk = _Walk(signed, findings)
    for number, line in enumerate(lines, 1):
        walk.step(number, line)
    walk.finish()
    reached = [seq for seq in signed if seq <= walk.last_seq]
    return Report(
        findings=tuple(findings),
        records=walk.records,
        last_seq=walk.last_seq,
        signed_seq=max(reached, default=0),
    )


class _Walk:
    """The state of one pass over the lines."""

    def __init__(self, signed: Mapping[int, set[str]], findings: list[Finding]) -> None:
        self.signed = signed
        self.findings = findings
        self.records = 0
        self.last_seq = 0
        self._last_hash = GENESIS
        self._previous_seq = 0
        self._missing: set[int] = set()

    def step(self, number: int, line: bytes) -> None:
        record = _parse(line)
        if record is None:
            self._found("unreadable", self.last_seq, f"Line {number} is not a record.")
            return
        self.records += 1
        seq: int = record["seq"]
        if _hash_or_none(record) != record["hash"]:
            self._found("edit", seq, f"Record {seq} does not match its own hash.")
        elif record["hash"] not in self.signed.get(seq, {record["hash"]}):
            self._found("edit", seq, f"Record {seq} is not the one that was signed.")
        self._place(seq, record)
        self._previous_seq, self._last_hash = seq, record["hash"]

    def _place(self, seq: int, record: Record) -> None:
        if seq <= self.last_seq:
            self._missing.discard(seq)
            self._found("reorder", seq, f"Record {seq} stands after record {self._previous_seq}.")
            return
        if seq == self._previous_seq + 1 and record["prev"] != self._last_hash:
            self._found("edit", seq, f"Record {seq} does not follow record {seq - 1} as it stands now.")
        self._missing.update(range(self.last_seq + 1, seq))
        self.last_seq = seq

    def finish(self) -> None:
        for seq in sorted(self._missing):
            self._found("delete", seq, f"Record {seq} is missing.")
        beyond = max(self.signed, default=0)
        if beyond > self.last_seq:
            self._found(
                "truncation",
                self.last_seq,
                f"The file ends at record {self.last_seq}; record {beyond} was signed.",
            )

    def _found(self, kind: FindingKind, seq: int, message: str) -> None:
        self.findings.append(Finding(kind=kind, seq=seq, message=message))


def _trusted_heads(
    heads: Iterable[bytes], keys: Mapping[str, Ed25519PublicKey], findings: list[Finding]
) -> dict[int, set[str]]:
    signed: dict[int, set[str]] = {}
    for number, line in enumerate(heads, 1):
        head = open_head(line, keys)
        if head is None:
            message = f"Head {number} is not signed by a trusted key."
            findings.append(Finding(kind="head_forged", seq=0, message=message))
            continue
        signed.setdefault(head["seq"], set()).add(head["hash"])
    for seq, hashes in signed.items():
        if len(hashes) > 1:
            findings.append(
                Finding(kind="edit", seq=seq, message=f"Record {seq} was signed twice, differently.")
            )
    return signed


def _is_signed(head: Record, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    key = keys.get(head["key_id"])
    if key is None:
        return False
    body = {name: head[name] for name in ("seq", "hash", "time", "key_id")}
    try:
        key.verify(bytes.fromhex(head["signature"]), rfc8785.dumps(body))
    except (InvalidSignature, ValueError):
        return False
    return True


def _hash(record: Mapping[str, Any]) -> str:
    body = {name: value for name, value in record.items() if name != "hash"}
    try:
        canonical = rfc8785.dumps(body)
    except (rfc8785.CanonicalizationError, ValueError) as error:
        raise SandboxError(
            f"The audit entry cannot be written: {error}.", code="audit.invalid_entry"
        ) from error
    return hashlib.sha256(str(record["prev"]).encode() + canonical).hexdigest()


def _hash_or_none(record: Mapping[str, Any]) -> str | None:
    try:
        return _hash(record)
    except SandboxError:
        return None


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or type(record.get("seq")) is not int:
        return None
    return record if isinstance(record.get("prev"), str) and isinstance(record.get("hash"), str) else None


def _parse_head(line: bytes) -> Record | None:
    try:
        head = json.loads(line)
    except ValueError:
        return None
    if not isinstance(head, dict) or type(head.get("seq")) is not int:
        return None
    texts = all(isinstance(head.get(name), str) for name in ("hash", "time", "key_id", "signature"))
    return head if texts else None
