"""Which guards of what is counted, for whom and at which price must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

GUARDS = (
    Guard(
        name="usage: what was counted is not counted again",
        file="jupyter_sandbox_spawner/control/usage_records.py",
        pattern=r"begin = before\.until if before else row\.admitted_at",
        replacement="begin = row.admitted_at",
        tests="tests/programs/test_control_usage.py -k pass_again_adds_nothing",
    ),
    Guard(
        name="usage: a counter goes on where it was",
        file="jupyter_sandbox_spawner/control/usage_records.py",
        pattern=r"cpu = advance\(before\.counter if before else None, reading\)",
        replacement="cpu = advance(None, reading)",
        tests="tests/programs/test_control_usage.py -k pass_again_adds_nothing",
    ),
    Guard(
        name="usage: a deleted user's hours leave the name",
        file="jupyter_sandbox_spawner/control/users.py",
        pattern=r"usage_records\.put_away\(connection, user, kept_as\)",
        replacement="usage_records.put_away(connection, kept_as, user)",
        tests="tests/programs/test_control_usage.py -k deleted_users_rows",
    ),
    Guard(
        name="usage: the total counts a member of two groups once",
        file="jupyter_sandbox_spawner/rules/usage.py",
        pattern=r"return found, _line\(\"\", whole, prices\)",
        replacement='return found, _line("", [p for items in lines.values() for p in items], prices)',
        tests="tests/rules/test_usage.py -k two_groups",
    ),
    Guard(
        name="usage: no name is a formula",
        file="jupyter_sandbox_spawner/admin/usage.py",
        pattern=r"if name\[:1\] in ",
        replacement="if name[:2] in ",
        tests="tests/programs/test_admin_usage.py -k formula",
    ),
    Guard(
        name="prices: finite and not below 0",
        file="jupyter_sandbox_spawner/rules/price_file.py",
        pattern=r"math\.isfinite\(value\) and 0 <= value",
        replacement="value == value and -1e9 <= value",
        tests="tests/rules/test_price_file.py -k what_is_wrong",
    ),
)
