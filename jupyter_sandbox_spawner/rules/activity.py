"""What that a browser sends counts as use of a server, and what would an open, quiet tab send too?

Law: only what is known to be sent without a person is left out; anything else counts, so that nobody's
work is stopped because a page is not known here. This is no line of defence: a TTL or max age bounds it.
docs/explanation/activity.md has the measurements behind the tables.
"""

from __future__ import annotations

import re

from .frames import Frame
from .paths import below

__all__ = ["message_counts", "request_counts"]

_SAFE = (b"GET", b"HEAD", b"OPTIONS")
# Read again and again by JupyterLab, or only on the way to a page that counts by itself.
_BACKGROUND = re.compile(
    rb"(api|lab/api|lab/extensions|lab/static|lsp|static|custom|metrics|kernelspecs)(/|$)|favicon\.ico$|sandbox/view$"
)
_CONTENTS = re.compile(rb"api/contents(/|$)")
# JupyterLab stores its layout every ten seconds, changed or not.
_LAYOUT = re.compile(rb"lab/api/workspaces/[^/]+$")
_MARKED = b"no_track_activity=1"

_CHANNELS = re.compile(rb"api/kernels/[^/]+/channels$")
_TERMINAL = re.compile(rb"(api/)?terminals/websocket/[^/]+$")
_COLLABORATION = re.compile(rb"api/collaboration/")
# A page asks these when it connects again, or as an answer to what the kernel said.
_ASKED_BY_PAGES = frozenset(
    (b"kernel_info_request", b"comm_info_request", b"history_request", b"debug_request")
)
_MESSAGE_TYPE = re.compile(rb'"msg_type" ?: ?"([a-z_]{1,40})"')
_RESIZED = b'["set_size"'
_AWARENESS = b"\x01"  # y-protocols: the first byte of "I am still here", sent every 15 seconds
_DATA = (1, 2)


def request_counts(method: bytes, target: bytes, prefix: str, websocket: bool = False) -> bool:
    """Does this request count as use of the server at `prefix`? Opening a WebSocket does not: pages do
    that by themselves when a connection was lost; what is sent on it may."""
    raw, _, query = target.partition(b"?")
    if websocket or _MARKED in query:
        return False
    path = below(raw, prefix)
    if method == b"PUT":
        return not _LAYOUT.match(path)
    if method not in _SAFE or not _BACKGROUND.match(path):
        return True
    return bool(_CONTENTS.match(path)) and _opens_a_file(query)


def _opens_a_file(query: bytes) -> bool:
    # Directories are listed, and open files looked after, without a type or without content.
    fields = query.split(b"&")
    return b"content=0" not in fields and any(field in (b"type=notebook", b"type=file") for field in fields)


def message_counts(target: bytes, prefix: str, frame: Frame) -> bool:
    """Does this frame of a browser's WebSocket at `target` count as use?"""
    if frame.opcode not in _DATA:
        return False  # ping, pong, close, and the rest of a message whose first frame was judged
    if not frame.readable:
        return True
    path = below(target.partition(b"?")[0], prefix)
    if _CHANNELS.match(path):
        said = _MESSAGE_TYPE.search(frame.beginning)
        return said is None or said[1] not in _ASKED_BY_PAGES
    if _TERMINAL.match(path):
        return not frame.beginning.startswith(_RESIZED)
    if _COLLABORATION.match(path):
        return not frame.beginning.startswith(_AWARENESS)
    return True
