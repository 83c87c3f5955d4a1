"""Does nothing but a clear word of OPA allow anything, and does the admin see why there was none?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hub_config.policy.own_opa import REGO, OwnOpa
from jupyter_sandbox_spawner.clients.opa import OpaClient
from jupyter_sandbox_spawner.control.policy import Policy
from jupyter_sandbox_spawner.rules.policy import Decision, Question, decide, narrowed
from jupyter_sandbox_spawner.rules.policy_settings import OpaSettings, PolicySettings
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from tests.support.waiting import until

from .conftest import data_of

SPAWN = Question(point="spawn", user="alice")
ALLOWS = {"result": {"allow": True}}
DENIES_ALL = """package jupyter_sandbox
decision := {"allow": false, "reasons": ["policy.site.closed"]}
"""
ALLOWS_ALL = """package jupyter_sandbox
decision := {"allow": true}
"""


def book(address: str, timeout: float = 0.25, **settings: int) -> Rulebook:
    """A rule book that names this OPA."""
    opa = OpaSettings(address=address, timeout=timeout)
    return Rulebook(profiles=(), policy=PolicySettings(opa=opa, **settings))


@asynccontextmanager
async def answering(status: int = 200, body: object = None, text: str | None = None) -> AsyncIterator[str]:
    """A tiny server in OPA's place that gives every question this answer. Yields its address."""

    async def answer(request: web.Request) -> web.Response:
        headers = {"Location": "/v1/data/elsewhere"} if 300 <= status < 400 else None
        if text is not None:
            return web.Response(status=status, text=text, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    async def elsewhere(request: web.Request) -> web.Response:
        return web.json_response(ALLOWS)

    app = web.Application()
    app.router.add_route("*", "/v1/data/elsewhere", elsewhere)
    app.router.add_route("*", "/v1/data/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def word(address: str) -> Decision:
    """What a client makes of that server's answer."""
    async with OpaClient(OpaSettings(address=address, timeout=2)) as client:
        return await client.decide(SPAWN)


async def test_a_true_allow_allows() -> None:
    """The positive control: the same tiny server, with the one answer that counts."""
    async with answering(body=ALLOWS) as address:
        assert (await word(address)).allow


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "policy.opa.undefined"),
        ({"decision_id": "1"}, "policy.opa.undefined"),
        ([], "policy.opa.undefined"),
        ({"result": None}, "policy.opa.invalid"),
        ({"result": True}, "policy.opa.invalid"),
        ({"result": {}}, "policy.opa.invalid"),
        ({"result": {"allow": 1}}, "policy.opa.invalid"),
        ({"result": {"allow": "true"}}, "policy.opa.invalid"),
        ({"result": {"allow": [True]}}, "policy.opa.invalid"),
        ({"result": {"allow": None}}, "policy.opa.invalid"),
        ({"result": {"allow": False}}, "policy.opa.denied"),
        ({"result": {"allow": False, "reasons": ["<b>no</b>", 7]}}, "policy.opa.denied"),
        ({"result": {"allow": False, "reasons": ["policy.site.closed"]}}, "policy.site.closed"),
    ],
)
async def test_what_resembles_an_allow_denies(body: object, reason: str) -> None:
    """Anything but a boolean true in a result is a denial, with a reason that says which kind."""
    async with answering(body=body) as address:
        decision = await word(address)
    assert (decision.allow, decision.reasons) == (False, (reason,))


@pytest.mark.parametrize("depth", [500, 900, 990, 5_000, 30_000])
async def test_a_deep_answer_is_a_denial(depth: int) -> None:
    """What is nested too deeply to be read, or to be read again, denies with a cause; nothing is raised."""
    deep = "[" * depth + "]" * depth
    async with answering(text=f'{{"result": {{"allow": true, "digest": {deep}}}}}') as address:
        decision = await word(address)
    if not decision.allow:
        assert decision.reasons == ("policy.opa.invalid",)
        assert decision.cause
    assert decision.allow is (depth < 900) or depth < 5_000


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (500, '{"result": {"allow": true}}', "policy.opa.unavailable"),
        (503, "", "policy.opa.unavailable"),
        (404, '{"result": {"allow": true}}', "policy.opa.invalid"),
        (401, "no", "policy.opa.invalid"),
        (307, '{"result": {"allow": true}}', "policy.opa.invalid"),
        (200, "allow", "policy.opa.invalid"),
        (200, "", "policy.opa.invalid"),
        (200, '{"result": {"allow": true}, "x": "' + "x" * 70_000 + '"}', "policy.opa.invalid"),
    ],
)
async def test_a_wrong_answer_denies(status: int, text: str, reason: str) -> None:
    """Errors, redirects, what is no JSON and what never ends deny, and the cause is told."""
    async with answering(status, text=text) as address:
        decision = await word(address)
    assert (decision.allow, decision.reasons) == (False, (reason,))
    assert decision.cause


async def test_nobody_there_denies() -> None:
    """A port where nothing listens denies."""
    async with answering() as address:
        pass
    assert (await word(address)).reasons == ("policy.opa.unavailable",)


def test_opa_can_only_narrow() -> None:
    """What the rules deny stays denied whatever OPA says, and what OPA denies is denied."""
    yes, no = Decision(allow=True, engine="opa"), Decision(allow=False, reasons=("policy.x",), engine="opa")
    denied = decide(Question(point="gpu", user="alice", requested=9), PolicySettings())
    allowed = decide(SPAWN, PolicySettings())
    assert narrowed(allowed, yes).allow
    assert not narrowed(denied, yes).allow
    assert not narrowed(allowed, no).allow
    assert narrowed(denied, no).reasons == ("policy.gpu.too_many", "policy.x")


@pytest.mark.lane("opa")
async def test_a_crash_denies_until_it_is_back(opa: OwnOpa) -> None:
    """kill -9 in the middle of work denies, with the cause in the status; back again, it decides again."""
    policy, rules = Policy(), book(opa.address, timeout=2)
    try:
        assert (await policy.ask(SPAWN, rules)).allow
        opa.kill()
        decision = await policy.ask(SPAWN, rules)
        assert (decision.allow, decision.reasons) == (False, ("policy.opa.unavailable",))
        shown = policy.status(rules)["opa"]
        assert shown["failing_since"]
        assert "does not answer" in shown["cause"]
        opa.start()
        assert (await policy.ask(SPAWN, rules)).allow
        assert policy.status(rules)["opa"]["failing_since"] is None
    finally:
        await policy.close()


@pytest.mark.lane("opa")
async def test_a_hang_denies_in_time(opa: OwnOpa) -> None:
    """A server that takes connections and answers nothing costs two short tries, and then nothing at all."""
    policy, rules = Policy(), book(opa.address)
    try:
        opa.pause()
        began = time.monotonic()
        many = await asyncio.gather(*(policy.ask(SPAWN, rules) for _ in range(50)))
        assert {decision.reasons for decision in many} == {("policy.opa.unavailable",)}
        assert time.monotonic() - began < 5
        began = time.monotonic()
        assert not (await policy.ask(SPAWN, rules)).allow
        # Far less than one try: nobody waits for a server that is known to be away.
        assert time.monotonic() - began < 0.2
    finally:
        opa.go_on()
        await policy.close()


@pytest.mark.lane("opa")
@pytest.mark.parametrize(
    ("rego", "reason"),
    [
        ("package jupyter_sandbox\n", "policy.opa.undefined"),
        ("package elsewhere\nallow := true\n", "policy.opa.undefined"),
        (
            'package jupyter_sandbox\ndecision := {"allow": true} if input.user == "root"\n',
            "policy.opa.undefined",
        ),
        ("package jupyter_sandbox\ndecision := true\n", "policy.opa.invalid"),
        ('package jupyter_sandbox\ndecision := {"allow": "yes"}\n', "policy.opa.invalid"),
        (
            'package jupyter_sandbox\ndecision := {"allow": true} if input.user\n'
            'decision := {"allow": false} if input.user\n',
            "policy.opa.unavailable",
        ),
        (DENIES_ALL, "policy.site.closed"),
    ],
    ids=["empty", "other package", "no default", "no object", "no boolean", "conflict", "denies"],
)
async def test_a_policy_without_a_clear_word_denies(opa: OwnOpa, rego: str, reason: str) -> None:
    """A bundle that is empty, undefined or contradicts itself denies; one that allows is the control."""
    opa.stop()
    opa.write(data_of(PolicySettings()), rego)
    opa.start()
    assert (await word(opa.address)).reasons == (reason,)
    opa.stop()
    opa.write(data_of(PolicySettings()), ALLOWS_ALL)
    opa.start()
    assert (await word(opa.address)).allow


@pytest.mark.lane("opa")
async def test_missing_settings_deny(opa: OwnOpa) -> None:
    """The shipped policy without its settings, or with a part of them, allows nothing."""
    opa.stop()
    opa.write(None)
    opa.start()
    assert (await word(opa.address)).reasons == ("policy.opa.undefined",)
    opa.stop()
    opa.write({name: value for name, value in data_of(PolicySettings()).items() if name != "denied_groups"})
    opa.start()
    assert (await word(opa.address)).reasons == ("policy.settings.invalid",)


@pytest.mark.lane("opa")
async def test_a_bundle_with_an_error_starts_nothing(opa: OwnOpa) -> None:
    """OPA does not start on a syntax error, and nothing is allowed meanwhile."""
    opa.stop()
    opa.write(data_of(PolicySettings()), "package jupyter_sandbox\ndecision := {")
    with pytest.raises(RuntimeError, match="OPA does not start"):
        opa.start()
    assert (await word(opa.address)).reasons == ("policy.opa.unavailable",)


@pytest.mark.lane("opa")
async def test_a_bad_bundle_keeps_the_old_policy(opa: OwnOpa) -> None:
    """What cannot be compiled is not taken up: decisions and digest stay; a good one is taken up."""
    before = await word(opa.address)
    assert before.allow
    opa.write(data_of(PolicySettings()), "package jupyter_sandbox\ndecision := {", revision="broken")
    # OPA says that it read the files and did not like them.
    await until(lambda: "rego_parse_error" in opa.log)
    after = await word(opa.address)
    assert (after.allow, after.digest) == (True, before.digest)
    opa.write(data_of(PolicySettings()), DENIES_ALL, revision="second")
    # It reads file by file and says so of each; what counts is another answer.
    closed = before
    for _ in range(200):
        if closed.digest != before.digest:
            break
        await asyncio.sleep(0.1)
        closed = await word(opa.address)
    assert closed.reasons == ("policy.site.closed",)
    assert closed.digest != before.digest


@pytest.mark.lane("opa")
async def test_a_decision_says_who_made_it(opa: OwnOpa) -> None:
    """Each decision has a digest of rules and OPA's policy together, and the number of OPA's own log."""
    policy, rules = Policy(), book(opa.address, timeout=2)
    try:
        first, second = await policy.ask(SPAWN, rules), await policy.ask(SPAWN, rules)
        changed = await policy.ask(SPAWN, book(opa.address, timeout=2, gpus_at_most=1))
    finally:
        await policy.close()
    assert first.engine == "rules+opa"
    assert first.digest == second.digest != changed.digest
    assert first.decision_id != second.decision_id
    assert first.decision_id in opa.log


def test_the_shipped_policy_is_the_one_that_is_tried() -> None:
    """The file that these tests load is the shipped one, with its default denial."""
    assert "default decision := " in REGO.read_text()
