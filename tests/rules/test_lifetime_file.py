"""Is nonsense about time refused at load, each with line, field, value and a way out?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.rules.lifetimes import LifetimeRule, Lifetimes, Weekly
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

PROFILES = """\
profiles:
- {slug: cpu, display_name: CPU, default: true, sandbox: {cpu: 1, memory: 1G, ttl: 8h, idle_timeout: 1h}}
- {slug: gpu, display_name: GPU, allowed_groups: [research], sandbox: {cpu: 1, memory: 1G, gpu: 1}}
lifetime:
"""
LINE = PROFILES.count("\n") + 1
GOOD = """\
  timezone: Europe/Berlin
  warnings: [1h, 10m, 2m]
  keep_alive: 4h
  rules:
  - {name: staff, groups: [staff], closed: false}
  - {name: nights, hours: [{from: "20:00", to: "06:00"}], closed: true}
  - {name: weekends, hours: [{days: [sat, sun]}], idle_timeout: 10m}
  - {name: gpus, profiles: [gpu], gpu: true, gpu_idle_timeout: 30m, max_age: 12h}
  - {name: rest, profiles: [cpu], never_idle: true}
"""


def problems(section: str) -> list[str]:
    """What is said of this section, line by line; nothing where it is read."""
    try:
        parse_rulebook(PROFILES + section, "f.yaml")
    except ProfileError as error:
        return error.message.splitlines()
    return []


def test_a_good_section_becomes_rules() -> None:
    """The twin of every refusal below: all keys, as values."""
    week = tuple(range(7))
    assert parse_rulebook(PROFILES + GOOD).lifetime == Lifetimes(
        timezone="Europe/Berlin",
        warnings=(3600, 600, 120),
        keep_alive=14400,
        rules=(
            LifetimeRule(name="staff", groups=("staff",)),
            LifetimeRule(name="nights", hours=(Weekly(days=week, begins=1200, ends=360),), closed=True),
            LifetimeRule(
                name="weekends", hours=(Weekly(days=(5, 6), begins=0, ends=1440),), idle_timeout=600
            ),
            LifetimeRule(name="gpus", profiles=("gpu",), gpu=True, gpu_idle_timeout=1800, max_age=43200),
            LifetimeRule(name="rest", profiles=("cpu",), never_idle=True),
        ),
    )


def test_without_the_section_nothing_changes() -> None:
    """Old files mean what they meant: no rules, UTC, warnings at 30, 10 and 2 minutes."""
    book = parse_rulebook(PROFILES.replace("lifetime:\n", ""))
    assert book.lifetime == Lifetimes()
    assert book.lifetime.warnings == (1800, 600, 120)


# What is good, what is written instead, the field, the value or words, the way out, the good twin of it.
WRONG = (
    ("idle_timeout: 10m", "idle_timeout: -5", "rules[2].idle_timeout", "-5 is not a duration", 'Write "45m"'),
    ("idle_timeout: 10m", "idle_timeout: 0", "rules[2].idle_timeout", "0 is not", "Write"),
    ("idle_timeout: 10m", "idle_timeout: 5 parsecs", "rules[2].idle_timeout", "'5 parsecs' is not", "Write"),
    ("idle_timeout: 10m", "idle_timeout: 9999d", "rules[2].idle_timeout", "longer than a year", "366d"),
    ("idle_timeout: 10m", "idle_timeout: true", "rules[2].idle_timeout", "True is not", "Write"),
    ("gpu_idle_timeout: 30m", "gpu_idle_timeout: 13h", "gpu_idle_timeout", "13 h is above max_age (12 h)",
     "Write less"),
    ("never_idle: true", "idle_timeout: 9h", "rules[4].idle_timeout", "above the ttl of cpu (8 h)",
     "Write less"),
    ("never_idle: true", "never_idle: true, idle_timeout: 1h", "idle_timeout", "not go with", "Keep one"),
    ("never_idle: true", "never_idle: 1", "rules[4].never_idle", "1 is neither true", "Write true"),
    ("Europe/Berlin", "Europe/Berln", "timezone", "'Europe/Berln' is not", "Did you mean 'Europe/Berlin'?"),
    ("Europe/Berlin", "berlin", "timezone", "'berlin' is not", "Did you mean 'Europe/Berlin'?"),
    ("Europe/Berlin", "../../etc/passwd", "timezone", "is not a time zone", "Write an IANA name"),
    ("Europe/Berlin", "Europe", "timezone", "'Europe' is not a time zone", "Did you mean"),
    ("Europe/Berlin", "+2", "timezone", "2 is not the name", "Europe/Berlin"),
    ("[1h, 10m, 2m]", "[10m, 1h]", "warnings[1]", "1 h comes after 10 min", "longest first"),
    ("[1h, 10m, 2m]", "[1h, 60m]", "warnings[1]", "1 h is there already", "Keep one"),
    ("[1h, 10m, 2m]", "[2d]", "warnings[0]", "'2d' is not between", "Write how long"),
    ("[1h, 10m, 2m]", "[9s]", "warnings[0]", "'9s' is not between", "Write how long"),
    ("[1h, 10m, 2m]", "[]", "warnings", "is empty", "[30m, 10m, 2m]"),
    ("[1h, 10m, 2m]", "10m", "warnings", "is not a list", "[30m, 10m, 2m]"),
    ("[1h, 10m, 2m]", "[11h, 10h, 9h, 8h, 7h, 6h, 5h, 4h, 3h, 2h, 1h]", "warnings",
     "11 warnings", "10 at most"),
    ("keep_alive: 4h", "keep_alive: 8d", "keep_alive", "'8d' is longer than a week", "7d"),
    ("keep_alive: 4h", "keep_alive: -1", "keep_alive", "-1 is not a duration", "Write"),
    ("name: weekends, ", "", "rules[2].name", "is missing", "Write name"),
    ("name: weekends", "name: nights", "rules[2].name", "'nights' is used twice", "Rename one"),
    ("name: weekends", "name: Week ends", "rules[2].name", "'Week ends' is not a slug", "lower-case"),
    ("profiles: [cpu]", "profiles: [cpus]", "rules[4].profiles[0]", "no profile 'cpus'", "cpu, gpu"),
    ("profiles: [cpu]", "profiles: []", "rules[4].profiles", "is empty", "leave it out for all"),
    ("groups: [staff]", "groups: ['st*']", "rules[0].groups[0]", "patterns are not read", "exact name"),
    ("groups: [staff]", "groups: [staff, staff]", "rules[0].groups[1]", "is there already", "Keep one"),
    ("gpu: true", "gpu: any", "rules[3].gpu", "'any' is neither", "Write true"),
    ("[{days: [sat, sun]}]", "[]", "rules[2].hours", "is empty", "days, from, to"),
    ("{days: [sat, sun]}", "{}", "rules[2].hours[0]", "say nothing", "leave hours out"),
    ("[sat, sun]", "[sat, sonntag]", "days[1]", "'sonntag' is not a day", "mon, tue"),
    ("[sat, sun]", "[sat, sat]", "days[1]", "'sat' is there already", "Keep one"),
    ("[sat, sun]", "[]", "rules[2].hours[0].days", "is empty", "mon, tue"),
    ('from: "20:00"', "from: 20:00", "hours[0].from", "1200 is a number", "with quotes"),
    ('from: "20:00"', 'from: "24:00"', "hours[0].from", "'24:00' is not a time", "06:30"),
    ('to: "06:00"', 'to: "6:00"', "hours[0].to", "'6:00' is not a time", "06:30"),
    ('to: "06:00"', 'to: "24:01"', "hours[0].to", "'24:01' is not a time", "24:00"),
    ('to: "06:00"', 'to: "20:00"', "hours[0].to", "end when they begin", "two different times"),
    ('to: "06:00"', 'until: "06:00"', "hours[0].until", "does not exist", "Known keys"),
    ("closed: true", "max_age: 1h, closed: true", "rules[1].max_age", "while it is closed", "Remove it"),
    (', to: "06:00"}', ', to: "19:59"}, {from: "19:59", to: "20:00"}', "rules[1].closed",
     "no server of profile 'cpu' could ever start", "leave some open"),
    ('hours: [{from: "20:00", to: "06:00"}], closed: true', "closed: true", "rules[1].closed",
     "could ever start", "allowed_groups"),
    ("closed: false", "closed: true", "rules[0].closed", "of profile 'cpu' for group 'staff' could ever",
     "allowed_groups"),
    (", closed: false", "", "rules[0]", "says nothing", "closed: false keeps"),
    ("groups: [staff], closed: false", "never_idle: true", "rules[1]", "never used: 'staff' above",
     "Move it up"),
    ("timezone:", "timezones:", "timezones", "does not exist", "Did you mean 'timezone'"),
)  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=[f"{number}-{case[1]}" for number, case in enumerate(WRONG)])
def test_nonsense_is_refused_with_line_field_and_remedy(case: tuple[str, ...]) -> None:
    """What is wrong stands where it is wrong, with what to write; the good section beside it is read."""
    good, bad, field, said, remedy = case
    assert problems(GOOD) == []
    assert good in GOOD
    section = GOOD.replace(good, bad, 1)
    found = problems(section)
    fitting = [line for line in found if f"{field}: " in line]
    assert fitting, found
    assert said in fitting[0]
    assert remedy in fitting[0]
    changed = [
        number for number, line in enumerate(section.splitlines()) if line != GOOD.splitlines()[number]
    ]
    lines = {int(line.split(":")[1]) for line in fitting}
    # A rule that an edit above it made useless is named itself.
    assert lines & {LINE + number for number in (*changed, *(number + 1 for number in changed))}


def test_every_problem_is_told_at_once() -> None:
    """Nobody mends a file one error at a time."""
    bad = GOOD
    for good, wrong in (("4h", "9d"), ("Berlin", "Bern"), ("10m}", "0}"), ("gpu: true", "gpu: 1")):
        bad = bad.replace(good, wrong, 1)
    found = problems(bad)
    assert len(found) == 4
    assert [int(line.split(":")[1]) - LINE for line in found] == [0, 2, 6, 7]


@pytest.mark.parametrize(
    "rules",
    [
        '[{name: days, hours: [{from: "08:00", to: "18:00"}], closed: false}, {name: rest, closed: true}]',
        "[{name: some, profiles: [gpu], gpu: false, closed: true}]",
        "[{name: a, groups: [x], never_idle: true}, {name: b, never_idle: true}]",
        "[{name: a, hours: [{days: [mon]}], closed: true}, {name: b, hours: [{days: [mon, tue]}], max_age: 1h}]",
        "[{name: long, idle_timeout: 9h}]",
    ],
    ids=["closed-but", "for-none", "wider-below", "hours-partly-above", "above-a-ttl-nobody-named"],
)
def test_what_looks_odd_and_makes_sense_is_read(rules: str) -> None:
    """Closed except by day, a narrower rule first, a limit that some profile never reaches."""
    assert problems(f"  rules: {rules}\n") == []


def test_a_wrong_profile_is_no_reason_to_blame_its_rules() -> None:
    """Where a profile cannot be read, rules that name it are not called wrong."""
    wrong = (PROFILES + GOOD).replace("memory: 1G, gpu: 1", "memory: much, gpu: 1")
    with pytest.raises(ProfileError) as caught:
        parse_rulebook(wrong, "f.yaml")
    assert caught.value.message.startswith("f.yaml:3: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("idle", ["8h1m", "400d"])
def test_a_profile_that_is_idle_longer_than_it_lives_is_refused(idle: str) -> None:
    """An idle_timeout above the ttl would never end a server; one that is equal may stand."""
    assert problems(GOOD) == []
    parse_rulebook((PROFILES + GOOD).replace("idle_timeout: 1h", "idle_timeout: 8h"))
    with pytest.raises(ProfileError, match=r"f\.yaml:2: .*sandbox\.idle_timeout: .*(ttl|year).*Write"):
        parse_rulebook((PROFILES + GOOD).replace("idle_timeout: 1h", f"idle_timeout: {idle}"), "f.yaml")
