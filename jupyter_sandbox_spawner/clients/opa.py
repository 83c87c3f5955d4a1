"""What does an OPA server say to a question? Its word, or a denial that says why there is none.

Law: only a boolean `allow` of a defined result counts; silence, errors and all that merely resembles deny.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from ..errors import UnreachableError
from ..rules.breaker import Breaker
from ..rules.policy import Decision, Question
from ..rules.policy_settings import OpaSettings
from ..wire import encode
from .pooled import PooledClient

__all__ = ["OpaClient"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_LARGE = 1 << 19
_LARGEST = 1 << 16  # bytes of an answer; a decision has a few hundred
_REASON = re.compile(r"policy\.[a-z0-9_.]{1,100}")
_DECISION_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class _NoWordError(Exception):
    """It did not answer as it must: a reason, and for admins the cause. `again`: a second try may help."""

    def __init__(self, code: str, cause: str, *, again: bool = False) -> None:
        super().__init__(cause)
        self.code = code
        self.again = again


class OpaClient(PooledClient):
    """One OPA server. `failing` says since when it gives no word and why; None while it does."""

    def __init__(self, settings: OpaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.failing: tuple[float, str] | None = None
        self.digest = ""
        self._clock = clock
        self._breaker = Breaker()
        self._path = f"/v1/data/{settings.decision}?provenance=true"

    def _new_session(self) -> aiohttp.ClientSession:
        base, connector = self.settings.address, aiohttp.TCPConnector(limit=0)
        if base.startswith("unix://"):
            base, unix = "http://localhost", aiohttp.UnixConnector(base.removeprefix("unix://"), limit=0)
            return aiohttp.ClientSession(base, connector=unix)
        return aiohttp.ClientSession(base, connector=connector)

    async def decide(self, question: Question) -> Decision:
        """Allow or deny; never raises. Takes two tries' time at most, none while OPA is known to be away."""
        return await self.decide_document(encode(question))

    async def decide_document(self, question: Any) -> Decision:
        """The same for a question that nobody has checked, as `policy test` has them."""
        waiting = self._breaker.check(self._clock())
        if waiting is not None:
            return self._no_word("policy.opa.unavailable", waiting.message)
        body = json.dumps({"input": question}).encode()
        try:
            decision = await self._twice(body)
        except _NoWordError as error:
            return self._no_word(error.code, str(error))
        self._word(decision)
        return decision

    async def _twice(self, body: bytes) -> Decision:
        try:
            return _decision(await self._ask(body))
        except _NoWordError as error:
            if not error.again:
                raise
        return _decision(await self._ask(body))

    async def _ask(self, body: bytes) -> Any:
        """The document of one try."""
        limit = aiohttp.ClientTimeout(total=self.settings.timeout)
        headers = {"Content-Type": "application/json"}
        # aiohttp warns of long bytes, and hands a file to a thread, which takes as long as OPA itself.
        data = body if len(body) < _LARGE else io.BytesIO(body)
        try:
            async with self.session().post(
                self._path, data=data, headers=headers, timeout=limit, allow_redirects=False
            ) as answer:
                raw = await _read(answer)
                status = answer.status
        except asyncio.TimeoutError:
            raise self._outage(f"no answer within {self.settings.timeout} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._outage(type(error).__name__) from None
        self._breaker.answered()
        return _document(status, raw)

    def _outage(self, cause: str) -> _NoWordError:
        outage = UnreachableError(f"OPA does not answer ({cause}).", code="policy.opa.unavailable")
        self._breaker.failed(self._clock(), outage)
        return _NoWordError("policy.opa.unavailable", outage.message, again=True)

    def _no_word(self, code: str, cause: str) -> Decision:
        if self.failing is None:
            log.error("Policy: %s: %s Nothing that needs its word is allowed.", self.settings.address, cause)
        since = self.failing[0] if self.failing else time.time()
        self.failing = (since, cause)
        return Decision(allow=False, reasons=(code,), digest=self.digest, engine="opa", cause=cause)

    def _word(self, decision: Decision) -> None:
        if self.failing is not None:
            log.warning("Policy: %s decides again.", self.settings.address)
        self.failing = None
        self.digest = decision.digest


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    raw = b""
    async for piece in answer.content.iter_chunked(_LARGEST):
        raw += piece
        if len(raw) > _LARGEST:
            raise _NoWordError("policy.opa.invalid", f"OPA's answer is larger than {_LARGEST} bytes.")
    return raw


def _document(status: int, raw: bytes) -> Any:
    if status >= 500:
        raise _NoWordError("policy.opa.unavailable", f"OPA answered {status}: {_said(raw)}", again=True)
    if status != 200:
        raise _NoWordError("policy.opa.invalid", f"OPA answered {status}: {_said(raw)}")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):  # what is nested too deeply is no ValueError
        raise _NoWordError("policy.opa.invalid", f"OPA's answer is not JSON: {_said(raw)}") from None


def _said(raw: bytes) -> str:
    text = raw[:200].decode(errors="replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split()) or "nothing"


def _decision(document: Any) -> Decision:
    if not isinstance(document, dict) or "result" not in document:
        raise _NoWordError(
            "policy.opa.undefined", "OPA knows no such rule, or it is undefined for this question."
        )
    result = document["result"]
    allow = result.get("allow") if isinstance(result, dict) else None
    if not isinstance(allow, bool):
        raise _NoWordError("policy.opa.invalid", "OPA's result has no allow that is true or false.")
    given = result.get("reasons")
    texts = given if isinstance(given, list) else []
    reasons = tuple(item for item in texts if isinstance(item, str) and _REASON.fullmatch(item))[:20]
    number = document.get("decision_id")
    return Decision(
        allow=allow,
        reasons=() if allow else reasons or ("policy.opa.denied",),
        digest=_digest(document),
        engine="opa",
        decision_id=number if isinstance(number, str) and _DECISION_ID.fullmatch(number) else "",
    )


def _digest(document: dict[str, Any]) -> str:
    """Of what OPA says of its policy: bundles with their revisions, and what the result calls its digest."""
    found = document.get("provenance")
    bundles = found.get("bundles") if isinstance(found, dict) else None
    told = [bundles, document["result"].get("digest")]
    try:
        text = json.dumps(told, sort_keys=True)
    except RecursionError:
        raise _NoWordError("policy.opa.invalid", "OPA's answer is nested too deeply.") from None
    return hashlib.sha256(text.encode()).hexdigest()
