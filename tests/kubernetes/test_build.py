"""Is Kubernetes built as Vault and OPA are: once, whole, and with a version that clients can read?

Go is played by a small program: the real build takes minutes.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.lanes import CHECKOUT

BUILD = CHECKOUT / "hub_config/kubernetes/cluster/build-kubernetes"
GO = """#!/bin/bash
case "$1 $2" in
"env GOVERSION") echo go1.26.8 && exit ;;
"env GO"*) echo {cache} && exit ;;
esac
echo "$PWD: $*" > {cache}/asked
while [ "$1" != -o ]; do shift; done
{scenario}
"""


def build(cache: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    """Run build-kubernetes with a cache of its own and a Go that does this; `$2` is the file to write."""
    go = cache / "go"
    go.write_text(GO.format(cache=cache, scenario=scenario))
    go.chmod(0o755)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": f"{cache}:{os.environ['PATH']}"}
    environment.pop("KUBERNETES_BINARY", None)
    return subprocess.run([BUILD], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_is_built_once_and_kept_by_its_version(tmp_path: Path) -> None:
    """The program of build/ lies in the cache under Kubernetes' version; a second run builds nothing."""
    done = build(tmp_path, 'echo built > "$2" && chmod +x "$2"')
    where = Path(done.stdout.strip())
    assert (done.returncode, where.read_text()) == (0, "built\n")
    assert where == tmp_path / "jupyter-sandbox/kubernetes/1.34.4/kubernetes"
    again = build(tmp_path, "exit 1")
    assert (again.returncode, again.stdout.strip()) == (0, str(where))


def test_the_version_is_built_in(tmp_path: Path) -> None:
    """Clients cannot read the one that Kubernetes has where nobody sets it."""
    build(tmp_path, 'touch "$2"')
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(f"{BUILD.parent / 'build'}: build -mod=readonly")
    assert "-X k8s.io/component-base/version.gitVersion=v1.34.4" in asked
    assert asked.endswith(" .\n")


def test_a_build_that_fails_leaves_no_program(tmp_path: Path) -> None:
    """Status 4, Go's own words, and nothing that looks like a Kubernetes."""
    done = build(tmp_path, 'echo half > "$2"; echo "cannot compile"; exit 1')
    assert done.returncode == 4
    assert "cannot compile" in done.stderr
    assert "scripts/prepare cluster" in done.stderr
    assert not list(tmp_path.glob("jupyter-sandbox/kubernetes/*/kubernetes*"))
