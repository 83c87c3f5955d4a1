"""Which addresses of control's database are taken, and is no password ever repeated?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.database import check_database


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///jss?host=/run/postgresql",
        "postgresql://control@localhost/jss",
        "postgresql://control@[::1]:5433/jss",
        "postgresql://control@db.example:5432/jss?sslmode=verify-full",
        "postgresql://control@db.example/jss?sslmode=verify-ca&sslrootcert=/etc/ca.pem",
    ],
)
def test_safe_addresses_are_taken(url: str) -> None:
    """SQLite, a socket, the loopback, and a network with TLS that is checked."""
    check_database(url, "/etc/password" if url else "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://control:hunter2@localhost/jss", "has a password in it"),
        ("postgresql://control@localhost/jss?password=hunter2", "has a password in it"),
        ("postgresql://control@localhost/jss?passfile=/hunter2", "has a password in it"),
        ("mysql://control:hunter2@localhost/jss", "has a password in it"),
        ("postgresql://control:hunter2@localhost:x/jss", "is no URL"),
        ("mysql://control@localhost/jss", "is no address of a PostgreSQL"),
        ("postgresql://control@localhost", "names no database"),
        ("postgresql://control@localhost/a/b", "names no database"),
        ("postgresql:///jss", "names no host"),
        ("postgresql://control@localhost/jss?options=-csearch_path", "is no option here"),
        ("postgresql://control@db.example/jss", "without TLS"),
        ("postgresql://control@db.example/jss?sslmode=require", "without TLS"),
        ("postgresql://control@localhost/jss?host=db.example", "without TLS"),
    ],
)
def test_others_are_refused_with_a_way_out(url: str, words: str) -> None:
    """The error says what is wrong and what to write, and never a password."""
    with pytest.raises(ConfigurationError) as caught:
        check_database(url)
    assert caught.value.code == "database.setting"
    assert words in caught.value.message
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "file"), [("", "/etc/password"), ("postgresql://c@localhost/jss", "password")]
)
def test_a_password_file_needs_a_database_and_a_whole_path(url: str, file: str) -> None:
    """A file that nobody would read, or that depends on where control is started, is refused."""
    with pytest.raises(ConfigurationError) as caught:
        check_database(url, file)
    assert caught.value.field == "database_password_file"
