"""What does a policy say to these questions? The rules of a file, and an OPA where one is named."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..clients.opa import OpaClient
from ..errors import ProfileError
from ..rules.policy import Decision, Question, decide_document, narrowed
from ..rules.policy_file import opa_address
from ..rules.policy_plan import Plan, Row, parse_plan
from ..rules.policy_record import shortened
from ..rules.policy_settings import OpaSettings, PolicySettings
from ..rules.policy_words import explain as sentence_of
from ..rules.rulebook_file import parse_rulebook
from ..wire import encode
from .exits import ExitStatus

__all__ = ["ask_all", "explain", "settings_of", "test"]

_PATIENCE = 5.0  # seconds for each try: nobody waits for a server here
Answer = tuple[Decision, Decision | None]


def settings_of(file: str | None) -> PolicySettings:
    """The policy of a profiles.yaml; the default one without a file."""
    return parse_rulebook(_text(file), file).policy if file else PolicySettings()


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProfileError(f"{file}: cannot be read: {reason}.", code="profiles.unreadable") from error


def ask_all(questions: Sequence[str], settings: PolicySettings, opa: str | None) -> list[Answer]:
    """What the rules say to each question (JSON), and what OPA says where one is named."""
    own = [decide_document(question, settings) for question in questions]
    if opa is None:
        return [(decision, None) for decision in own]
    server = OpaSettings(address=opa_address(opa, "--opa"), timeout=_PATIENCE)

    async def ask() -> list[Decision]:
        async with OpaClient(server) as client:
            return [await client.decide_document(json.loads(question)) for question in questions]

    return list(zip(own, asyncio.run(ask()), strict=True))


def test(arguments: argparse.Namespace) -> int:
    """Print every question that is answered otherwise; status 11 where there is one."""
    wrong: list[dict[str, Any]] = []
    asked = 0
    for file in arguments.plan:
        plan = parse_plan(_text(file), file)
        asked += len(plan.rows)
        wrong += _wrong(file, plan, arguments)
    if arguments.json:
        print(json.dumps({"asked": asked, "wrong": wrong}, indent=1))
    else:
        for item in wrong:
            expected = " ".join(item["expected"]) or "allow"
            print(
                f"{item['file']}:{item['line']}: {item['engine']} says {' '.join(item['reasons']) or 'allow'}"
            )
            print(f"    instead of {expected}: {item['question'][:300]}")
            if item["cause"]:
                print(f"    {item['cause']}")
        print(f"{asked} questions, {len(wrong)} answered otherwise.")
    return ExitStatus.POLICY_DENIES if wrong else ExitStatus.OK


def _wrong(file: str, plan: Plan, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    settings = settings_of(arguments.file) if arguments.file else plan.settings or PolicySettings()
    answers = ask_all([row.question for row in plan.rows], settings, arguments.opa)
    found = []
    for row, answer in zip(plan.rows, answers, strict=True):
        found += [
            _item(file, row, decision) for decision in answer if decision and not _as_expected(row, decision)
        ]
    return found


def _as_expected(row: Row, decision: Decision) -> bool:
    return tuple(sorted(decision.reasons)) == (row.expect or ()) and decision.allow == (not row.expect)


def _item(file: str, row: Row, decision: Decision) -> dict[str, Any]:
    return {
        "file": file,
        "line": row.line,
        "question": row.question,
        "engine": decision.engine,
        "reasons": list(decision.reasons),
        "expected": list(row.expect or ()),
        "cause": decision.cause,
    }


def explain(arguments: argparse.Namespace) -> int:
    """Print what everybody who has a say says, and what holds; status 11 where it is a denial."""
    question = Question(
        point=arguments.point,
        user=arguments.user,
        groups=tuple(arguments.group),
        profile=arguments.profile,
        resource=arguments.resource,
        requested=arguments.requested,
        tags=tuple(arguments.tag),
        approved=arguments.approved,
    )
    settings = settings_of(arguments.file)
    ((own, other),) = ask_all([json.dumps(encode(question))], settings, arguments.opa)
    final = narrowed(own, other) if other else own
    said = [own, *([other] if other else [])]
    if arguments.json:
        parts = [asdict(replace(decision, question=None)) for decision in said]
        print(json.dumps({"question": shortened(question), "said": parts, "allow": final.allow}, indent=1))
    else:
        for decision in said:
            word = "allow" if decision.allow else f"deny  {' '.join(decision.reasons)}"
            print(f"{decision.engine:<6} {word} {decision.cause}".rstrip())
        why = "" if final.allow else f": {sentence_of(replace(final, question=question), settings)}"
        print(f"{'ALLOWED' if final.allow else 'DENIED'}{why}")
    return ExitStatus.OK if final.allow else ExitStatus.POLICY_DENIES
