"""How long does a decision of policy take? The typed rules, with and without a real OPA, beside bare OPA."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from hub_config.policy.own_opa import OwnOpa, find_opa
from jupyter_sandbox_spawner.control.policy import Policy
from jupyter_sandbox_spawner.rules.policy import Question
from jupyter_sandbox_spawner.rules.policy_settings import (
    OpaSettings,
    PolicySettings,
    settings_digest,
    settings_document,
)
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from jupyter_sandbox_spawner.wire import encode

from .figures import Goal, Measure
from .house import scratch
from .row import BenchmarkError, Row, Take

__all__ = ["ROWS"]

_BOTH, _BARE, _ALONE, _PORT = "rules and OPA", "bare OPA", "rules alone", "rules and OPA, a port"
_COUNT = 200
_P50 = Measure("a decision, p50", "ms", Goal("at most", 2))
_P95 = Measure("a decision, p95", "ms", Goal("at most", 50), compare="ours")
_PATIENCE = 5.0
_QUESTIONS = (
    Question(point="spawn", user="alice", groups=("research", "staff"), profile="cpu-small"),
    Question(point="gpu", user="alice", groups=("research",), profile="gpu", resource="any", requested=2),
    Question(point="dataset", user="alice", groups=("research",), resource="maps@1", tags=("public",)),
    Question(
        point="egress", user="alice", groups=("research",), profile="gpu", resource="mirror.example:443"
    ),
)
Ask = Callable[[Question], Awaitable[bool]]


async def _timed(ask: Ask) -> Mapping[str, float]:
    found = []
    for number in range(_COUNT):
        begin = time.perf_counter()
        allowed = await ask(_QUESTIONS[number % len(_QUESTIONS)])
        found.append((time.perf_counter() - begin) * 1e3)
        if not allowed:
            raise BenchmarkError("a question that the policy allows was denied")
    late = statistics.quantiles(found, n=20, method="inclusive")[-1]
    return {_P50.name: statistics.median(found), _P95.name: late}


def _by(policy: Policy, address: str | None) -> Ask:
    opa = OpaSettings(address=address, timeout=_PATIENCE) if address else None
    book = Rulebook(profiles=(), policy=PolicySettings(opa=opa))

    async def ask(question: Question) -> bool:
        return (await policy.ask(question, book)).allow

    return ask


def _bare(session: aiohttp.ClientSession) -> Ask:
    """As OPA's documentation asks: a POST and the result."""

    async def ask(question: Question) -> bool:
        body = {"input": encode(question)}
        async with session.post("/v1/data/jupyter_sandbox/decision", json=body) as answer:
            document = json.loads(await answer.read())
        return bool(document["result"]["allow"])

    return ask


async def _server(stack: AsyncExitStack, unix: bool) -> OwnOpa:
    if not os.access(find_opa(), os.X_OK):
        raise BenchmarkError(f"there is no OPA at {find_opa()}; run: scripts/prepare opa")
    server = OwnOpa(await stack.enter_async_context(scratch()), unix=unix)
    settings = PolicySettings()
    server.write({**settings_document(settings), "digest": settings_digest(settings)})
    stack.callback(server.stop)
    server.start()
    return server


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with AsyncExitStack() as stack:
        unix, port = await _server(stack, True), await _server(stack, False)
        policy = Policy()
        stack.push_async_callback(policy.close)
        connector = aiohttp.UnixConnector(unix.address.removeprefix("unix://"))
        session = await stack.enter_async_context(
            aiohttp.ClientSession("http://localhost", connector=connector)
        )
        ways = {
            _BOTH: _by(policy, unix.address),
            _BARE: _bare(session),
            _ALONE: _by(policy, None),
            _PORT: _by(policy, port.address),
        }

        async def take(contestant: str) -> Mapping[str, float]:
            return await _timed(ways[contestant])

        yield take


ROWS = (
    Row(
        "policy",
        "a decision by the typed rules and a real OPA at a unix socket; OPA decides by the shipped policy",
        (_BOTH, _BARE, _ALONE, _PORT),
        (_P50, _P95),
        _opened,
    ),
)
