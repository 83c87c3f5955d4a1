"""Does the audit's chain show every kind of tampering, and nothing where there was none?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.rules.audit import (
    GENESIS,
    Entry,
    key_id,
    line_of,
    open_line,
    seal,
    sign_head,
    verify,
)

NOW = datetime(2026, 11, 25, 22, 0, tzinfo=timezone.utc)
UNHURRIED = settings(deadline=None, max_examples=60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEY = Ed25519PrivateKey.generate()
KEYS = {key_id(KEY.public_key()): KEY.public_key()}


def chain(count: int, name: str = "alice") -> list[bytes]:
    """A good file of `count` records."""
    prev, lines = GENESIS, []
    for seq in range(1, count + 1):
        entry = Entry(actor="hub", action="admission", outcome="allowed", user=name, detail={"n": seq})
        record = seal(entry, seq, NOW + timedelta(seconds=seq), prev)
        prev = record["hash"]
        lines.append(line_of(record))
    return lines


def head_of(line: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    """A signed head over one line."""
    return line_of(sign_head(json.loads(line), key, NOW))


def kinds(lines: list[bytes], heads: list[bytes]) -> set[str]:
    """The kinds of findings."""
    return {finding.kind for finding in verify(lines, heads, KEYS).findings}


def test_a_good_file_has_no_findings() -> None:
    """An untouched file verifies, and the report says how far it is signed."""
    lines = chain(10)
    report = verify(lines, [head_of(lines[7])], KEYS)
    assert report.findings == ()
    assert (report.records, report.last_seq, report.signed_seq) == (10, 10, 8)


def rehash(line: bytes, prev: str, **changes: object) -> bytes:
    """The line with changes and a hash that fits again, as an attacker would make it."""
    record = {**json.loads(line), **changes, "prev": prev}
    entry = Entry(actor="hub", action=record["action"], outcome="allowed", user="mallory")
    return line_of(seal(entry, record["seq"], NOW, prev))


@pytest.mark.parametrize(
    ("kind", "tamper"),
    [
        ("edit", lambda lines: [*lines[:3], lines[3].replace(b"alice", b"mallo"), *lines[4:]]),
        ("edit", lambda lines: [*lines[:3], rehash(lines[3], json.loads(lines[2])["hash"]), *lines[4:]]),
        ("delete", lambda lines: [*lines[:3], *lines[4:]]),
        ("delete", lambda lines: lines[1:]),
        ("reorder", lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]]),
        ("reorder", lambda lines: [*lines, lines[2]]),
        ("truncation", lambda lines: lines[:5]),
        ("truncation", lambda lines: []),
        ("unreadable", lambda lines: [*lines[:4], b"not json\n", *lines[4:]]),
    ],
)
def test_tampering_is_found(
    kind: str,
    tamper: Callable[[list[bytes]], list[bytes]],
    control: Callable[[str, bool], None],
) -> None:
    """Edit, deletion, reordering and truncation each have a finding of their own kind."""
    lines = chain(10)
    heads = [head_of(lines[9])]
    control("the untouched file verifies", not kinds(lines, heads))
    assert kind in kinds(tamper(lines), heads)


def test_a_rewritten_chain_is_found_by_its_signed_head() -> None:
    """Whoever computes every hash anew cannot make the signature fit."""
    lines = chain(10)
    assert kinds(chain(10, "mallory"), [head_of(lines[4])]) == {"edit"}


def test_a_head_of_another_key_is_not_believed() -> None:
    """A head signed by an unknown key is a finding and proves nothing."""
    lines = chain(3)
    report = verify(lines, [head_of(lines[2], Ed25519PrivateKey.generate())], KEYS)
    assert [finding.kind for finding in report.findings] == ["head_forged"]
    assert report.signed_seq == 0


def test_a_head_kept_elsewhere_shows_that_both_files_were_cut() -> None:
    """Cutting records and heads alike is seen by a head that somebody kept."""
    lines = chain(10)
    assert kinds(lines[:5], [head_of(lines[3])]) == set()
    assert kinds(lines[:5], [head_of(lines[3]), head_of(lines[8])]) == {"truncation"}


@UNHURRIED
@given(st.data())
def test_any_changed_byte_of_a_signed_file_is_found(data: st.DataObject) -> None:
    """No single byte of a fully signed file can be changed unseen."""
    lines = chain(4)
    heads = [head_of(line) for line in lines]
    number = data.draw(st.integers(0, 3))
    place = data.draw(st.integers(0, len(lines[number]) - 2))
    byte = data.draw(st.integers(33, 126))
    changed = bytearray(lines[number])
    if changed[place] == byte:
        return
    changed[place] = byte
    whole = b"".join([*lines[:number], bytes(changed), *lines[number + 1 :]])
    assert verify(whole.splitlines(keepends=True), heads, KEYS).findings


@UNHURRIED
@given(st.dictionaries(st.text(max_size=8), st.one_of(TEXT, st.integers(-(2**53) + 1, 2**53 - 1), st.none())))
def test_every_detail_survives_its_line(detail: dict[str, object]) -> None:
    """What is written into a record comes back from its line, hash and all."""
    record = seal(Entry(actor="a", action="b", outcome="done", detail=detail), 1, NOW, GENESIS)
    back = open_line(line_of(record))
    assert back is not None
    assert back["detail"] == detail


def test_a_number_json_cannot_hold_is_refused() -> None:
    """An integer beyond 2**53 cannot be canonical and is refused by name."""
    with pytest.raises(SandboxError) as caught:
        seal(Entry(actor="a", action="b", outcome="done", detail={"n": 2**60}), 1, NOW, GENESIS)
    assert caught.value.code == "audit.invalid_entry"
