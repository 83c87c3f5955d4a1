"""Which guards of what is told and saved before an end must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_INSIDE = "jupyter_sandbox_spawner/singleuser/inside"
_CONTROL = "jupyter_sandbox_spawner/control"

GUARDS = (
    Guard(
        name="notices: printable text only",
        file=f"{_INSIDE}/notices.py",
        pattern=r'sign if " " <= sign <= "~" else "\?"',
        replacement="sign if ord(sign) < 128 else '?'",
        tests="tests/singleuser/test_notices.py -k commands_reach",
    ),
    Guard(
        name="notices: terminals only",
        file=f"{_INSIDE}/notices.py",
        pattern=r"if not stat\.S_ISCHR\(kind\.st_mode\) or [^\n]*:",
        replacement="if False:",
        tests="tests/singleuser/test_notices.py -k looks_like",
    ),
    Guard(
        name="notices: each once",
        file=f"{_INSIDE}/notices.py",
        pattern=r" if notice\.id > self\.number",
        replacement="",
        tests="tests/singleuser/test_notices.py -k taken_once",
    ),
    Guard(
        name="notices: news end what control remembers",
        file=f"{_CONTROL}/notices.py",
        pattern=r"self\._newest\.pop\(sandbox, None\)",
        replacement="pass",
        tests="tests/programs/test_control_notices.py -k told_once",
    ),
    Guard(
        name="notices: an end closes the memory",
        file=f"{_CONTROL}/records.py",
        pattern=r"    mark_changed\(sandbox\)\n",
        replacement="",
        tests="tests/programs/test_control_notices.py -k no_longer_believed",
    ),
    Guard(
        name="save: the hook gets no token",
        file=f"{_INSIDE}/hook.py",
        pattern=r"for name in _PASSED_ON if name in environment",
        replacement="for name in environment",
        tests="tests/singleuser/test_farewell.py -k before_the_server",
    ),
    Guard(
        name="save: the hook is bounded",
        file=f"{_INSIDE}/init.py",
        pattern=r"self\.loop\.later\(FAREWELL_LIMIT, [^\n]*\)",
        replacement="pass",
        tests="tests/singleuser/test_farewell.py -k cut_off",
    ),
)
