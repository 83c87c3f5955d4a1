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


SECTIONED = """\
profiles: [{display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}]
quotas:
  user:
    - {group: research, servers: 3, cpu: 8, memory: 32G, gpus: 1, gpu_hours: {at_most: 40, within: 7d}}
    - {servers: 2}
  group: [{group: research, gpus: 4}]
policy:
  gpus_at_most: 2
  open_tags: [public, internal]
  denied_groups: [guests]
  secrets: [team/warehouse, users/*]
  hosts: ["mirror.example:443"]
  extension_at_most: 8h
  promoters: [stewards]
  opa: {address: "http://127.0.0.1:8181", decision: a/b, timeout: 0.5}
datasets:
  - {id: cases, version: "1", uri: file:///srv/cases, owner: olga, tags: [phi], purpose: Study,
     expires: "2027-01-31", manifest: MANIFEST, allowed_groups: [research]}
prices: {currency: EUR, cpu_hour: 0.02, memory_gb_hour: 0, gpu_hour: {any: 1, mig-1g.10gb: 0.5}}
lifetime:
  timezone: Europe/Berlin
  warnings: [1h, 600]
  keep_alive: 0
  rules:
    - {name: nights, profiles: [a], groups: [research], gpu: false, closed: true,
       hours: [{days: [mon, sun], from: "20:00", to: "24:00"}]}
    - {name: rest, idle_timeout: 20m, gpu_idle_timeout: 10m, max_age: 12h}
""".replace("MANIFEST", "a" * 64)
WRONG_SECTIONS = [
    ("servers: 3", "serves: 3"),
    ("gpus: 4", "gpus: -1"),
    ("within: 7d", "for: 7d"),
    ("group: [{group: research, gpus: 4}]", "group: [{gpus: 4}]"),
    ("gpus_at_most: 2", "gpu_at_most: 2"),
    ("open_tags: [public, internal]", "open_tags: [phi]"),
    ("timeout: 0.5", "timeouts: 0.5"),
    ("tags: [phi]", "tag: [phi]"),
    ("uri: file:///srv/cases, ", ""),
    ("tags: [phi]", "tags: [private]"),
    ("cpu_hour: 0.02", "cpu_hours: 0.02"),
    ("currency: EUR, ", ""),
    ("any: 1", "any: dear"),
    ("timezone: Europe/Berlin", "zone: Europe/Berlin"),
    ("[1h, 600]", "[]"),
    ("[1h, 600]", "[1h, 5 parsecs]"),
    ("keep_alive: 0", "keep_alive: -1"),
    ("name: rest, ", ""),
    ("profiles: [a]", "profiles: []"),
    ("gpu: false", "gpu: no GPU"),
    ("days: [mon, sun]", "days: [monday]"),
    ("days: [mon, sun]", "days: [mon, mon]"),
    ('{days: [mon, sun], from: "20:00", to: "24:00"}', "{}"),
    ('"24:00"', '"25:00"'),
    ('from: "20:00"', 'from: "24:00"'),
    ('from: "20:00"', "from: 20:00"),
    ("max_age: 12h", "max_age: 0"),
]


def test_good_sections_are_valid() -> None:
    """Quotas, policy, datasets and prices with every key that they have are valid, for the reader too."""
    assert errors(yaml.safe_load(SECTIONED)) == []
    parse_rulebook(SECTIONED)


@pytest.mark.parametrize(("good", "bad"), WRONG_SECTIONS, ids=[bad or good for good, bad in WRONG_SECTIONS])
def test_a_wrong_key_of_a_section_is_invalid(good: str, bad: str) -> None:
    """Wrong spellings, types and absences in a section are invalid for both."""
    assert good in SECTIONED
    text = SECTIONED.replace(good, bad, 1)
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
