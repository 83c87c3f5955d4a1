"""What do people and programs read about more time? What was given, and what could be; as JSON documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..rules.extension import Extension
from .views import timestamp

__all__ = ["extension_view", "possible_view"]


def extension_view(answer: Extension, now: datetime) -> dict[str, Any]:
    """Of one that was given: the end from now on; `left` more (null: any number), none of them past `cap`."""
    return {
        "deadline": timestamp(answer.deadline),
        "now": timestamp(now),
        "left": answer.left,
        "cap": timestamp(answer.cap),
        "repeated": answer.repeated,
    }


def possible_view(answer: Extension) -> dict[str, Any]:
    """Of one that may be asked for: would it be given, until when, and how many are left."""
    return {
        "possible": answer.granted,
        "until": timestamp(answer.deadline) if answer.granted else None,
        "code": answer.code,
        "message": answer.message,
        "left": answer.left,
        "cap": timestamp(answer.cap),
    }
