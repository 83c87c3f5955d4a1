"""Does `jupyter-sandbox-admin usage` show what the running control counted, for people and for programs?"""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.admin import usage
from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.settings import Environment, write_site

from .control_neighbours import asked, spec
from .test_control_program import Program, program

__all__ = ["program"]

PROFILES = """
profiles:
- slug: cpu-small
  display_name: CPU
  default: true
  sandbox: {cpu: 1, memory: 1G}
prices: {currency: EUR, cpu_hour: 3600}
"""


def answer(*names: str, by: str = "user", currency: str = "EUR") -> dict[str, Any]:
    """Control's answer about these."""

    def item(name: str, number: float) -> dict[str, Any]:
        hours = {"server_hours": number, "cpu_hours": 0.5, "memory_gb_hours": 2 * number, "gpu_hours": 0.0}
        return {"name": name, **hours, "gpu_hours_by_kind": {}, "cost": 1.25 if currency else None}

    return {
        "by": by,
        "since": "2026-11-01",
        "until": "2026-11-30",
        "currency": currency,
        "items": [item(name, number + 1) for number, name in enumerate(names)],
        "total": item("", len(names)),
    }


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command prints for an answer of control."""

    def asking(document: dict[str, Any], *words: str) -> str:
        monkeypatch.setattr(usage, "ask", lambda arguments, question: document)
        assert main(["usage", *words]) == 0
        return capsys.readouterr().out

    return asking


def test_the_table_is_aligned_and_has_a_total(ask: Callable[..., str]) -> None:
    """Names left, numbers right, a rule, the total; the days above."""
    assert ask(answer("al", "bartholomew")).splitlines() == [
        "2026-11-01 to 2026-11-30 (UTC)",
        "user         server-hours  CPU-hours  GB-hours  GPU-hours   EUR",
        "al                   1.00       0.50      2.00       0.00  1.25",
        "bartholomew          2.00       0.50      4.00       0.00  1.25",
        "-----------  ------------  ---------  --------  ---------  ----",
        "total                2.00       0.50      4.00       0.00  1.25",
    ]


def test_without_prices_there_is_no_cost(ask: Callable[..., str]) -> None:
    """No column of it, in neither form."""
    plain = answer("alice", currency="")
    assert ask(plain).splitlines()[1].endswith("GPU-hours")
    assert ask(plain, "--csv").splitlines()[0].endswith("gpu_hours")


def test_by_group_it_says_why_lines_add_up_to_more(ask: Callable[..., str]) -> None:
    """And those without a group have a line with a name."""
    lines = ask(answer("", "physics", by="group")).splitlines()
    assert lines[2].startswith("(no group)")
    assert lines[-1] == "A server counts in each group of its user; the total counts it once."


def test_nothing_is_a_sentence(ask: Callable[..., str]) -> None:
    """Not an empty table."""
    said = ask(answer(), "--user", "bob")
    assert said == "Nothing was used by bob from 2026-11-01 to 2026-11-30.\n"


def test_csv_names_its_units_and_no_name_is_a_formula(ask: Callable[..., str]) -> None:
    """A header with units, numbers as they are, and a name that a spreadsheet would compute is quoted."""
    rows = list(csv.DictReader(ask(answer("=cmd()", 'a,"b'), "--csv").splitlines()))
    assert [row["user"] for row in rows] == ["'=cmd()", 'a,"b']
    assert list(rows[0])[1:] == [
        "since",
        "until",
        "server_hours",
        "cpu_hours",
        "memory_gb_hours",
        "gpu_hours",
        "cost_EUR",
    ]
    assert float(rows[1]["memory_gb_hours"]) == 4.0


def test_a_month_is_its_first_day_to_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a February of 29 days."""
    asked_for: list[tuple[str, ...]] = []

    class ControlThatListens:
        """Notes what it is asked."""

        async def usage(self, *question: Any) -> dict[str, Any]:
            """A question."""
            asked_for.append(question)
            return answer("alice")

    def asking(arguments: Any, question: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(_given(question(ControlThatListens())))

    monkeypatch.setattr(usage, "ask", asking)
    assert main(["usage", "--month", "2028-02", "--by", "group"]) == 0
    assert asked_for == [("group", "2028-02-01", "2028-02-29", None, "")]


async def _given(question: Awaitable[Any]) -> Any:
    return await question


@pytest.mark.parametrize("words", [("--month", "2026-13"), ("--month", "2026-11", "--since", "2026-11-02")])
def test_a_wrong_month_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """With what to write instead, before anybody is asked."""
    assert main(["usage", *words]) == 2
    assert "Write --month 2026-11 alone." in capsys.readouterr().err


async def test_the_running_control_counts_also_over_kill_9(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten processor seconds before each of four kills are forty afterwards, and cost what the file says."""
    profiles = program.here.directory / "profiles.yaml"
    profiles.write_text(PROFILES)
    program.site = replace(
        program.site, profiles=str(profiles), environments={"user": Environment(prefix="/user")}
    )
    write_site(program.site_file, program.site)
    wanted = spec()
    await program.start()
    from jupyter_sandbox_spawner.rules.profiles import profile_digest
    from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

    digest = profile_digest(parse_rulebook(PROFILES).profiles[0])
    request = asked(replace(wanted, profile_digest=digest))
    admitted = await program.hub.admit(replace(request, terms=replace(request.terms, digest=digest)))
    assert admitted.admitted, admitted.message
    program.here.running(wanted)
    for count in range(1, 5):
        program.here.launcher.use(wanted.id, 10)
        await program.end()
        await program.start()
        await until(program, lambda item, count=count: round(item["cpu_hours"] * 3600) == 10 * count)
    document = await program.admin.usage("user")
    assert document["currency"] == "EUR"
    assert round(document["total"]["cost"]) == 40
    assert document["items"][0]["server_hours"] > 0
    words = ["usage", "--json", "--site", str(program.site_file)]
    assert await asyncio.to_thread(main, words) == 0
    assert round(json.loads(capsys.readouterr().out)["items"][0]["cpu_hours"] * 3600) == 40


async def until(program: Program, seen: Callable[[dict[str, Any]], bool]) -> None:
    """Wait for a pass: control makes one at its start."""
    for _ in range(200):
        found = await program.admin.usage("user")
        if any(seen(item) for item in found["items"]):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(found)
