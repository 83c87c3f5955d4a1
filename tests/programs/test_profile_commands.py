"""Do the commands about profiles say what a user would get, and why not?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.admin.installation import Installation
from jupyter_sandbox_spawner.admin.profiles import with_profiles_file
from jupyter_sandbox_spawner.rules.rulebook_file import as_json, parse_rulebook
from jupyter_sandbox_spawner.settings import Site

BOOK = """\
profiles:
  - display_name: Work
    slug: work
    default: true
    allowed_groups: [research]
    sandbox:
      {cpu: 1, memory: 1G, ttl: 2h, variables: {PLACE: "lake/{group}"}, secrets: ["users/{username}/s3"]}
    profile_options:
      size:
        display_name: Size
        choices:
          small: {display_name: Small}
          huge: {display_name: Huge, allowed_groups: [lab], sandbox: {memory: 64G}}
  - display_name: Old
    slug: old
    deprecated: {message: Take work., use: work}
    sandbox: {cpu: 1, memory: 1G}
"""


@pytest.fixture
def book(tmp_path: Path) -> str:
    """A file with sections."""
    (tmp_path / "profiles.yaml").write_text(BOOK)
    return str(tmp_path / "profiles.yaml")


def test_a_file_with_sections_is_checked(book: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`profiles check` takes a mapping as well as a list."""
    assert main(["profiles", "check", book]) == 0
    assert "is right. Profiles: work, old." in capsys.readouterr().out


def test_explain_says_what_and_why_not(
    book: str, capsys: pytest.CaptureFixture[str], control: Callable[[str, bool], None]
) -> None:
    """A member reads what each profile gives and which choices are closed; others read the group."""
    asked = ["profiles", "explain", "--file", book, "--user", "ada"]
    control("a member is answered", main([*asked, "--groups", "research"]) == 0)
    told = capsys.readouterr().out
    assert "work (Work): yes" in told
    assert "gives: 1 core, 1.0 GB, at most 2 h, network: none" in told
    assert "size = small (default): yes" in told
    assert "size = huge: no. It is for group lab" in told
    assert "secrets: users/ada/s3" in told
    assert "old (Old): no. It is not offered any more and leads to 'work': Take work." in told
    assert main(asked) == 0
    assert "work (Work): no. It is for group research" in capsys.readouterr().out


def test_explain_names_the_rule_about_time_that_holds_now(
    book: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of rules, the first that matches, with its limits; without the section nothing is said of time."""
    asked = ["profiles", "explain", "--file", book, "--user", "ada", "--groups", "research"]
    assert main(asked) == 0
    assert "time:" not in capsys.readouterr().out
    rules = "[{name: labs, groups: [lab], max_age: 1h}, {name: short, idle_timeout: 20m}]"
    with open(book, "a") as file:
        file.write(f"lifetime: {{rules: {rules}}}\n")
    assert main(asked) == 0
    assert "  time: by the rule short, idle limit 20 min\n" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profiles"][0]["time"].startswith("by the rule short")


def test_explain_gives_json(book: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` has the same for scripts, with names filled in."""
    main(["profiles", "explain", "--file", book, "--user", "ada", "--groups", "lab, research", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["groups"] == ["lab", "research"]
    work, old = document["profiles"]
    assert work["gives"]["variables"] == {"PLACE": "lake/research"}
    assert [choice["why"] for choice in work["choices"]] == ["", ""]
    assert (old["gives"], work["why"]) == (None, "")


def test_python_profiles_become_a_file_for_control(tmp_path: Path) -> None:
    """What was given in Python is written where hub and control read it, and says the same."""
    listed = [{"display_name": "Ä 😀", "slug": "a", "default": True, "sandbox": {"cpu": 1, "memory": "1G"}}]
    ports = dict.fromkeys(("public_port", "hub_port", "proxy_api_port", "front_port"), 0)
    site = Site(run_dir=str(tmp_path), state_dir=str(tmp_path), profiles="", **ports)
    installation = Installation(config_file="c.py", site=site, profiles=as_json(listed))
    written = with_profiles_file(installation).site.profiles
    assert written == f"{tmp_path}/profiles.json"
    assert parse_rulebook(Path(written).read_text()).profiles[0].display_name == "Ä 😀"
    assert Path(written).stat().st_mode & 0o777 == 0o600
    assert with_profiles_file(replace(installation, profiles="")).site.profiles == ""


def test_python_profiles_are_checked_with_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function that gives a dictionary is as good as a file to `run --check-config`."""
    config = tmp_path / "jupyterhub_config.py"
    profile = {"display_name": "A", "slug": "a", "default": True, "sandbox": {"cpu": 1, "memory": "1G"}}
    config.write_text(
        "from jupyter_sandbox_spawner.setup_hub import setup_hub\n"
        f"setup_hub(get_config(), profiles=lambda: {{'profiles': [{profile!r}]}},"
        f" run_dir='/run/x', state_dir={str(tmp_path)!r}, environments={{'default': {sys.prefix!r}}})\n"
    )
    assert main(["run", "-f", str(config), "--check-config"]) == 0
    assert "is right. Profiles: a." in capsys.readouterr().out
