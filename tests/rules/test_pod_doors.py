"""Is there room for one more connection of a pod, whatever the others hold?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.rules.pod_doors import DOORS, Room, is_room, room_of


def filled(pods: int, carried: int, hungry: int) -> list[int]:
    """Some pods take one each in turn until nobody gets any; how many each has."""
    held = [0] * pods
    room = Room(nameless=1, carried=carried)
    moved = True
    while moved:
        moved = False
        for index in range(hungry):
            if held[index] < sum(DOORS.values()) and is_room(held[index], sum(held), pods, room):
                held[index] += 1
                moved = True
    return held


@pytest.mark.parametrize(("pods", "carried", "hungry"), [(2, 100, 1), (50, 1000, 40), (500, 1000, 499)])
def test_nobody_is_kept_out_by_those_who_hold_most(pods: int, carried: int, hungry: int) -> None:
    """Whatever the hungry hold, one that holds nothing gets its share of half; all is never exceeded."""
    held = filled(pods, carried, hungry)
    room = Room(nameless=1, carried=carried)
    while is_room(held[-1], sum(held), pods, room):
        held[-1] += 1
    assert held[-1] >= carried // 2 // pods
    assert sum(held) <= carried


def test_one_alone_has_what_its_doors_take() -> None:
    """While there is room nobody is asked for a share."""
    assert filled(1, 12_288, 1) == [sum(DOORS.values())]


@pytest.mark.parametrize("descriptors", [1024, 4096, 65_536, 1 << 20])
def test_room_leaves_descriptors_to_others(descriptors: int) -> None:
    """What all pods can hold is never more than three quarters of the descriptors."""
    room = room_of(descriptors)
    assert room.nameless + 2 * room.carried <= descriptors * 3 // 4
    assert room.carried * 105_000 < 2 << 30
