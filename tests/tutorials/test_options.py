"""Does the demo refuse what it cannot start with, in a sentence that says what to do?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    """The demo with these options, which end it."""
    return subprocess.run(
        [sys.executable, "-m", "hub_config.demo", *options],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory); run: scripts/vault-dev --directory"),
        ("nonsense", "is no site.json of scripts/vault-dev"),
        ('{"address": "http://127.0.0.1:1"}', "is no site.json of scripts/vault-dev"),
        ("[]", "is no site.json of scripts/vault-dev"),
    ],
)
def test_a_vault_that_is_none_is_said(tmp_path: Path, content: str | None, words: str) -> None:
    """A file that is missing or another one ends the demo with status 2, before anything runs."""
    file = tmp_path / "site.json"
    if content is not None:
        file.write_text(content)
    done = demo("--vault", str(file))
    assert (done.returncode, words in done.stderr) == (2, True), done


def test_a_vault_that_has_ended_is_said(tmp_path: Path) -> None:
    """Its files may be there still; nobody answers at its address."""
    (tmp_path / "environment").write_text("export VAULT_ADDR=x\nexport VAULT_TOKEN=y\n")
    (tmp_path / "role-id").write_text("r")
    text = f'{{"address": "http://127.0.0.1:1", "role_id_file": "{tmp_path}/role-id", '
    (tmp_path / "site.json").write_text(f'{text}"environment_file": "{tmp_path}/environment"}}')
    done = demo("--vault", str(tmp_path / "site.json"))
    assert (done.returncode, "does vault-dev run?" in done.stderr) == (2, True), done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--profiles", "/nowhere/p.yaml"], "--profiles: there is no file /nowhere/p.yaml"),
        (["--check", "--vault", "x"], "--check plays its story with the demo's own profiles"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], words: str) -> None:
    """The option is named, and the status is 2."""
    done = demo(*options)
    assert (done.returncode, words in done.stderr) == (2, True), done
