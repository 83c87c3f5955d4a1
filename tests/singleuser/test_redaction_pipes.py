"""Does a pipe in between hide values wherever a chunk ends, without stopping a writer or losing a byte?"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from jupyter_sandbox_spawner.singleuser import redaction_pipes
from jupyter_sandbox_spawner.singleuser.redaction_pipes import Carrier, settle
from jupyter_sandbox_spawner.singleuser.spellings import Redactor, spellings
from tests.singleuser.sandbox import eventually

VALUE = "canary-0b51-of-a-pipe"
REDACTOR = Redactor(dict.fromkeys(spellings(VALUE), "[secret x]"))


@contextmanager
def carried(current: Callable[[], Redactor] = lambda: REDACTOR) -> Iterator[tuple[int, int]]:
    """Where to write, and where it comes out; the entrance is closed in the end and the carrier has ended."""
    source, entrance = os.pipe()
    exit_, target = os.pipe()
    carrier = Carrier(source, target, current)
    carrier.start()
    try:
        yield entrance, exit_
    finally:
        for descriptor in (entrance, exit_):
            with suppress(OSError):  # the test has closed it
                os.close(descriptor)
        carrier.join(30)
        assert not carrier.is_alive()


def rest(entrance: int, exit_: int) -> bytes:
    """Everything, after the writer has finished."""
    os.close(entrance)
    return b"".join(iter(lambda: os.read(exit_, 65536), b""))


@pytest.mark.parametrize("cut", range(1, len(VALUE)))
def test_a_value_in_two_writes_is_found(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    """A possible beginning waits for what follows, wherever the first write ends."""
    monkeypatch.setattr(redaction_pipes, "_PATIENCE", 60_000)
    with carried() as (entrance, exit_):
        os.write(entrance, b"before " + VALUE[:cut].encode())
        assert os.read(exit_, 100) == b"before "
        os.write(entrance, VALUE[cut:].encode() + b" after")
        assert rest(entrance, exit_) == b"[secret x] after"


def test_a_beginning_that_does_not_go_on_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that looks like one is shown after a moment of silence, and nothing is lost at the end."""
    with carried() as (entrance, exit_):
        os.write(entrance, b"canary-")
        assert os.read(exit_, 100) == b"canary-"
        os.write(entrance, b"can")
        monkeypatch.setattr(redaction_pipes, "_PATIENCE", 60_000)
        assert rest(entrance, exit_) == b"can"


def test_bytes_of_any_kind_pass_unchanged() -> None:
    """What is no text, and no value, arrives as it was."""
    noise = os.urandom(1 << 20)
    with carried() as (entrance, exit_):
        writer = threading.Thread(target=_write_all, args=(entrance, noise))
        writer.start()
        found = b""
        while len(found) < len(noise):
            found += os.read(exit_, 65536)
        writer.join()
    assert found == noise


def _write_all(descriptor: int, raw: bytes) -> None:
    while raw:
        raw = raw[os.write(descriptor, raw) :]


def test_a_writer_goes_on_when_nobody_reads_any_more() -> None:
    """With the log gone a program can write megabytes and is not stopped."""
    with carried() as (entrance, exit_):
        os.close(exit_)
        writer = threading.Thread(target=_write_all, args=(entrance, bytes(4 << 20)))
        writer.start()
        writer.join(30)
        assert not writer.is_alive()


def test_a_failing_search_withholds_and_goes_on() -> None:
    """The bytes are replaced by a notice with the kind of error, and the writer is not stopped."""
    broken = iter([True])

    def current() -> Redactor:
        if next(broken, False):
            raise MemoryError
        return REDACTOR

    with carried(current) as (entrance, exit_):
        os.write(entrance, VALUE.encode())
        notice = os.read(exit_, 1000)
        assert b"withheld" in notice
        assert b"MemoryError" in notice
        os.write(entrance, b"works")
        assert rest(entrance, exit_) == b"works"


def test_it_is_quiet_when_all_has_gone_on() -> None:
    """Not while bytes are in the pipe or on their way, as long as that may last; and after its end."""
    source, entrance = os.pipe()
    exit_, target = os.pipe()
    carrier = Carrier(source, target, lambda: REDACTOR)
    carrier.start()
    left = 0
    for _ in range(2):  # more than the other pipe takes
        left += os.write(entrance, bytes(1 << 16))
    settle([carrier])
    assert not carrier.is_quiet()
    while left:
        left -= len(os.read(exit_, left))
    eventually(carrier.is_quiet, "it has gone on")
    os.close(entrance)
    carrier.join(30)
    assert carrier.is_quiet()
    os.close(exit_)


def test_fifty_secrets_cost_little() -> None:
    """Searching 1 MB for fifty values in all spellings takes under half a second of a processor."""
    values = [f"{number:03}-Value/with+signs&{number * 7919:x}" for number in range(50)]
    redactor = Redactor({text: "[secret x]" for value in values for text in spellings(value)})
    text = ("a line of a log as programs write it, 200 OK, {'some': 'object'}\n" * 16384).encode()
    began = time.process_time()
    assert not redactor.is_in(text)
    assert redactor.raw(text) == text
    assert redactor.open_end(text) == len(text)
    assert time.process_time() - began < 0.5
