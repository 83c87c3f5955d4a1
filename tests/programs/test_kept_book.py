"""Does a changed profiles file count as a whole or not at all?"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.kept_book import BookState, KeptBook

ONE = "- {display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}\n"
TWO = ONE + "- {display_name: B, slug: b, sandbox: {cpu: 1, memory: 1G}}\n"
BAD = ONE + "- {display_name: B, slug: b, sandbox: {cpu: x, memory: 1G}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good file with one profile."""
    path = tmp_path / "profiles.yaml"
    path.write_text(ONE)
    return path


def slugs(state: BookState) -> list[str]:
    """The names of what is in force."""
    return [profile.slug for profile in state.book.profiles] if state.book else []


def wait_for(kept: KeptBook, condition: Callable[[BookState], bool]) -> BookState:
    """The first state that fits; an edit counts when it has settled, which nothing announces."""
    deadline = time.monotonic() + 10
    while not condition(kept.current()):
        assert time.monotonic() < deadline, kept.current()
        time.sleep(0.02)
    return kept.current()


def test_an_edit_takes_the_place_of_the_old_one(file: Path) -> None:
    """A good edit counts with a new digest and time; a list and a mapping are the same."""
    kept = KeptBook(str(file))
    first = kept.current()
    assert (slugs(first), first.problem) == (["a"], "")
    file.write_text("profiles:\n" + "".join(f"  {line}\n" for line in TWO.splitlines()))
    second = wait_for(kept, lambda state: state.digest != first.digest)
    assert slugs(second) == ["a", "b"]
    assert first.loaded_at is not None
    assert second.loaded_at is not None
    assert second.loaded_at > first.loaded_at


@pytest.mark.parametrize("edit", [BAD, "", "- [", "\x00", "a: b\n" * 3], ids=range(5))
def test_a_bad_edit_changes_nothing(file: Path, edit: str, control: Callable[[str, bool], None]) -> None:
    """After an edit with an error the last good reading stays, and the problem names the file."""
    kept = KeptBook(str(file))
    control("the file is good before", slugs(kept.current()) == ["a"])
    file.write_text(edit)
    state = wait_for(kept, lambda state: bool(state.problem))
    assert (slugs(state), str(file) in state.problem) == (["a"], True)
    file.write_text(TWO)
    mended = wait_for(kept, lambda state: not state.problem)
    assert slugs(mended) == ["a", "b"]


def test_a_file_that_goes_away_changes_nothing(file: Path) -> None:
    """Without the file the last reading stays; the same file again ends the problem, not the reading."""
    kept = KeptBook(str(file))
    before = kept.current()
    file.unlink()
    gone = wait_for(kept, lambda state: bool(state.problem))
    assert (slugs(gone), "cannot be read" in gone.problem) == (["a"], True)
    file.write_text(ONE)
    back = wait_for(kept, lambda state: not state.problem)
    assert (back.digest, back.loaded_at) == (before.digest, before.loaded_at)


def test_a_first_reading_with_an_error_gives_nothing(tmp_path: Path) -> None:
    """Where no reading was good there is no rule book, and a reason."""
    path = tmp_path / "profiles.yaml"
    assert KeptBook(str(path)).current().book is None
    path.write_text(BAD)
    state = KeptBook(str(path)).current()
    assert (state.book, f"{path}:2:" in state.problem) == (None, True)


def test_an_error_is_logged_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line about a bad edit, with file and line, however often it is looked at."""
    kept = KeptBook(str(file))
    kept.current()
    file.write_text(BAD)
    wait_for(kept, lambda state: bool(state.problem))
    for _ in range(5):
        kept.current()
    assert [f"{file}:2:" in record.getMessage() for record in caplog.records] == [True]


def test_a_second_bad_edit_is_another_text(file: Path) -> None:
    """The same problem in another text: the digest of what is refused is that of the text as it is now."""
    kept = KeptBook(str(file))
    kept.current()
    file.write_text(BAD)
    first = wait_for(kept, lambda state: bool(state.problem))
    file.write_text(BAD + "# again\n")
    second = wait_for(kept, lambda state: state.refused != first.refused)
    assert second.problem == first.problem
    assert second.refused == hashlib.sha256(file.read_bytes()).hexdigest()


def test_half_a_file_never_counts(file: Path) -> None:
    """While a writer rewrites the file slowly, each reading is one of its whole states."""
    whole = ONE + "".join(TWO.splitlines(True)[1].replace("b,", f"b{n},") for n in range(50))
    kept = KeptBook(str(file))
    assert slugs(kept.current()) == ["a"]
    seen: set[int] = set()

    def write() -> None:
        for _ in range(5):
            with file.open("w") as stream:
                for line in whole.splitlines(True):
                    stream.write(line)
                    stream.flush()
                    os.fsync(stream.fileno())

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen.add(len(slugs(kept.current())))
    writer.join()
    seen.add(len(slugs(wait_for(kept, lambda state: len(slugs(state)) == 51))))
    assert seen <= {1, 51}
