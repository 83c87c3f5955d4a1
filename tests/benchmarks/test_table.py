"""Do table, document and picture show what was measured, and say it where a goal is missed?"""

from __future__ import annotations

import json
from xml.etree import ElementTree

from benchmarks.figures import Goal, Line, Measure, line_of
from benchmarks.plot import as_svg
from benchmarks.table import as_json, as_markdown

FACTS = {"date": "2026-11-01", "processors": "2"}
FAST = line_of(
    "egress1",
    Measure("egress", "MB/s", Goal("at least", 1.2)),
    {"ours": [900.0, 600.0, 750.0], "Squid": [600.0, 600.0, 600.0], "no proxy": [1000.0, 1000.0, 1000.0]},
)
SLOW = line_of(
    "front",
    Measure("one GET", "ms", Goal("at most", 0.5), compare="difference"),
    {"ours": [1.25], "bare TCP": [0.25]},
)
REPORTED = line_of("x", Measure("a <thing>", "s"), {"ours": [1.0], "peer": [2.0]})
LINES: list[Line] = [FAST, SLOW, REPORTED]


def test_a_row_of_the_table_has_everything() -> None:
    """Medians with units, the comparison with its quartiles, the goal, the verdict, the rounds."""
    row = as_markdown([FAST], FACTS).splitlines()[-1]
    assert row == (
        "| egress | ours 750 MB/s | Squid 600 MB/s | no proxy 1000 MB/s"
        " | **1.25x** (1.12 to 1.38) | at least 1.2x | yes | 3 |"
    )


def test_a_missed_goal_stands_out() -> None:
    """A difference has its sign and unit, and what misses its goal says no in bold."""
    row = as_markdown([SLOW], FACTS).splitlines()[-1]
    assert row == (
        "| one GET | ours 1.25 ms | bare TCP 0.25 ms |  | **+1 ms** (1 to 1) | at most +0.5 ms | **no** | 1 |"
    )


def test_ours_alone_has_its_unit() -> None:
    """A goal in absolute time is shown with its unit, and without a sign."""
    measure = Measure("a read", "ms", Goal("at most", 50), compare="ours")
    row = as_markdown([line_of("secret", measure, {"ours": [20.0], "hvac": [2.0]})], FACTS).splitlines()[-1]
    assert row == "| a read | ours 20 ms | hvac 2 ms |  | **20 ms** (20 to 20) | at most 50 ms | yes | 1 |"


def test_the_table_is_markdown() -> None:
    """The facts come first; every line of the table has as many cells as its head."""
    told, _, *table = as_markdown(LINES, FACTS).splitlines()
    assert told == "date: 2026-11-01 · processors: 2"
    assert {line.count("|") for line in table} == {9}


def test_the_document_has_every_round() -> None:
    """The JSON has facts, medians, each round's comparison, goal and verdict."""
    document = json.loads(json.dumps(as_json(LINES, FACTS)))
    first = document["lines"][0]
    assert document["facts"] == FACTS
    assert first["comparisons"] == [1.5, 1.0, 1.25]
    assert first["comparison"] == {"low": 1.125, "middle": 1.25, "high": 1.375}
    assert first["goal"] == {"relation": "at least", "value": 1.2}
    assert [line["met"] for line in document["lines"]] == [True, False, None]


def test_the_picture_is_svg_with_a_dot_for_every_round() -> None:
    """It is well-formed, with one dot a round and names escaped."""
    picture = ElementTree.fromstring(as_svg(LINES, FACTS))
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in picture.iter(f"{space}text")]
    assert len(list(picture.iter(f"{space}circle"))) == 5
    assert "a <thing>" in texts


def test_a_run_without_lines_is_still_a_table() -> None:
    """When every row broke there is a head and no error."""
    assert as_markdown([], FACTS).count("\n") == 3
    assert as_svg([], FACTS).endswith("</svg>\n")
