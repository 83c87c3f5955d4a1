"""Is a file with an error in any section refused as a whole, and does what was read before stay in force?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.kept_book import BookState, KeptBook
from jupyter_sandbox_spawner.rules.rulebook import Rulebook
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

Control = Callable[[str, bool], None]
GOOD = {
    "profiles": "- {slug: cpu, display_name: CPU, default: true, sandbox: {cpu: 1, memory: 1G}}\n",
    "quotas": "  user:\n  - {servers: 3}\n",
    "policy": "  {gpus_at_most: 2}\n",
    "datasets": '- {id: cases, version: "1", uri: "file:///srv/cases", owner: ann, tags: [public]}\n',
    "prices": "  {currency: EUR, cpu_hour: 0.02}\n",
    "lifetime": "  {timezone: Europe/Berlin, warnings: [10m]}\n",
}
# Section: what is wrong in it, the field, the value as it is shown, and a word of the way out.
BAD = {
    "profiles": (
        "- {slug: cpu, display_name: CPU, default: true, sandbox: {cpu: 1, memory: much}}\n",
        ("sandbox.memory", "'much'", "Write"),
    ),
    "quotas": ("  user:\n  - {servers: -3}\n", ("servers", "-3", "Write")),
    "policy": ("  {gpus_at_most: plenty}\n", ("gpus_at_most", "'plenty'", "Write")),
    "datasets": (
        '- {id: cases, version: "1", uri: "https://x", owner: ann, tags: [public]}\n',
        ("uri", "'https://x'", "Write"),
    ),
    "prices": ("  {currency: EUR, cpu_hour: .nan}\n", ("cpu_hour", "nan", "Write")),
    "lifetime": ("  {warnings: [5 parsecs]}\n", ("warnings", "'5 parsecs'", "Write")),
}


def text(**sections: str) -> str:
    """A file with these sections, the others good."""
    return "".join(f"{name}:\n{body}" for name, body in {**GOOD, **sections}.items())


def line_of(whole: str, section: str) -> int:
    """The first line below the section's name."""
    return whole.splitlines().index(f"{section}:") + 2


def test_the_good_file_is_read_in_every_section() -> None:
    """The twin of every refusal below."""
    book = parse_rulebook(text(), "f.yaml")
    assert [profile.slug for profile in book.profiles] == ["cpu"]
    assert book.quotas.users[0].caps.servers == 3
    assert book.policy.gpus_at_most == 2
    assert [dataset.id for dataset in book.datasets] == ["cases"]
    assert book.prices.cpu_hour == 0.02
    assert book.lifetime.warnings == (600,)


@pytest.mark.parametrize("section", BAD)
def test_an_error_in_one_section_refuses_the_whole_file(section: str) -> None:
    """File, line, field, value and remedy; nothing of the good sections comes into force."""
    wrong, said = BAD[section]
    whole = text(**{section: wrong})
    with pytest.raises(ProfileError) as caught:
        parse_rulebook(whole, "f.yaml")
    message = caught.value.message
    first = line_of(whole, section)
    assert message.startswith(tuple(f"f.yaml:{line}: " for line in (first, first + 1)))
    assert [word for word in said if word not in message] == []
    assert "\n" not in message


def test_errors_of_all_sections_are_told_at_once_in_the_order_of_lines() -> None:
    """One reading shows the admin everything there is to mend."""
    whole = text(**{name: wrong for name, (wrong, _) in BAD.items()})
    with pytest.raises(ProfileError) as caught:
        parse_rulebook(whole, "f.yaml")
    lines = caught.value.message.splitlines()
    numbers = [int(line.split(":")[1]) for line in lines]
    assert len(lines) == len(BAD)
    assert numbers == sorted(numbers)
    for line, (_, said) in zip(lines, BAD.values(), strict=True):
        assert [word for word in said if word not in line] == []


@pytest.mark.parametrize("section", [name for name in GOOD if name != "profiles"])
def test_an_unknown_section_is_named_with_its_nearest(section: str) -> None:
    """A misspelt section is no section that is silently left out."""
    misspelt = text().replace(f"{section}:\n", f"{section}s:\n")
    with pytest.raises(ProfileError, match=f"Did you mean '{section}'"):
        parse_rulebook(misspelt, "f.yaml")


@pytest.mark.parametrize("section", BAD)
def test_what_was_read_before_stays_in_force(section: str, tmp_path: Path, control: Control) -> None:
    """An edit with an error changes nothing and says so; its correction comes into force."""
    file = tmp_path / "profiles.yaml"
    kept = KeptBook(str(file))
    file.write_text(text())
    before = kept.current()
    control("the good file is in force", before.problem == "" and before.book is not None)
    file.write_text(text(**{section: BAD[section][0]}))
    refused = wait_for(kept, lambda state: bool(state.problem))
    assert (refused.book, refused.digest) == (before.book, before.digest)
    assert f"{file}:" in refused.problem
    assert BAD[section][1][0] in refused.problem
    file.write_text(text() + "# mended\n")
    after = wait_for(kept, lambda state: state.digest != before.digest)
    assert after.problem == ""
    assert same(after.book, before.book)


def wait_for(kept: KeptBook, condition: Callable[[BookState], bool]) -> BookState:
    """The first state that fits; an edit counts when it has settled, which nothing announces."""
    deadline = time.monotonic() + 10
    while not condition(kept.current()):
        assert time.monotonic() < deadline, kept.current()
        time.sleep(0.02)
    return kept.current()


def same(one: Rulebook | None, other: Rulebook | None) -> bool:
    """Do both say the same?"""
    return one is not None and other is not None and one.profiles == other.profiles
