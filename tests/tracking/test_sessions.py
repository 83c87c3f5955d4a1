"""Is a login good once, for its browser, for ten minutes, and a session for twelve hours?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner import sessions as module
from jupyter_sandbox_spawner.sessions import Sessions

HOUR = 3600.0


def test_a_login_is_used_once() -> None:
    """The second use of a state finds nothing."""
    kept = Sessions()
    login = kept.begin("", "/there", 0.0)
    assert kept.finish(login.state, login.browser, 1.0) == login
    assert kept.finish(login.state, login.browser, 1.0) is None


def test_a_login_is_the_browsers_that_began_it() -> None:
    """Another browser's attempt finds nothing and spoils nothing."""
    kept = Sessions()
    login = kept.begin("", "/there", 0.0)
    assert kept.finish(login.state, "another", 1.0) is None
    assert kept.finish(login.state, "", 1.0) is None
    assert kept.finish(login.state, login.browser, 1.0) == login


def test_two_tabs_log_in_side_by_side() -> None:
    """A browser's second login keeps its name and leaves the first alone."""
    kept = Sessions()
    first = kept.begin("", "/one", 0.0)
    second = kept.begin(first.browser, "/two", 1.0)
    assert second.browser == first.browser
    assert kept.finish(first.state, first.browser, 2.0) == first
    assert kept.finish(second.state, first.browser, 2.0) == second


def test_a_login_takes_ten_minutes_at_most() -> None:
    """Later it has to be begun anew."""
    kept = Sessions()
    login = kept.begin("", "/there", 0.0)
    assert kept.finish(login.state, login.browser, 601.0) is None


def test_a_session_ends_after_twelve_hours_or_when_it_is_closed() -> None:
    """Its token is then unknown; another session goes on."""
    kept = Sessions()
    early, late = kept.open("a", 0.0), kept.open("b", HOUR)
    assert (kept.token(early, 12 * HOUR), kept.token(late, 12 * HOUR)) == ("a", "b")
    assert (kept.token(early, 12 * HOUR + 1), kept.token(late, 12 * HOUR + 1)) == ("", "b")
    kept.close(late)
    assert kept.token(late, HOUR) == ""


def test_the_oldest_goes_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Visitors without end cannot fill the memory."""
    monkeypatch.setattr(module, "_MOST", 3)
    kept = Sessions()
    names = [kept.open(str(number), 0.0) for number in range(4)]
    assert [kept.token(name, 0.0) for name in names] == ["", "1", "2", "3"]


def test_a_login_does_not_show_itself() -> None:
    """The verifier is in no log that prints the object."""
    login = Sessions().begin("", "/there", 0.0)
    assert login.verifier not in repr(login)
