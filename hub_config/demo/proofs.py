"""What proves each step of the story? Checks that give the words of the table, or raise DemoError."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable
from typing import Any

import aiohttp

from jupyter_sandbox_spawner.models import Capabilities
from jupyter_sandbox_spawner.rules.soft_limits import SOFT, soft_limits

from . import cells
from .kernel import Kernel, Output
from .pages import SpawnForm
from .running import DemoError
from .upstream import GREETING
from .visitor import Refusal

__all__ = [
    "allowed",
    "dead",
    "handshake",
    "hello",
    "imported",
    "limits",
    "listed",
    "printed",
    "profile",
    "reason",
    "refused",
    "require",
    "same_secret",
    "status_of",
]


def profile(form: SpawnForm, host: str) -> str:
    """The first allowed profile whose card names this host."""
    for offered in form.allowed():
        if host in offered.text:
            return offered.slug
    raise DemoError(f"no allowed profile opens {host}")


def require(condition: bool, otherwise: str) -> None:
    """Raise DemoError unless the proof is there."""
    if not condition:
        raise DemoError(otherwise)


async def status_of(call: Awaitable[Any]) -> int:
    """The status a call was answered with."""
    try:
        await call
    except Refusal as refusal:
        return refusal.status
    return 200


async def handshake(kernel: Kernel) -> int:
    """The status a WebSocket was answered with."""
    try:
        socket = await kernel.connect()
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    await socket.close()
    return 101


def printed(output: Output) -> Any:
    """The JSON document that a cell printed last."""
    require(output.ok, str(output))
    return json.loads(output.stdout.strip().splitlines()[-1])


def reason(status: int, reason: str, slug: str) -> str:
    """A refusal must give its reason."""
    require(400 <= status < 500, f"{slug} was answered with {status}: {reason}")
    require(len(reason) > 20, f"{slug} was refused without a reason: {reason!r}")
    return f"{status}: {reason}"


def hello(seen: Any) -> str:
    """Who the notebook says it is."""
    return f"Python {seen['python']} as {seen['user']} in {seen['home']}"


def listed(seen: Any) -> str:
    """What the list of secrets shows; it must name the one that the profile grants."""
    require("warehouse/reader" in seen["names"], f"the secret is not listed: {seen}")
    return f"{seen['shown']}".replace("\n", "; ")


def same_secret(seen: Any, value: str) -> str:
    """The cell had the very value: it prints a digest of it."""
    require(seen["digest"] == hashlib.sha256(value.encode()).hexdigest(), f"another value: {seen}")
    return f"user {seen['user']}, SHA-256 of the password {seen['digest'][:12]}..., as stored"


def imported(seen: Any) -> str:
    """The package came from the home."""
    require(seen["says"].startswith("installed") and seen["file"].startswith("/home/"), str(seen))
    return f"{seen['says']} from {seen['file']}"


def limits(found: Capabilities, status: str, page: str) -> str:
    """`%sandbox status` and the hub's page call exactly those limits soft that the launcher found soft."""
    soft = soft_limits(found.limits)
    for name, row in (("cpu", "CPU"), ("memory", "Memory"), ("pids", "Processes")):
        line = next((line for line in status.splitlines() if row in line), "")
        require((f"({SOFT})" in line) == (name in soft), f"{name} is {found.limits}, and is shown as: {line}")
    named = f"Soft limits: {', '.join(soft)}"
    require((named in page) if soft else ("Soft limits" not in page), f"the home page says {page!r}")
    words = (f"{name} {'soft' if name in soft else 'hard'}" for name in sorted(found.limits))
    return f"{found.level}: {', '.join(words)}; the same in %sandbox status and on the hub's page"


def allowed(seen: Any) -> str:
    """The allowed host's own words."""
    require(seen == {"status": 200, "text": GREETING}, str(seen))
    return f"200: {seen['text']}"


def refused(seen: Any) -> str:
    """The refusal's sentence, by both schemes."""
    sentence = f"Blocked by sandbox: {cells.REFUSED_HOST}"
    require(str(seen["http"]).startswith(f"403 {sentence}"), str(seen))
    require(sentence in str(seen["https"]) and bool(seen["code"]), str(seen))
    return f"{seen['http']} [{seen['code']}]"


def dead(seen: Any) -> str:
    """Nothing but the own loopback is alive."""
    alive = sorted(name for name, state in seen.items() if state == "alive")
    require(alive == ["loopback tcp", "loopback udp"], str(seen))
    return f"tcp {seen['tcp']}; udp {seen['udp']}; dns {seen['dns by name']}; own loopback alive"
