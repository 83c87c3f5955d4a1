"""When is a program given up, and what does its log keep?"""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.program_log import ProgramLog
from jupyter_sandbox_spawner.admin.starts import STARTS, Starts, ending


def lives(starts: Starts, *, ready: bool) -> None:
    """One life of a program."""
    starts.began()
    if ready:
        starts.became_ready()
    starts.ended()


def test_a_program_that_was_ready_is_always_started_again() -> None:
    """However often it is killed, a program that answered each time is not given up."""
    starts = Starts()
    for _ in range(20):
        lives(starts, ready=True)
    assert not starts.hopeless


def test_a_program_that_never_answers_is_given_up() -> None:
    """After three lives without an answer there is no further start."""
    starts = Starts()
    for _ in range(STARTS - 1):
        lives(starts, ready=False)
    assert not starts.hopeless
    lives(starts, ready=False)
    assert starts.hopeless


def test_an_answer_forgives_earlier_starts() -> None:
    """Starts in vain count in a row only."""
    starts = Starts()
    for _ in range(5):
        lives(starts, ready=False)
        lives(starts, ready=True)
    assert not starts.hopeless


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "ended by signal 9"), (3, "ended with status 3"), (None, "ended")]
)
def test_an_end_is_told_in_words(code: int | None, words: str) -> None:
    """A signal and a status are told apart."""
    assert ending(code) == words


def test_a_log_keeps_the_last_lines_of_the_last_start(tmp_path: Path) -> None:
    """Lines of an earlier start are in the file, not among the last lines."""
    log = ProgramLog(tmp_path / "hub.log")
    log({"data": b"old\n"})
    log.begin()
    log({"data": b"one\ntw"})
    log({"data": b"o"})
    log.close()
    assert log.last_lines() == ["one", "two"]
    assert log.path.read_bytes() == b"old\none\ntwo"
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_log_is_bounded(tmp_path: Path) -> None:
    """A program that writes without end keeps two files of about 8 MiB, and no more."""
    log = ProgramLog(tmp_path / "hub.log")
    for _ in range(40):
        log({"data": b"x" * (1 << 20)})
    log.close()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) <= 20 << 20


def test_a_line_without_end_is_not_kept_whole(tmp_path: Path) -> None:
    """Of a line that never ends the supervisor keeps the last 64 KiB in memory; the file has all of it."""
    log = ProgramLog(tmp_path / "hub.log")
    for _ in range(4):
        log({"data": b"x" * (1 << 20)})
    log({"data": b"the end"})
    (kept,) = log.last_lines()
    log.close()
    assert (len(kept), kept[-7:]) == (64 << 10, "the end")
    assert log.path.stat().st_size == (4 << 20) + 7


def test_a_disk_that_is_full_does_not_stop_the_log() -> None:
    """Lines that cannot be written are counted, and the last ones are still at hand."""
    log = ProgramLog(Path("/dev/full"))
    log({"data": b"one\ntwo\n"})
    log.close()
    assert log.lost == 2
    assert log.last_lines() == ["one", "two"]
