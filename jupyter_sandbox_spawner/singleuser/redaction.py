"""What does a kernel hide in its output? The values that it has read itself, from the moment of reading.

Law: it prevents accidents and is no wall. What cannot be searched is withheld, and the cell says so.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Mapping
from typing import Any

from . import redaction_pipes
from .spellings import Redactor, spellings

__all__ = ["SHORTEST", "register", "withheld"]

SHORTEST = 6  # characters; shorter ones stand in innocent output everywhere
_MOST = 200  # values; a kernel that reads keys anew every hour has those of the last days
# No secrets by what they are, and often a common word: "reader" would vanish from every traceback.
_OPEN_FIELDS = frozenset({"user", "username", "host", "hostname", "port", "database", "dbname", "region"})
# What programs go by; no output of a cell stands there.
_SHAPE = frozenset({"name", "status", "execution_state", "comm_id", "target_name", "transient"})


class _State:
    """Of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.known: dict[str, dict[str, str]] = {}  # of each value, oldest first: spelling to what is shown
        self.redactor = Redactor({})
        self.session: Any = None  # whose messages are searched
        self.watched: dict[int, redaction_pipes.Carrier] = {}  # by descriptor
        self.ordered = False
        self.said: set[str] = set()


_state = _State()


def register(name: str, value: str, field: str = "value") -> None:
    """Hide this value of the secret `name` in what this kernel sends from now on.

    No-op where no kernel runs, as in a terminal or script. Values under SHORTEST characters are not hidden,
    which is said; fields that are called like a user or a host are not either.
    """
    kernel = _kernel()
    if kernel is None or field.lower() in _OPEN_FIELDS:
        return
    if len(value.strip()) < SHORTEST:
        _say(f"The field {field!r} of the secret {name!r} has under {SHORTEST} characters: it is not hidden.")
        return
    with _state.lock:
        if value not in _state.known:
            _state.known[value] = dict.fromkeys(spellings(value), f"[secret {name}]")
            while len(_state.known) > _MOST:
                del _state.known[next(iter(_state.known))]
            _state.redactor = Redactor({k: v for texts in _state.known.values() for k, v in texts.items()})
        try:
            redaction_pipes.watch(_state.watched, _redactor)
            _hook(kernel.session)
            _order(kernel.shell.events)
        except (AttributeError, OSError) as error:
            _say(f"Output of this kernel is not searched for secrets ({error}): print none.")


def _redactor() -> Redactor:
    return _state.redactor


def _kernel() -> Any:
    """The kernel that this process is, if it is one."""
    shells: Any = sys.modules.get("IPython")
    return getattr(shells.get_ipython(), "kernel", None) if shells else None


def _say(sentence: str) -> None:
    if sentence not in _state.said:
        _state.said.add(sentence)
        print(sentence, file=sys.stderr)


def _hook(session: Any) -> None:
    """Everything that a kernel sends passes `serialize` of its one session, whoever sends it.

    The hooks of ipykernel's own streams and publishers are one thread's, and see neither errors nor comms.
    """
    if _state.session is session:
        return
    plain = session.serialize

    @functools.wraps(plain)
    def serialize(msg: Mapping[str, Any], ident: Any = None) -> Any:
        return plain(_searched(session, msg), ident)

    session.serialize = serialize
    _state.session = session


def _order(events: Any) -> None:
    """A cell's output below Python is sent before the cell's end, as it mostly is without a pipe more."""
    if not _state.ordered:
        events.register(
            "post_run_cell", lambda _result: redaction_pipes.settle(tuple(_state.watched.values()))
        )
        _state.ordered = True


def _searched(session: Any, message: Mapping[str, Any]) -> dict[str, Any]:
    """The message without values. What the packer cannot pack raises here as it would without us."""
    found: dict[str, Any] = {}
    for part in ("content", "metadata"):
        plain = message.get(part)
        if plain:
            raw = plain.encode() if isinstance(plain, str) else plain  # packed already, as is what is relayed
            packed = raw if isinstance(raw, bytes) else session.pack(raw)
            found[part] = _clean(session, message, part, packed)
    return {**message, **found}


def _clean(session: Any, message: Mapping[str, Any], part: str, packed: bytes) -> Any:
    try:
        redactor = _state.redactor
        if redactor.is_in(packed):
            return redactor.content(session.unpack(packed))
        return packed if part == "content" else message[part]  # `serialize` packs no bytes again
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing unsearched goes out
        return withheld(message, type(error).__name__) if part == "content" else {}


def withheld(message: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Content of the same shape that says only that it could not be searched."""
    notice = f"[output is withheld: it could not be searched for secrets ({why})]"

    def instead(key: str, item: Any) -> Any:
        if key in _SHAPE or item is None or isinstance(item, (bool, int)):
            return item
        if isinstance(item, (list, tuple)):
            return [notice] if key == "traceback" else []
        if isinstance(item, Mapping):
            return {"text/plain": notice} if key == "data" and "comm_id" not in message["content"] else {}
        return notice

    return {key: instead(key, item) for key, item in message["content"].items()}
