"""Which guards of hosts that users asked for must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RULES = "jupyter_sandbox_spawner/rules/egress_requests.py"
_KEEPING = "jupyter_sandbox_spawner/control/egress_keeping.py"
_RULES_TESTS = "tests/rules/test_egress_requests.py"
_ANSWERS = "tests/programs/test_control_egress_answers.py"

GUARDS = (
    Guard(
        name="asked hosts: a rule ends at its end",
        file="jupyter_sandbox_spawner/rules/egress.py",
        pattern=r"return rule\.until is None or now < rule\.until",
        replacement="return True",
        tests=f"{_RULES_TESTS} -k until_its_end",
    ),
    Guard(
        name="asked hosts: guarded data ask for nothing",
        file=_RULES,
        pattern=r"    if is_guarded\(spec\):",
        replacement="    if False:",
        tests=f"{_RULES_TESTS} -k take_the_network_away",
    ),
    Guard(
        name="asked hosts: a pattern has the host that was asked for",
        file=_RULES,
        pattern=r"    if not decide\(EgressPolicy\(rules=\(rule,\)\)[^\n]*",
        replacement="    if False:",
        tests=f"{_RULES_TESTS} -k no_grant_is_refused",
    ),
    Guard(
        name="asked hosts: what was taken back applies to nobody",
        file=_RULES,
        pattern=r"    if grant\.revoked_at is not None or grant\.until <= now:",
        replacement="    if grant.until <= now:",
        tests=f"{_RULES_TESTS} -k no_grant_in_force",
    ),
    Guard(
        name="asked hosts: a terminal is told no commands",
        file=_RULES,
        pattern=r"return sign in _TURNING or [^\n]*",
        replacement="return False",
        tests=f"{_RULES_TESTS} -k nothing_obeys",
    ),
    Guard(
        name="asked hosts: guarded data are given nothing",
        file=_KEEPING,
        pattern=r"        if is_guarded\(spec\):",
        replacement="        if False:",
        tests=f"{_ANSWERS} -k guarded_data_close",
    ),
    Guard(
        name="asked hosts: policy has its say when they are applied",
        file=_KEEPING,
        pattern=r"            if ruling\.allow:",
        replacement="            if True:",
        tests=f"{_ANSWERS} -k policy_that_is_edited",
    ),
    Guard(
        name="asked hosts: an approval that is not audited is none",
        file="jupyter_sandbox_spawner/control/egress_asking.py",
        pattern=r"    await parts\.audit\.write\(entry\)\n    try:\n        return",
        replacement="    try:\n        return",
        tests=f"{_ANSWERS} -k cannot_be_audited",
    ),
    Guard(
        name="asked hosts: a wildcard opens no service of the site",
        file="jupyter_sandbox_spawner/rules/egress.py",
        pattern=r"return rule\.until is None or rule\.pattern == name",
        replacement="return True",
        tests="tests/programs/test_egress_until.py -k no_service_of_the_site",
    ),
    Guard(
        name="asked hosts: what is open ends with its rule",
        file="jupyter_sandbox_spawner/gateway/egress/proxy.py",
        pattern=r"work if rule\.until is None else self\._while_held\(visit, work\)",
        replacement="work",
        tests="tests/programs/test_egress_until.py -k ends_with_its_rule",
    ),
    Guard(
        name="asked hosts: a deleted user's are gone",
        file="jupyter_sandbox_spawner/control/users.py",
        pattern=r"    egress_records\.put_away\([^\n]*\n",
        replacement="",
        tests=f"{_ANSWERS} -k next_user_of_a_name",
    ),
)
