"""Is what build-images writes an image as `ctr images import` and `docker load` take it?"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from .shipped import KUBERNETES

ARCHIVE = KUBERNETES / "archive.py"
BUILD = KUBERNETES / "build-images"
NAME = "docker.io/local/jupyter-sandbox-link:1"


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
    assert all(name in done.stdout for name in ("programs", "tracking", "link", "user"))
