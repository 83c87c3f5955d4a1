"""Does every way to install bring the JupyterLab extension, once each, and does nothing stay behind?"""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.builds import (
    NOWHERE,
    SHARE,
    build,
    copy_source,
    environ,
    files,
    git,
    keep_modules,
    pip,
    room,
)

pytestmark = [pytest.mark.lane("labext"), pytest.mark.timeout(600)]

OUTPUT = "jupyter_sandbox_spawner/labextension"
ETC = {
    "etc/ipython/startup/20-jupyter-sandbox.py",
    "etc/jupyter/jupyter_server_config.d/jupyter_sandbox_spawner.json",
}


@dataclass(frozen=True)
class Built:
    """A clone in which everything was built once, where and by whom."""

    source: Path
    wheel: Path
    sdist: Path

    @property
    def compiled(self) -> set[str]:
        """The built files that are installed, from below the output's folder."""
        output = self.source / OUTPUT
        found = (path for path in output.rglob("*") if path.is_file() and path.name != ".inputs")
        return {path.relative_to(output).as_posix() for path in found}

    @property
    def data(self) -> set[str]:
        """All that belongs below sys.prefix."""
        return ETC | {f"{SHARE}/install.json"} | {f"{SHARE}/{name}" for name in self.compiled}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """A clone with Node: its wheel, built first, and its source distribution."""
    top = tmp_path_factory.mktemp("built")
    source = copy_source(top / "source")
    keep_modules(source)
    wheel = build(source, "wheel", top / "dist", environ("require"))
    sdist = build(source, "sdist", top / "dist", environ("require"))
    yield Built(source, wheel, sdist)
    subprocess.run(["rm", "-rf", source / "labextension/node_modules"], check=True)


def names(wheel: Path) -> list[str]:
    """The files of a wheel; those for sys.prefix as they are below it."""
    listed = zipfile.ZipFile(wheel).namelist()
    return [name.partition(".data/data/")[2] or name for name in listed]


def test_a_wheel_has_the_extension_once(built: Built) -> None:
    """All that belongs below sys.prefix is in the wheel, and the compiled files nowhere else in it."""
    listed = names(built.wheel)
    assert built.data <= set(listed)
    assert len(listed) == len(set(listed))
    assert [name for name in listed if name.startswith(OUTPUT) or name.endswith(".orig")] == []
    (entry,) = [name for name in built.compiled if "remoteEntry" in name]
    assert len([name for name in listed if name.endswith(Path(entry).name)]) == 1


def test_the_built_files_fit_together(built: Built) -> None:
    """The entry that JupyterLab is told to load is there; JupyterLab is told that pip removes it."""
    about = json.loads((built.source / OUTPUT / "package.json").read_text())
    assert about["jupyterlab"]["_build"]["load"] in built.compiled
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(f"{SHARE}/install.json")]
        told = json.loads(wheel.read(name))
    assert (told["packageManager"], told["packageName"]) == ("python", "jupyter_sandbox_spawner")


def test_a_source_distribution_carries_sources_and_built_files(built: Built) -> None:
    """Who has it can build again, and need not; nothing of node_modules is in it."""
    with tarfile.open(built.sdist) as archive:
        listed = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    needed = git(built.source, "ls-files", "labextension/src", "labextension/style", "labextension/schema")
    assert set(needed.split()) <= listed
    assert {"labextension/build.py", "labextension/package-lock.json", "labextension/.npmrc"} <= listed
    assert {f"{OUTPUT}/{name}" for name in built.compiled} <= listed
    assert [name for name in listed if "node_modules" in name or name.endswith(".inputs")] == []


def test_a_wheel_from_the_source_distribution_needs_no_node(built: Built, tmp_path: Path) -> None:
    """Without node and npm it comes to the same files."""
    subprocess.run(["tar", "-xzf", built.sdist, "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, "wheel", tmp_path / "dist", environ("require", path=NOWHERE))
    assert set(names(again)) == set(names(built.wheel))


def test_pip_installs_it_and_removes_every_file(built: Built, tmp_path: Path) -> None:
    """`pip install .`: JupyterLab and its server find it; `pip uninstall` leaves nothing."""
    place = room(tmp_path / "room", packages_of="browser")
    before = files(place)
    installed = pip(
        place, "install", "--no-deps", "--no-build-isolation", built.source, env=environ("require")
    )
    assert installed.returncode == 0, installed.stderr
    assert built.data <= files(place)
    assert "jupyter-sandbox-spawner" in listed_by(place, "jupyterlab.labextensions")
    assert "jupyter_sandbox_spawner.singleuser.lab enabled" in listed_by(
        place, "jupyter_server.extension.serverextension"
    )
    removed = pip(place, "uninstall", "--yes", "jupyter_sandbox_spawner")
    assert removed.returncode == 0, removed.stderr
    assert files(place) == before


def listed_by(place: Path, module: str) -> str:
    """What `jupyter labextension list` or `jupyter server extension list` of that environment says."""
    home = {"HOME": str(place), "NO_COLOR": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    command = [place / "bin/python", "-m", module, "list"]
    done = subprocess.run(command, env=environ() | home, capture_output=True, text=True, check=False)
    plain = (done.stdout + done.stderr).replace("\x1b[32m", "").replace("\x1b[0m", "")
    ours = [line.strip() for line in plain.splitlines() if "sandbox" in line]
    assert "disabled" not in " ".join(ours)
    return " ".join(ours)


def test_an_editable_installation_has_everything(built: Built, tmp_path: Path) -> None:
    """`pip install -e .` brings the files for sys.prefix too, and imports from the clone."""
    place = room(tmp_path / "room")
    done = pip(
        place,
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--editable",
        built.source,
        env=environ("require"),
    )
    assert done.returncode == 0, done.stderr
    assert built.data <= files(place)
    code = "import jupyter_sandbox_spawner as ours; print(ours.__file__)"
    printed = subprocess.run(
        [place / "bin/python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == f"{built.source}/jupyter_sandbox_spawner/__init__.py"


def test_git_sees_nothing_of_it(built: Built) -> None:
    """After wheel, source distribution and installations the clone is as it was."""
    assert git(built.source, "status", "--porcelain") == ""


def test_no_built_file_tells_where_it_was_built(built: Built) -> None:
    """Neither the folder of the clone nor that of the node_modules is in a file that is shipped."""
    for name in built.compiled:
        content = (built.source / OUTPUT / name).read_text()
        assert str(built.source.parent) not in content, name
