"""What do the audit's files hold at start: the last good record, the last head, the key, a broken end?

Law: nothing is ever thrown away: a broken end is moved into a file of its own, and the caller is told.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ..errors import ConfigurationError
from ..rules.audit import GENESIS, Entry, key_id, open_head, open_line

__all__ = ["AuditPaths", "Start", "backwards", "open_files", "public_keys"]

_BLOCK = 1 << 20


@dataclass(frozen=True)
class AuditPaths:
    """The files of one audit directory."""

    directory: Path

    @property
    def records(self) -> Path:
        """The hash-chained records."""
        return self.directory / "audit.ndjson"

    @property
    def heads(self) -> Path:
        """The signed heads."""
        return self.directory / "heads.ndjson"

    @property
    def key(self) -> Path:
        """The raw private key (0600)."""
        return self.directory / "signing.key"

    @property
    def public(self) -> Path:
        """The raw public key in hex; copy it elsewhere."""
        return self.directory / "signing.pub"

    @property
    def reserve(self) -> Path:
        """Space kept for security records on a full disk."""
        return self.directory / "reserve"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where writing goes on, and what has to be said about the files first."""

    descriptor: int
    heads_descriptor: int
    seq: int
    prev: str
    signed_seq: int
    key: Ed25519PrivateKey
    notes: tuple[Entry, ...]


def open_files(paths: AuditPaths, stamp: str) -> Start:
    """Lock and open; `stamp` names the side files of broken ends. Raises ConfigurationError."""
    descriptor = _open_locked(paths.records)
    heads_descriptor = os.open(paths.heads, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    key = _signing_key(paths)
    notes = [*_set_aside(paths.records, descriptor, stamp), *_set_aside_heads(paths, heads_descriptor, stamp)]
    last = next(iter(_good_records(paths.records)), None)
    seq, prev = (last["seq"], last["hash"]) if last else (0, GENESIS)
    signed_seq, signed_hash = _last_head(paths, key.public_key())
    if signed_seq > seq:
        notes.append(_note("audit.truncated", {"signed_seq": signed_seq, "found_seq": seq}))
        # Numbers that were signed once never come back with another content.
        seq, prev = signed_seq, signed_hash
    return Start(
        descriptor=descriptor,
        heads_descriptor=heads_descriptor,
        seq=seq,
        prev=prev,
        signed_seq=min(signed_seq, seq),
        key=key,
        notes=tuple(notes),
    )


def public_keys(paths: AuditPaths) -> dict[str, Ed25519PublicKey]:
    """The public key beside the audit, by its id; empty where there is none."""
    if not paths.public.exists():
        return {}
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(paths.public.read_text().strip()))
    return {key_id(key): key}


def backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines from the last to the first with the offset where each begins; the last may lack its newline."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        rest = b""
        while end > 0:
            begin = max(end - _BLOCK, 0)
            stream.seek(begin)
            block = stream.read(end - begin) + rest
            lines = block.splitlines(keepends=True)
            kept = 1 if begin > 0 else 0
            offset = begin + len(block)
            for line in reversed(lines[kept:]):
                offset -= len(line)
                yield offset, line
            rest = lines[0] if kept else b""
            end = begin


def _open_locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            f"Another process writes {path}.",
            code="audit.in_use",
            remedy="Only one control may run on one state directory; stop the other one.",
        ) from None
    return descriptor


def _good_records(path: Path) -> Iterator[dict[str, Any]]:
    for _, line in backwards(path):
        record = open_line(line)
        if record is not None:
            yield record


def _set_aside(path: Path, descriptor: int, stamp: str) -> list[Entry]:
    """Move what follows the last good record away."""
    end = os.fstat(descriptor).st_size
    good_end = 0
    for offset, line in backwards(path):
        if open_line(line) is not None:
            good_end = offset + len(line)
            break
    return _cut(path, descriptor, good_end, end, stamp)


def _set_aside_heads(paths: AuditPaths, descriptor: int, stamp: str) -> list[Entry]:
    end = os.fstat(descriptor).st_size
    first = next(iter(backwards(paths.heads)), None)
    if first is None or first[1].endswith(b"\n"):
        return []
    return _cut(paths.heads, descriptor, first[0], end, stamp)


def _cut(path: Path, descriptor: int, good_end: int, end: int, stamp: str) -> list[Entry]:
    if good_end == end:
        return []
    bad = os.pread(descriptor, end - good_end, good_end)
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    with aside.open("xb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(bad)
        stream.flush()
        os.fsync(stream.fileno())
    os.ftruncate(descriptor, good_end)
    os.fsync(descriptor)
    detail = {"file": aside.name, "bytes": len(bad), "sha256": hashlib.sha256(bad).hexdigest()}
    return [_note("audit.tail_quarantined", detail)]


def _note(action: str, detail: dict[str, Any]) -> Entry:
    return Entry(actor="control", action=action, outcome="done", code=action, detail=detail)


def _last_head(paths: AuditPaths, key: Ed25519PublicKey) -> tuple[int, str]:
    keys = {key_id(key): key}
    for _, line in backwards(paths.heads):
        head = open_head(line, keys)
        if head is not None:
            return head["seq"], head["hash"]
    return 0, GENESIS


def _signing_key(paths: AuditPaths) -> Ed25519PrivateKey:
    if paths.key.exists():
        key = Ed25519PrivateKey.from_private_bytes(paths.key.read_bytes())
    else:
        key = Ed25519PrivateKey.generate()
        raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        temporary = paths.key.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, paths.key)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    if not paths.public.exists() or paths.public.read_text().strip() != public:
        paths.public.write_text(public + "\n")
    return key
