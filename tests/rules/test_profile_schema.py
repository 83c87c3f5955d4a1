"""Does the JSON Schema for editors say of a file what the reader says?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.rules.option_file import CHOICE_KEYS, OPTION_KEYS
from jupyter_sandbox_spawner.rules.profile_file import PROFILE_KEYS
from jupyter_sandbox_spawner.rules.profile_schema import schema
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook
from jupyter_sandbox_spawner.rules.sandbox_keys import KEYS

from . import test_grants, test_profile_options, test_profiles

CHECK = Draft202012Validator(schema())
SECRETS = test_grants.PROFILE.format("[db/a, {name: git/b, kind: git, host: git.example.org}]")
GOOD = [test_profiles.GOOD, test_profile_options.GOOD, SECRETS]
# Words in which the reader and the schema can both see the error, one a key of the file.
WRONG = [
    ("display_name: Work", "display_name: 7"),
    ("slug: work", "slug: Work"),
    ("default: true", "default: 1"),
    ("[research, clinical]", "research"),
    ("servers: 20", "serves: 20"),
    ("cpu: 64", "cpu: 0"),
    ("memory: 256G", "memory: much"),
    ("gpus: 4", "gpus: -1"),
    ("cpu: 1\n", "cpus: 1\n"),
    ("    memory: 1G\n", ""),
    ('egress: ["mirror.example:443"]', "egress: mirror.example"),
    ("KIND: plain", "KIND: 1"),
    ("KIND: plain", "1KIND: plain"),
    ("size:\n", "Size:\n"),
    ("large: {display_name: Large", "large: {name: Large"),
    ("cpu: 8,", "uid: 0,"),
    ("count: 2", "count: two"),
    ("kind: mig-1g.10gb", "kind: MIG 1"),
    ('pattern: "[a-z{}]+", ', ""),
    ("longest: 20", "longest: 0"),
    ("message: Ask Eva.", "text: Ask Eva."),
    ("gpu: 1}", "gpu: true}"),
]


def errors(document: Any) -> list[str]:
    """What the schema has against a document."""
    return [error.message for error in CHECK.iter_errors(document)]


def test_the_schema_is_one() -> None:
    """It is valid against its own draft."""
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_what_the_reader_takes_is_valid(text: str) -> None:
    """Every good file of the tests is valid, as a list and as a section of a mapping."""
    listed = yaml.safe_load(text)
    assert errors(listed) == []
    assert errors({"profiles": listed}) == []


def test_the_shipped_files_are_valid(checkout: Path) -> None:
    """Every profiles file of the product and of its tests is valid."""
    found = [*checkout.glob("hub_config/**/profiles*.yaml"), *checkout.glob("tests/**/profiles*.yaml")]
    assert found
    for file in found:
        assert errors(yaml.safe_load(file.read_text())) == []


@pytest.mark.parametrize(("good", "bad"), WRONG, ids=[bad.strip() or "gone" for _, bad in WRONG])
def test_what_the_reader_refuses_is_invalid(good: str, bad: str) -> None:
    """Wrong types, spellings and keys are invalid for both."""
    assert good in test_profile_options.GOOD
    text = test_profile_options.GOOD.replace(good, bad, 1)
    with pytest.raises(ProfileError):
        parse_rulebook(text)
    assert errors(yaml.safe_load(text))


def _keys(part: Any) -> Iterator[str]:
    yield from part.get("properties", {})


def test_the_schema_knows_every_key() -> None:
    """Keys of the reader and of the schema are the same, in each mapping."""
    parts = schema()["$defs"]
    for name, known in (
        ("profile", PROFILE_KEYS),
        ("keys", KEYS),
        ("option", OPTION_KEYS),
        ("choice", CHOICE_KEYS),
    ):
        assert list(_keys(parts[name])) == list(known)


def test_the_page_has_this_schema(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reference/profiles.schema.json is what the command prints."""
    assert main(["profiles", "schema"]) == 0
    kept = (checkout / "docs/reference/profiles.schema.json").read_text()
    assert capsys.readouterr().out == kept, (
        "jupyter-sandbox-admin profiles schema > docs/reference/profiles.schema.json"
    )
    assert json.loads(kept) == schema()
