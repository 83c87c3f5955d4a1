"""Does a pair of sockets pass bytes on whole where splice or pipes cannot be had, and keep pipes apart?"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable

import pytest

from jupyter_sandbox_spawner.singleuser.inside.loop import Loop
from jupyter_sandbox_spawner.singleuser.inside.pipes import Pipes
from jupyter_sandbox_spawner.singleuser.inside.pump import Pair
from tests.singleuser.sandbox import read_all

MESSAGE = bytes(range(256)) * (3 << 12)  # 3 MiB


def _pass_through(pipes: Pipes) -> bytes:
    """What comes out of a pair when MESSAGE goes in slowly read by the other side."""
    near, one = socket.socketpair()
    other, far = socket.socketpair()
    loop = Loop()
    for end in (one, other):
        end.setblocking(False)
    Pair(loop, pipes, (one, other), loop.stop)
    runner = threading.Thread(target=loop.run)
    runner.start()

    def send() -> None:
        near.sendall(MESSAGE)
        near.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received = read_all(far)
    far.close()
    assert near.recv(1) == b""
    near.close()
    sender.join()
    runner.join()
    return received


def _no_splice(*_arguments: object, **_flags: object) -> int:
    raise OSError(errno.EINVAL, "splice is not for these")


def _no_splice_out(real: Callable[..., int]) -> Callable[..., int]:
    def splice(source: int, target: int, *rest: object, **flags: object) -> int:
        if os.readlink(f"/proc/self/fd/{source}").startswith("pipe:"):
            raise OSError(errno.EINVAL, "splice is not for these")
        return real(source, target, *rest, **flags)

    return splice


def test_with_pipes_everything_arrives() -> None:
    """3 MB pass through a pair by splice, and afterwards every pipe is in the pool."""
    pipes = Pipes()
    assert _pass_through(pipes) == MESSAGE
    assert len(pipes._idle) == pipes._made > 0


def test_without_pipes_everything_arrives() -> None:
    """3 MB pass through a pair when the pool lends none."""
    pipes = Pipes(limit=0)
    assert _pass_through(pipes) == MESSAGE
    assert pipes._made == 0


def test_where_splice_is_refused_everything_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 MB pass through a pair when the kernel refuses splice from sockets; no pipe is tried again."""
    monkeypatch.setattr(os, "splice", _no_splice)
    pipes = Pipes()
    assert _pass_through(pipes) == MESSAGE
    assert pipes.borrow() is None
    assert pipes._made == 0


def test_where_splice_is_refused_half_way_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes already in a pipe reach the target when the kernel refuses splice into sockets."""
    monkeypatch.setattr(os, "splice", _no_splice_out(os.splice))
    pipes = Pipes()
    assert _pass_through(pipes) == MESSAGE
    assert pipes._made == 0


def test_a_pipe_with_bytes_in_it_is_never_lent_again() -> None:
    """A pair that ends with bytes under way closes its pipe in place of giving it back."""
    pipes = Pipes()
    near, one = socket.socketpair()
    other, far = socket.socketpair()
    loop = Loop()
    for end in (near, one, other):
        end.setblocking(False)
    ended: list[bool] = []

    def stop() -> None:
        ended.append(True)
        loop.stop()

    Pair(loop, pipes, (one, other), stop)
    loop.later(0.2, far.close)  # by then the pair has filled the far side and holds bytes
    _fill(near)
    loop.run()
    near.close()
    assert ended == [True]
    assert all(_is_empty(pipe.reader) for pipe in pipes._idle)
    assert len(pipes._idle) == pipes._made


def test_the_pool_is_bounded() -> None:
    """A pool of two lends two pipes, and a third only when one has come back."""
    pipes = Pipes(limit=2)
    first, second = pipes.borrow(), pipes.borrow()
    assert first is not None
    assert second is not None
    assert pipes.borrow() is None
    pipes.give_back(first)
    assert pipes.borrow() == first
    pipes.destroy(first)
    pipes.destroy(second)


def _fill(connection: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(MESSAGE[:65536])


def _is_empty(descriptor: int) -> bool:
    try:
        os.read(descriptor, 1)
    except BlockingIOError:
        return True
    return False


def test_a_relays_pipes_leave_most_of_the_quota() -> None:
    """All pipes of a relay take at most a quarter of the 64 MiB that the user's own code shares with it."""
    pipes = Pipes()
    lent = [pipe for pipe in (pipes.borrow() for _ in range(100)) if pipe is not None]
    try:
        assert 0 < len(lent) * pipes.size <= 16 << 20
    finally:
        for pipe in lent:
            pipes.destroy(pipe)


def test_under_gvisor_nothing_is_spliced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its splice loses bytes without an error, so they are copied; elsewhere a pipe is lent."""
    lent = Pipes().borrow()
    assert lent is not None
    os.close(lent.reader)
    os.close(lent.writer)
    name = os.uname_result(("Linux", "x", "4.4.0", "#1 SMP Sun Jan 10 15:06:54 PST 2016", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: name)
    assert Pipes().borrow() is None
