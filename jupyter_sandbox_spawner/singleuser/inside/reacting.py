"""What does a server that started lean do about a notice? An event for JupyterLab, and what save.py does.

Law: the loop serves on; what may wait for a disk, a terminal or the user's hook is on a thread that nobody
waits for, not even at the end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from .notices import Notice
from .save import CHECKPOINT_LIMIT, open_notebooks, save, show

__all__ = ["SCHEMA_ID", "offer_events", "react"]

SCHEMA_ID = "https://events.jupyter-sandbox.example/notice/v1"
SCHEMA: dict[str, Any] = {
    "$id": SCHEMA_ID,
    "version": "1",
    "title": "Notices about the end of a sandbox",
    "description": "A warning before the end, the request to save, a stop, or a moved end.",
    "personal-data": True,
    "type": "object",
    "properties": {
        "id": {"type": "integer", "description": "The event's number, as in GET /api/self/events."},
        "kind": {"type": "string", "description": "warning, save, stopping or extended."},
        "code": {"type": "string", "description": "Why, for programs, such as warning.ttl."},
        "why": {"type": "string", "description": "A sentence for people, with when."},
        "at": {"type": "string", "description": "The end, RFC 3339; empty where it is about none."},
    },
    "required": ["id", "kind", "code", "why", "at"],
}


def offer_events(app: Any) -> None:
    """Make the schema known on the server's event bus: who subscribes gets events of those known by then."""
    logger = getattr(app, "event_logger", None)
    if logger is None:  # this jupyter_server knows no events
        return
    try:
        logger.register_event_schema(SCHEMA)
    except Exception as error:  # noqa: BLE001 - the server starts without it
        app.log.warning("JupyterLab will hear of no warnings: %r", error)


async def react(app: Any, new: Sequence[Notice], kept: Sequence[Notice]) -> None:
    """Show the new notices everywhere, and save where that is asked for."""
    _aside(show, tuple(new), tuple(kept), dict(os.environ))
    for notice in new:
        app.log.warning("Sandbox: %s (%s)", notice.why, notice.code)
        try:
            _emit(app, notice)
        except Exception as error:  # noqa: BLE001 - whatever a listener raises, the rest goes on
            app.log.warning("JupyterLab was not told: %r", error)
    for notice in new:
        if notice.kind == "save":
            made = await _checkpoints(app)
            _aside(save, dict(os.environ), notice, made)


def _aside(act: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=act, args=arguments, daemon=True, name="sandbox notices").start()


def _emit(app: Any, notice: Notice) -> None:
    logger = getattr(app, "event_logger", None)
    if logger is None or SCHEMA_ID not in logger.schemas:
        return
    at = "" if notice.at is None else datetime.fromtimestamp(notice.at, timezone.utc).isoformat()
    logger.emit(schema_id=SCHEMA_ID, data={**notice._asdict(), "at": at})


async def _checkpoints(app: Any) -> dict[str, str]:
    """What failed, by the path of each open notebook; "" where a checkpoint was made."""
    made: dict[str, str] = {}
    try:
        await asyncio.wait_for(_make_checkpoints(app, made), CHECKPOINT_LIMIT)
    except Exception as error:  # noqa: BLE001 - an extension's manager may raise anything
        app.log.warning("Not every open notebook got a checkpoint: %r", error)
    return made


async def _make_checkpoints(app: Any, made: dict[str, str]) -> None:
    for path in open_notebooks(await _value(app.session_manager.list_sessions())):
        made[path] = "It took too long."
        try:
            await _value(app.contents_manager.create_checkpoint(path))
            made[path] = ""
        except Exception as error:  # noqa: BLE001 - one that is gone must not cost the others theirs
            made[path] = str(error) or type(error).__name__


async def _value(answer: Any) -> Any:
    return await answer if hasattr(answer, "__await__") else answer
