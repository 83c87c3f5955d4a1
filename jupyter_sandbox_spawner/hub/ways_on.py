"""What does a page about one server offer: how far its start is, and how to start the same again?

Law: what is shown again was saved by the hub from a request, so it is checked here against what is offered
now, and the server's start decides anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import SandboxError
from ..rules.choosing import Choice, decide
from ..rules.user_options import saved_options
from ..units import format_duration
from .form_fields import fields_of
from .stages import StageLine

__all__ = ["Starting", "WaysOn", "starting", "ways_on"]


@dataclass(frozen=True, kw_only=True)
class Starting:
    """A start as the page shows it first: `age` in seconds, `limit` in words, after which it is given up."""

    profile: str
    stages: tuple[StageLine, ...]
    percent: int
    age: float
    limit: str


@dataclass(frozen=True, kw_only=True)
class WaysOn:
    """Fields of a form that starts the same again; empty where that profile may not be had any more."""

    profile: str = ""
    fields: tuple[tuple[str, str], ...] = ()


def starting(spawner: Any) -> Starting:
    """How far this spawner's start is."""
    stages = spawner.stages.lines()
    over = sum(line.state == "done" for line in stages)
    choice = _choice(spawner)
    return Starting(
        profile=choice.profile.display_name if choice else "",
        stages=tuple(stages),
        percent=round(100 * over / len(stages)),
        age=round(spawner.stages.age, 1),
        limit=format_duration(spawner.start_timeout),
    )


def ways_on(user: Any, server: str) -> WaysOn:
    """How this user's server could be started as it was the last time."""
    # Asked so, since a look by `[]` would make a spawner where there is none.
    spawner = dict.get(user.spawners, server)
    choice = _choice(spawner) if spawner is not None else None
    if choice is None or choice.notice:
        return WaysOn()
    saved = saved_options(choice.profile.slug, choice.options)
    return WaysOn(profile=choice.profile.display_name, fields=tuple(fields_of(saved)))


def _choice(spawner: Any) -> Choice | None:
    saved = spawner.orm_spawner.user_options
    try:
        return decide(spawner.offered, saved, False, spawner.user.name, spawner.groups)
    except SandboxError:
        return None  # the form says what is wrong
