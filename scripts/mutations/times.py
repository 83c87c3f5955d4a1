"""Which guards of when a server ends, and of what is written about it, must be missed when they go?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

GUARDS = (
    Guard(
        name="times: a busy kernel delays idleness",
        file="jupyter_sandbox_spawner/rules/idleness.py",
        pattern=r"if not \(busy and end.kind in",
        replacement="if not (False and end.kind in",
        tests="tests/rules/test_idleness_table.py -k running",
    ),
    Guard(
        name="times: the future proves nothing",
        file="jupyter_sandbox_spawner/rules/idleness.py",
        pattern=r"if instant is not None and instant <= now",
        replacement="if instant is not None",
        tests="tests/rules/test_idleness_table.py -k faked",
    ),
    Guard(
        name="times: a rule's end is told first",
        file="jupyter_sandbox_spawner/rules/idleness.py",
        pattern=r"if end\.at > now or not \(end\.rule or is_new\):",
        replacement="if True:",
        tests="tests/rules/test_idleness_table.py -k told",
    ),
    Guard(
        name="times: an end that holds again is told first",
        file="jupyter_sandbox_spawner/rules/idleness.py",
        pattern=r"end\.at <= soonest",
        replacement="False",
        tests="tests/rules/test_idleness_table.py -k morning",
    ),
    Guard(
        name="times: saving and warnings are not use",
        file="jupyter_sandbox_spawner/rules/idleness.py",
        pattern=r'if old\.kind == "idle" and any\(',
        replacement="if not old and any(",
        tests="tests/rules/test_idleness_table.py -k saving",
    ),
    Guard(
        name="times: what the hook before a stop sends is not use",
        file="jupyter_sandbox_spawner/rules/idleness.py",
        pattern=r"_unless_echo\(signals\.egress_used_at, limits, \(SAVE_AHEAD,\)\)",
        replacement="signals.egress_used_at",
        tests="tests/rules/test_idleness_table.py -k remote",
    ),
    Guard(
        name="times: the clock that is set twice a year",
        file="jupyter_sandbox_spawner/rules/weekly_hours.py",
        pattern=r"return last if fold else first",
        replacement="return first",
        tests="tests/rules/test_lifetimes.py -k clocks_are_set",
    ),
    Guard(
        name="times: rules that let nobody start are refused",
        file="jupyter_sandbox_spawner/rules/lifetime_checks.py",
        pattern=r"if not left and not is_open:",
        replacement="if False:",
        tests="tests/rules/test_lifetime_file.py -k nonsense",
    ),
    Guard(
        name="times: a profile's idle limit is not above its ttl",
        file="jupyter_sandbox_spawner/rules/profile_file.py",
        pattern=r"profile\.idle_timeout > profile\.ttl:",
        replacement="profile.idle_timeout < 0:",
        tests="tests/rules/test_lifetime_file.py -k idle_longer",
    ),
)
