"""Which guards of control's database must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_SQLITE = "jupyter_sandbox_spawner/control/sqlite_database.py"
_POSTGRESQL = "jupyter_sandbox_spawner/control/postgresql_database.py"
_ERRORS = "jupyter_sandbox_spawner/control/postgresql_errors.py"
_RULE = "jupyter_sandbox_spawner/rules/database.py"
_FAULTS = "tests/programs/test_control_postgresql.py"

GUARDS = (
    Guard(
        name="store: no password in the address",
        file=_RULE,
        pattern=r"if parts\.password is not None or any\(name in options for name in _SECRETS\):",
        replacement="if False:",
        tests="tests/rules/test_database.py",
    ),
    Guard(
        name="store: no network without TLS",
        file=_RULE,
        pattern=r'or options\.get\("sslmode"\) in _SAFE_MODES:',
        replacement="or True:",
        tests="tests/rules/test_database.py",
    ),
    Guard(
        name="store: a password that others can read is not used",
        file=_POSTGRESQL,
        pattern=r"if mode & 0o077:",
        replacement="if False:",
        tests=f"{_FAULTS} -k password",
    ),
    Guard(
        name="store: the lock is taken before anything is read",
        file=_POSTGRESQL,
        pattern=r'event\.listen\(engine, "begin", _take_lock\)',
        replacement="pass",
        tests=f"{_FAULTS} -k held_lock",
    ),
    Guard(
        name="store: the snapshot is not older than the lock",
        file=_POSTGRESQL,
        pattern=r'"isolation_level": "READ COMMITTED"',
        replacement='"isolation_level": "REPEATABLE READ"',
        tests=f"{_FAULTS} -k waited_for_the_lock_sees",
    ),
    Guard(
        name="store: one control a database",
        file=_POSTGRESQL,
        pattern=r"if self\._alone:",
        replacement="if False:",
        tests=f"{_FAULTS} -k two_controls",
    ),
    Guard(
        name="store: a silent server is left",
        file="jupyter_sandbox_spawner/control/store.py",
        pattern=r"watch = loop\.call_later\(patience, self\._database\.interrupt\)",
        replacement="watch = loop.call_later(patience, lambda: None)",
        tests=f"{_FAULTS} -k silent",
    ),
    Guard(
        name="store: an unknown commit is not called nothing",
        file=_ERRORS,
        pattern=r"_UNKNOWN if committing else ",
        replacement="",
        tests=f"{_FAULTS} -k commit_without",
    ),
    Guard(
        name="store: SQLite's lock is taken before anything is read",
        file=_SQLITE,
        pattern=r'"BEGIN IMMEDIATE"',
        replacement='"BEGIN"',
        tests="tests/programs/test_control_sqlite.py -k locked_database",
    ),
)
