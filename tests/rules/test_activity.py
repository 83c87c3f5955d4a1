"""Is a quiet, open tab no use, and what a person does use? Requests as JupyterLab 4.6 sends them."""

from __future__ import annotations

import json

import pytest

from jupyter_sandbox_spawner.rules.activity import message_counts, request_counts
from jupyter_sandbox_spawner.rules.frames import Frame

PREFIX = "/user/ada/"
CHANNELS = b"api/kernels/010145f4-5ed1-4a03-88df-cd6bb6122efb/channels?session_id=1"
TERMINAL = b"terminals/websocket/1"

# Recorded in 170 seconds of an open tab with a notebook, a kernel and a terminal: each of the first row of
# lines 12 to 18 times, then every 30 seconds, then once after the last change.
QUIET = [
    b"GET api/contents?content=1&hash=0&1795649349907",
    b"GET api/kernels?1795649352483",
    b"GET api/sessions?1795649352666",
    b"GET api/terminals?1795649347075",
    b"GET lab/api/workspaces?1795649352885",
    b"PUT lab/api/workspaces/default?1795649350446",
    b"GET api/kernelspecs?1795649363798",
    b"GET api/me?1795649363769",
    b"GET api/contents/Untitled.ipynb?content=0&hash=1&contentProviderId=undefined&1795649326650",
    b"GET api/contents/Untitled.ipynb/checkpoints?1795649311449",
    b"GET api/contents/data/raw?content=1&hash=0&1795649349907",
    b"GET api/status",
    b"GET api/metrics/v1?1795649349907",
    b"GET metrics",
    b"GET lab/api/settings?ids_only=true&1795649305980",
    b"GET lsp/status?1795649302997",
    b"HEAD api/kernels",
    b"GET sandbox/view?1795649302997",
    b"POST api/anything?no_track_activity=1",
]
USE = [
    b"POST sandbox/extend?1795649302997",
    b"GET sandbox/viewer",
    b"GET lab",
    b"GET lab/tree/Untitled.ipynb",
    b"GET tree",
    b"GET ",
    b"GET files/data.csv",
    b"GET nbconvert/html/Untitled.ipynb?download=true",
    b"GET api/contents/Untitled.ipynb?type=notebook&content=1&hash=1&contentProviderId=undefined&179564931",
    b"GET api/contents/notes.txt?type=file&format=text&content=1&hash=1&1795649311016",
    b"PUT api/contents/Untitled.ipynb?1795649326767",
    b"POST api/contents/Untitled.ipynb/checkpoints?1795649327012",
    b"POST api/contents?1795649310314",
    b"PATCH api/contents/Untitled.ipynb",
    b"DELETE api/contents/Untitled.ipynb",
    b"POST api/sessions?1795649312059",
    b"POST api/kernels/010145f4/interrupt",
    b"POST api/terminals?1795649336839",
    b"PUT lab/api/settings/@jupyterlab/notebook-extension:tracker",
    b"GET proxy/8787/",
    b"POST rpc/get_events",
]


def split(line: bytes) -> tuple[bytes, bytes]:
    """Method and target below the prefix."""
    method, _, path = line.partition(b" ")
    return method, PREFIX.encode() + path


@pytest.mark.parametrize("line", QUIET)
def test_what_a_quiet_tab_asks_is_no_use(line: bytes) -> None:
    """Polls, the stored layout and marked requests do not count."""
    assert not request_counts(*split(line), PREFIX)


@pytest.mark.parametrize("line", USE)
def test_what_a_person_does_is_use(line: bytes) -> None:
    """Pages, files opened and saved, kernels started and anything unknown count."""
    assert request_counts(*split(line), PREFIX)


@pytest.mark.parametrize("path", [CHANNELS, TERMINAL, b"api/events/subscribe", b"proxy/8501/stream"])
def test_opening_a_websocket_is_no_use(path: bytes) -> None:
    """A page connects again by itself; only what is sent counts."""
    assert not request_counts(b"GET", PREFIX.encode() + path, PREFIX, websocket=True)


def test_the_prefix_may_be_spelled_otherwise() -> None:
    """A prefix counts the same escaped or not, as routes are found unescaped."""
    assert not request_counts(b"GET", b"/user/ada@x.org/api/kernels", "/user/ada%40x.org/")
    assert not request_counts(b"GET", b"/user/ada%40x.org/api/kernels", "/user/ada@x.org/")


def kernel_message(kind: str, old_protocol: bool = False) -> bytes:
    """A message to a kernel as JupyterLab writes it: offsets, channel and header first, or one JSON text."""
    header = {"date": "2026-11-25T23:28:50.366Z", "msg_id": "49ae1180", "msg_type": kind, "session": "a" * 36}
    if old_protocol:
        return json.dumps({"buffers": [], "channel": "shell", "content": {}, "header": header}).encode()
    offsets = b"".join(number.to_bytes(8, "little") for number in (6, 56, 61, 200, 202, 204, 240))
    return offsets + b"shell" + json.dumps(header, separators=(",", ":")).encode() + b"{}{}{}"


def counts(path: bytes, payload: bytes, opcode: int = 2, readable: bool = True) -> bool:
    """Does such a frame count?"""
    return message_counts(PREFIX.encode() + path, PREFIX, Frame(opcode, payload[:512], readable))


@pytest.mark.parametrize("old_protocol", [False, True])
@pytest.mark.parametrize(
    ("kind", "is_use"),
    [
        ("execute_request", True),
        ("complete_request", True),
        ("inspect_request", True),
        ("input_reply", True),
        ("comm_msg", True),
        ("interrupt_request", True),
        ("kernel_info_request", False),
        ("comm_info_request", False),
        ("history_request", False),
        ("debug_request", False),
    ],
)
def test_messages_to_kernels(kind: str, is_use: bool, old_protocol: bool) -> None:
    """What runs, completes or answers counts; what a page asks when it connects again does not."""
    assert counts(CHANNELS, kernel_message(kind, old_protocol)) is is_use


def test_what_cannot_be_read_counts() -> None:
    """A compressed frame and one without a message type count, so that no work is cut short."""
    assert counts(CHANNELS, kernel_message("kernel_info_request"), readable=False)
    assert counts(CHANNELS, b"\0" * 512)


@pytest.mark.parametrize("opcode", [0, 8, 9, 10])
def test_frames_that_browsers_send_by_themselves(opcode: int) -> None:
    """Pings, pongs, closes and continuations do not count."""
    assert not counts(CHANNELS, kernel_message("execute_request"), opcode)


def test_terminals() -> None:
    """Keys count, a window's size does not."""
    assert counts(TERMINAL, b'["stdin","e"]', 1)
    assert not counts(TERMINAL, b'["set_size",49,119,753,870]', 1)


def test_collaboration_and_others() -> None:
    """ "I am still here" of a shared document does not count, its changes and unknown messages do."""
    assert not counts(b"api/collaboration/room/json:notebook:1", b"\x01\x0a")
    assert counts(b"api/collaboration/room/json:notebook:1", b"\x00\x02")
    assert counts(b"proxy/8501/stream", b"x")
