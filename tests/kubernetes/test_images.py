"""Is what build-images writes an image as `ctr images import` and `docker load` take it?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import CHECKOUT, VENVS

from .shipped import KUBERNETES, found

ARCHIVE = KUBERNETES / "archive.py"
BUILD = KUBERNETES / "build-images"
NAME = "docker.io/local/jupyter-sandbox-link:1"
LOCK = CHECKOUT / "hub_config/proxy/package-lock.json"
# What is locked is in the room of scripts/prepare already: no registry is asked.
NPM = f"""#!/bin/sh
while [ "$1" != --prefix ]; do shift; done
cp -R {VENVS}/proxy/node_modules "$2"
"""


def layer(path: Path, name: str, text: str) -> Path:
    """A layer with one file."""
    (path.parent / name).write_text(text)
    with tarfile.open(path, "w") as made:
        made.add(path.parent / name, name)
    return path


def write(file: Path, *layers: Path) -> None:
    """As build-images does."""
    subprocess.run([sys.executable, "-I", ARCHIVE, file, NAME, *layers], check=True)


def read(archive: tarfile.TarFile, name: str) -> Any:
    """A document of an archive."""
    stream = archive.extractfile(name)
    assert stream is not None
    return json.loads(stream.read())


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    """Two layers."""
    return layer(tmp_path / "low.tar", "etc-os-release", "debian"), layer(tmp_path / "own.tar", "ours", "1")


def test_the_manifest_names_the_image_and_its_layers_in_order(
    tmp_path: Path, layers: tuple[Path, Path]
) -> None:
    """The lowest comes first, unchanged, and each digest is of the bytes that are there."""
    file = tmp_path / "image.tar"
    write(file, *layers)
    with tarfile.open(file) as archive:
        (manifest,) = read(archive, "manifest.json")
        config = read(archive, manifest["Config"])
        found = [archive.extractfile(name).read() for name in manifest["Layers"]]  # type: ignore[union-attr]
    assert manifest["RepoTags"] == [NAME]
    assert found == [path.read_bytes() for path in layers]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(raw).hexdigest()}" for raw in found]
    assert config["os"] == "linux"


def test_the_config_is_named_by_its_digest(tmp_path: Path, layers: tuple[Path, Path]) -> None:
    """Whoever imports it compares."""
    file = tmp_path / "image.tar"
    write(file, *layers)
    with tarfile.open(file) as archive:
        (manifest,) = read(archive, "manifest.json")
        stream = archive.extractfile(manifest["Config"])
        assert stream is not None
        assert manifest["Config"] == f"{hashlib.sha256(stream.read()).hexdigest()}.json"


def test_the_same_layers_give_the_same_file(tmp_path: Path, layers: tuple[Path, Path]) -> None:
    """Nothing of time or of who wrote it is in an archive."""
    write(tmp_path / "one.tar", *layers)
    layers[0].touch()
    write(tmp_path / "two.tar", *layers)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_nothing_half_written_has_the_name(tmp_path: Path, layers: tuple[Path, Path]) -> None:
    """An archive appears whole or not at all."""
    file = tmp_path / "image.tar"
    done = subprocess.run(
        [sys.executable, "-I", ARCHIVE, file, NAME, layers[0], tmp_path / "missing.tar"],
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert not file.exists()


def test_the_command_says_what_it_cannot_do() -> None:
    """An image that it does not know is named, with status 2 and nothing built."""
    done = subprocess.run([BUILD, "everything"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no image or option everything" in done.stderr


def test_the_help_names_every_image() -> None:
    """--help is the comment at its top."""
    done = subprocess.run([BUILD, "--help"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("programs", "tracking", "link", "user", "proxy"))


def build_proxy(directory: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run build-images with a cache of its own, and with these programs in place of the machine's."""
    bin_directory = directory / "bin"
    bin_directory.mkdir(exist_ok=True)
    for name, text in programs.items():
        (bin_directory / name).write_text(text)
        (bin_directory / name).chmod(0o755)
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(directory),
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
    }
    return subprocess.run(
        [BUILD, "proxy"], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def locked_proxy() -> str:
    """The version of configurable-http-proxy that everybody gets."""
    version = json.loads(LOCK.read_text())["packages"]["node_modules/configurable-http-proxy"]["version"]
    return str(version)


@pytest.mark.lane("root", "npm", "hub6")
def test_the_proxys_image_runs_with_what_is_in_it(tmp_path: Path) -> None:
    """It holds node, the locked proxy and no shell; both run where nothing else is, as they are."""
    done = build_proxy(tmp_path, npm=NPM)
    assert done.returncode == 0, done.stderr
    name, file = done.stdout.split()
    assert name.startswith("docker.io/local/jupyter-sandbox-proxy:")
    root = tmp_path / "root"
    with tarfile.open(file) as archive:
        (manifest,) = read(archive, "manifest.json")
        archive.extract(manifest["Layers"][0], tmp_path)
    with tarfile.open(tmp_path / manifest["Layers"][0]) as below:
        below.extractall(root)
    assert not (root / "bin/sh").exists()
    words = ["chroot", root, "configurable-http-proxy", "--version"]
    plain = {"PATH": "/usr/local/bin"}
    said = subprocess.run(
        words, executable=shutil.which("chroot"), env=plain, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == locked_proxy()
    again = build_proxy(tmp_path, npm="#!/bin/sh\nexit 1\n")
    assert again.stdout == done.stdout


@pytest.mark.lane("root", "npm")
@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({"npm": NPM, "node": "#!/bin/sh\necho 18\n"}, "needs node 20 or newer"),
        ({"npm": "#!/bin/sh\nexit 1\n"}, "npm says why above"),
    ],
)
def test_a_proxy_that_cannot_be_made_leaves_no_image(
    tmp_path: Path, programs: dict[str, str], said: str
) -> None:
    """An old node and a download that fails end with a sentence and nothing that has the name."""
    done = build_proxy(tmp_path, **programs)
    assert done.returncode in (3, 4)
    assert said in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*.tar"))


@pytest.mark.lane("kubectl")
def test_a_registrys_proxy_is_of_the_same_version() -> None:
    """The example takes the authors' image of the version that is locked; the base what is built here."""
    (example,) = found("example", "Deployment", "proxy")
    (container,) = example["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"quay.io/jupyterhub/configurable-http-proxy:{locked_proxy()}"
    shipped = (KUBERNETES / "hub/proxy.yaml").read_text()
    assert "image: docker.io/local/jupyter-sandbox-proxy:" in shipped
