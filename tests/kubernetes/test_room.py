"""Is the room of a cluster apart from the machine, and does all of it go at once? Without Kubernetes."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub_config.kubernetes.cluster import room
from hub_config.kubernetes.cluster.layout import Layout

pytestmark = pytest.mark.lane("cluster")


@contextmanager
def open_room() -> Iterator[tuple[Layout, int, subprocess.Popen[bytes]]]:
    """A furnished room, tied to this process; its first process and who holds it."""
    directory = Path(tempfile.mkdtemp(prefix="jss-room-", dir="/tmp"))
    (directory / "logs").mkdir()
    layout, first, holder = Layout(directory, room.take_number()), 0, None
    try:
        holder = room.open_room(layout, tied=True)
        first = room.first_process(holder.pid)
        room.furnish(layout, first)
        yield layout, first, holder
    finally:
        room.close_room(layout, first)
        if holder is not None and holder.stdin is not None:
            holder.stdin.close()
            holder.wait(10)
        shutil.rmtree(directory)


def inside(first: int, *words: str) -> str:
    """What a command says in the room."""
    return subprocess.run(room.enter(first, words), capture_output=True, text=True, check=True).stdout


def gone(number: int) -> bool:
    """Does this process end within ten seconds?"""
    end = time.monotonic() + 10
    while not room.dead(number) and time.monotonic() < end:
        time.sleep(0.01)  # the kernel ends it
    return room.dead(number)


def test_two_rooms_have_numbers_of_their_own() -> None:
    """Their addresses and cgroups differ, and each sees only its own processes."""
    with open_room() as (one, first, _), open_room() as (other, second, _):
        assert one.number != other.number
        assert one.node_address in inside(first, "ip", "addr")
        assert other.node_address not in inside(first, "ip", "addr")
        assert set(room.processes(first)) == {first}
        assert set(room.processes(second)) == {second}


def test_the_room_has_no_way_out_of_the_machine() -> None:
    """There is no default route; the host is its only neighbour."""
    with open_room() as (layout, first, _):
        routes = inside(first, "ip", "route")
    assert "default" not in routes
    assert f"{layout.node_address.rpartition('.')[0]}.0/30" in routes


def test_a_room_ends_with_whoever_holds_it() -> None:
    """When the holder is gone, so is everything that ran inside, and the link to it."""
    with open_room() as (layout, first, holder):
        child = subprocess.Popen(room.enter(first, ["sleep", "600"]))
        assert os.path.exists(f"/sys/class/net/{layout.link}")
        assert holder.stdin is not None
        holder.stdin.close()
        assert gone(first)
        child.wait(10)
        holder.wait(10)
        end = time.monotonic() + 10
        while os.path.exists(f"/sys/class/net/{layout.link}") and time.monotonic() < end:
            time.sleep(0.01)  # the kernel removes it a moment later
        assert not os.path.exists(f"/sys/class/net/{layout.link}")


def test_a_closed_room_leaves_nothing() -> None:
    """No process, cgroup or device is left, also of what ignores signals."""
    with open_room() as (layout, first, _):
        stubborn = subprocess.Popen(room.enter(first, ["sh", "-c", "trap '' TERM INT HUP; sleep 600"]))
        groups = [
            path
            for pattern in (layout.cgroup, f"*/{layout.cgroup}")
            for path in Path("/sys/fs/cgroup").glob(pattern)
        ]
        assert groups
        room.close_room(layout, first)
        stubborn.wait(10)
        assert gone(first)
        assert [path for path in groups if path.exists()] == []
        assert not os.path.exists(f"/sys/class/net/{layout.link}")


def reaches(address: str) -> int:
    """What a connection to an address meets at once: an errno. ConnectionRefused where a machine answers."""
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex((address, 6443))


def test_addresses_of_a_closed_room_lead_nowhere() -> None:
    """Not by the machine's default route either: no packet of a new client leaves, nor of an earlier one."""
    with open_room() as (layout, first, _), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as earlier:
        earlier.connect((layout.node_address, 9))
        earlier.send(b"heard")
        assert reaches(layout.node_address) == errno.ECONNREFUSED
        room.close_room(layout, first)
        with pytest.raises(OSError, match=r"unreachable|No route"):
            earlier.send(b"unheard")
        assert reaches(layout.node_address) == errno.EHOSTUNREACH
        for network in layout.networks:
            words = ["ip", "route", "get", network.partition("/")[0]]
            found = subprocess.run(words, capture_output=True, check=False)
            assert b"No route to host" in found.stderr, network


def test_a_room_that_is_gone_can_be_closed_again() -> None:
    """Closing twice is no error."""
    with open_room() as (layout, first, _):
        room.close_room(layout, first)
        room.close_room(layout, first)
