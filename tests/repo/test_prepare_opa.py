"""Is OPA built as Vault is, and is the shipped policy one that OPA itself is content with?

Go is played by a small program: the real build takes minutes.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lanes import BUILD_OPA, CHECKOUT

GO = """#!/bin/bash
case "$1 $2" in
"env GOVERSION") echo go1.26.8 && exit ;;
"env GO"*) echo {cache} && exit ;;
esac
echo "${{@: -1}}" > {cache}/asked
while [ "$1" != -o ]; do shift; done
{scenario}
"""


def build(cache: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    """Run build-opa with a cache of its own and a Go that does this; `$2` is the file to write."""
    go = cache / "go"
    go.write_text(GO.format(cache=cache, scenario=scenario))
    go.chmod(0o755)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": f"{cache}:{os.environ['PATH']}"}
    environment.pop("OPA_BINARY", None)
    return subprocess.run(
        [BUILD_OPA], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_opa_is_built_once_and_kept_by_its_version(tmp_path: Path) -> None:
    """The program lies in the cache under its version; a second run builds nothing."""
    done = build(tmp_path, 'echo built > "$2" && chmod +x "$2"')
    where = Path(done.stdout.strip())
    assert (done.returncode, where.read_text()) == (0, "built\n")
    assert where.parent.name == "1.22.2"
    assert (tmp_path / "asked").read_text() == "github.com/open-policy-agent/opa\n"
    again = build(tmp_path, "exit 1")
    assert (again.returncode, again.stdout.strip()) == (0, str(where))


def test_a_build_that_fails_leaves_no_program(tmp_path: Path) -> None:
    """Status 4, Go's own words, and nothing that looks like an OPA."""
    done = build(tmp_path, 'echo half > "$2"; echo "cannot compile"; exit 1')
    assert done.returncode == 4
    assert "cannot compile" in done.stderr
    assert "scripts/prepare opa" in done.stderr
    assert not list(tmp_path.glob("jupyter-sandbox/opa/*/opa*"))


def opa(*words: str) -> subprocess.CompletedProcess[str]:
    """The real OPA on the shipped policy."""
    where = subprocess.run([BUILD_OPA, "--where"], capture_output=True, text=True, check=True).stdout.strip()
    command = [where, *words, str(CHECKOUT / "hub_config/policy/rego")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.lane("opa")
@pytest.mark.parametrize("words", [("check", "--strict"), ("fmt", "--fail", "--list"), ("test",)])
def test_opa_is_content_with_the_shipped_policy(words: tuple[str, ...]) -> None:
    """The strict check, the formatter and the policy's own tests find nothing."""
    done = opa(*words)
    assert done.returncode == 0, done.stdout + done.stderr
