"""Do a user's own packages live in an overlay that is made safely, kept, and never touches the base?"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.singleuser.inside import overlay
from tests.lanes import VENVS
from tests.singleuser.sandbox import INSIDE

USER_PYTHON = VENVS / "user/bin/python"
SERVER_ENVIRONMENT = {"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1", "SHELL": "/bin/sh"}


def _command(python: Path | str, program: str, *arguments: str) -> list[str]:
    return [str(python), "-I", "-B", str(INSIDE), program, *arguments]


def _environment(home: Path, python: Path | str) -> dict[str, str]:
    return {"HOME": str(home), "PATH": f"{Path(python).parent}:/usr/bin:/bin", **SERVER_ENVIRONMENT}


def _in_terminal(home: Path, line: str, python: Path | str = sys.executable) -> str:
    """What a command line prints in a terminal of the sandbox."""
    done = subprocess.run(
        _command(python, "shell", "-c", line),
        env=_environment(home, python),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wheel(directory: Path, name: str, version: str) -> None:
    """A wheel with one module that knows its version and one console script."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = '{version}'\ndef main():\n    print('{name}', VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-run = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


def test_the_same_base_has_the_same_overlay(tmp_path: Path) -> None:
    """An overlay is made once; asking again gives the same directory, and another base another one."""
    base = overlay.this_base()
    first = overlay.ensure_overlay(str(tmp_path), base)
    assert overlay.ensure_overlay(str(tmp_path), base) == first
    other = base._replace(prefix="/opt/other")
    assert overlay.overlay_directory(str(tmp_path), other) != first
    assert Path(first).name.startswith(f"env-{base.version}-")


def test_many_kernels_may_start_at_once(tmp_path: Path) -> None:
    """Eight processes that make the overlay at the same time all work in the one that was first."""
    started = [
        subprocess.Popen(
            _command(sys.executable, "shell", "-c", "python -c 'import sys; print(sys.prefix)'"),
            env=_environment(tmp_path, sys.executable),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    prefixes = {process.communicate()[0].strip() for process in started}
    directory = overlay.overlay_directory(str(tmp_path), overlay.this_base())
    assert prefixes == {directory}
    assert os.listdir(tmp_path / ".sandbox") == [Path(directory).name]


def test_a_damaged_overlay_is_repaired(tmp_path: Path) -> None:
    """An overlay whose own files were changed or removed works again at the next start, packages kept."""
    directory = Path(overlay.ensure_overlay(str(tmp_path), overlay.this_base()))
    (packages,) = directory.glob("lib/*/site-packages")
    (packages / "mine.py").write_text("VALUE = 5\n")
    (directory / "pyvenv.cfg").unlink()
    (directory / "bin/python").unlink()
    (directory / "bin/python").symlink_to("/no/such/python")
    assert _in_terminal(tmp_path, "python -c 'import mine; print(mine.VALUE)'") == "5\n"


def test_an_overlay_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the overlay's place is an error that says what to remove."""
    directory = overlay.overlay_directory(str(tmp_path), overlay.this_base())
    (tmp_path / ".sandbox").mkdir()
    Path(directory).write_text("in the way")
    with pytest.raises(overlay.OverlayError) as refused:
        overlay.ensure_overlay(str(tmp_path), overlay.this_base())
    assert f"rm -rf {directory}" in str(refused.value)


@pytest.mark.lane("userenv")
def test_without_an_overlay_the_kernel_runs_in_the_base(tmp_path: Path) -> None:
    """A kernel whose overlay is broken starts in the base environment and says so on standard error."""
    (tmp_path / ".sandbox").write_text("in the way")
    done = subprocess.run(
        _command(USER_PYTHON, "kernel", "--version"),
        env=_environment(tmp_path, USER_PYTHON),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "runs without your own packages" in done.stderr


def test_what_protects_the_server_does_not_bind_the_user(tmp_path: Path, control: Any) -> None:
    """A module beside the user's program can be imported in a terminal, although not in the server."""
    (tmp_path / "mymodule.py").write_text("print('mine')\n")
    refused = subprocess.run(
        [sys.executable, "-c", "import mymodule"],
        env={**_environment(tmp_path, sys.executable)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    control("with the server's environment it cannot be imported", refused.returncode != 0)
    assert _in_terminal(tmp_path, "python -c 'import mymodule'") == "mine\n"


@pytest.mark.lane("userenv")
def test_pip_installs_into_the_overlay_and_it_lasts(tmp_path: Path) -> None:
    """An installed wheel and its console script are there for the next process, and the base is as before."""
    base = VENVS / "user/lib"
    before = _snapshot(base)
    _wheel(tmp_path, "sandboxdemo", "1.2")
    _in_terminal(tmp_path, f"pip install -q --no-index --find-links {tmp_path} sandboxdemo", USER_PYTHON)
    imported = "python -c 'import sandboxdemo; print(sandboxdemo.VERSION)'"
    assert _in_terminal(tmp_path, imported, USER_PYTHON) == "1.2\n"
    assert _in_terminal(tmp_path, "sandboxdemo-run", USER_PYTHON) == "sandboxdemo 1.2\n"
    assert _snapshot(base) == before


@pytest.mark.lane("userenv")
def test_a_newer_version_hides_the_base_without_touching_it(tmp_path: Path, control: Any) -> None:
    """A package upgraded by the user is the new one in the overlay and the old one in the base."""
    line = "import importlib.metadata as m; print(m.version('fqdn'))"
    old = subprocess.run([USER_PYTHON, "-c", line], capture_output=True, text=True, check=True).stdout
    control("before the upgrade a terminal sees the base's version", _version(tmp_path, line) == old)
    _wheel(tmp_path, "fqdn", "99.0")
    _in_terminal(tmp_path, f"pip install -q --no-index --find-links {tmp_path} -U fqdn", USER_PYTHON)
    assert _version(tmp_path, line) == "99.0\n"
    again = subprocess.run([USER_PYTHON, "-c", line], capture_output=True, text=True, check=True).stdout
    assert again == old


def _version(home: Path, line: str) -> str:
    return _in_terminal(home, f'python -c "{line}"', USER_PYTHON)


def _snapshot(directory: Path) -> set[tuple[str, int]]:
    """Every file below a directory with its time of change, byte code left out."""
    return {
        (str(path), path.lstat().st_mtime_ns)
        for path in directory.rglob("*")
        if "__pycache__" not in path.parts
    }


def test_start_up_files_of_the_image_are_linked(tmp_path: Path) -> None:
    """IPython in an overlay runs the image's start-up files of today; a user's own stay."""
    image = tmp_path / "image"
    files = image / "etc/ipython/startup"
    files.mkdir(parents=True)
    (files / "20-one.py").touch()
    base = overlay.this_base()._replace(prefix=str(image))
    own = Path(overlay.ensure_overlay(str(tmp_path), base)) / "etc/ipython/startup"
    assert (own / "20-one.py").samefile(files / "20-one.py")
    (own / "50-mine.py").touch()
    (files / "20-one.py").rename(files / "30-two.py")
    overlay.ensure_overlay(str(tmp_path), base)
    assert sorted(os.listdir(own)) == ["30-two.py", "50-mine.py"]


def test_a_terminal_ends_before_the_server_when_memory_runs_out(tmp_path: Path, control: Any) -> None:
    """What a terminal runs has an OOM score that pid 1 and the server have not."""
    own = int(Path("/proc/self/oom_score_adj").read_text())
    control("this process, which stands for the server, has less", own < 500)
    assert _in_terminal(tmp_path, "cat /proc/self/oom_score_adj") == "500\n"
