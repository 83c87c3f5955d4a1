"""Which guards of policy must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RULES = "jupyter_sandbox_spawner/rules/policy.py"
_INPUT = "jupyter_sandbox_spawner/rules/policy_input.py"
_OPA = "jupyter_sandbox_spawner/clients/opa.py"
_EFFECTS = "jupyter_sandbox_spawner/rules/policy_effects.py"

GUARDS = (
    Guard(
        name="policy: OPA only narrows",
        file=_RULES,
        pattern=r"allow = own\.allow and other\.allow",
        replacement="allow = other.allow",
        tests="tests/policy/test_opa_faults.py -k only_narrow",
    ),
    Guard(
        name="policy: data without a tag is guarded",
        file=_RULES,
        pattern=r"is_open = bool\(question\.tags\) and set",
        replacement="is_open = set",
        tests="tests/policy/test_questions.py -k rules_answer",
    ),
    Guard(
        name="policy: guarded tags cannot be opened",
        file=_RULES,
        pattern=r"_OPENABLE & set\(settings\.open_tags\)",
        replacement="set(settings.open_tags)",
        tests="tests/policy/test_questions.py -k cannot_be_opened",
    ),
    Guard(
        name="policy: a bool is no number",
        file=_INPUT,
        pattern=r"type\(value\) is int and least",
        replacement="isinstance(value, int) and least",
        tests="tests/policy/test_questions.py -k no_type_makes",
    ),
    Guard(
        name="policy: no control characters in names",
        file=_INPUT,
        pattern=r"and _NAME\.fullmatch\(value\) is not None",
        replacement="and 0 < len(value) < 256",
        tests="tests/policy/test_questions.py -k rules_answer",
    ),
    Guard(
        name="policy: only a true allow",
        file=_OPA,
        pattern=r"if not isinstance\(allow, bool\):",
        replacement="if allow is None:",
        tests="tests/policy/test_opa_faults.py -k resembles",
    ),
    Guard(
        name="policy: OPA leads nowhere else",
        file=_OPA,
        pattern=r"allow_redirects=False",
        replacement="allow_redirects=True",
        tests="tests/policy/test_opa_faults.py -k wrong_answer",
    ),
    Guard(
        name="policy: nobody waits for a hanging OPA",
        file=_OPA,
        pattern=r"if waiting is not None:",
        replacement="if waiting is not None and False:",
        tests="tests/policy/test_opa_faults.py -k hang",
    ),
    Guard(
        name="policy: a denied start starts nothing",
        file=_EFFECTS,
        pattern=r"if not ruling\.allow and not optional:",
        replacement="if not ruling.allow and not optional and False:",
        tests="tests/policy/test_admission.py -k denied_group",
    ),
    Guard(
        name="policy: a required secret ends the start",
        file=_EFFECTS,
        pattern=r'not in \{"", \*required\}',
        replacement='not in {""}',
        tests="tests/policy/test_admission.py -k required_secret",
    ),
    Guard(
        name="policy: what is kept back is not granted",
        file="jupyter_sandbox_spawner/control/admission.py",
        pattern=r"kept_back\(asking\.rulings\)",
        replacement="{}",
        tests="tests/policy/test_admission.py -k kept_back_secret",
    ),
    Guard(
        name="policy: an unreadable file allows nothing",
        file="jupyter_sandbox_spawner/control/terms.py",
        pattern=r"PolicySettings\(closed=closed\)",
        replacement="PolicySettings()",
        tests="tests/policy/test_admission.py -k cannot_be_read",
    ),
    Guard(
        name="policy: more time is asked for",
        file="jupyter_sandbox_spawner/control/extending.py",
        pattern=r"if ruling is not None and not ruling\.allow:",
        replacement="if False:",
        tests="tests/policy/test_admission.py -k extension_beyond",
    ),
)
