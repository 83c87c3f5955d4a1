"""Which guards of ends and of what is told about them must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_LINES = "jupyter_sandbox_spawner/rules/log_lines.py"
_TEST_LINES = "tests/rules/test_log_lines.py"
_LEAVING = "tests/programs/test_gateway_leaving.py"

GUARDS = (
    Guard(
        name="endings: escapes go before secrets",
        file=_LINES,
        pattern=r'    return "".join\(_shown\(letter\) for letter in _ESCAPES\.sub\("", line\)\)',
        replacement="    return line",
        tests=f"{_TEST_LINES} -k no_secret_survives",
    ),
    Guard(
        name="endings: no secret in a line",
        file=_LINES,
        pattern=r"_ending\(_without_secrets\(line\)\)",
        replacement="_ending(line)",
        tests=f"{_TEST_LINES} -k no_secret_survives",
    ),
    Guard(
        name="endings: no private key",
        file=_LINES,
        pattern=r'in _without_keys\(text\.split\("\\n"\)\)',
        replacement='in text.split("\\\\n")',
        tests=f"{_TEST_LINES} -k no_secret_survives",
    ),
    Guard(
        name="endings: a line too long to be searched is not shown",
        file=_LINES,
        pattern=r"else _too_long\(line\)",
        replacement="else line",
        tests=f"{_TEST_LINES} -k huge_line",
    ),
    Guard(
        name="endings: last lines stay in their zone",
        file="jupyter_sandbox_spawner/control/views.py",
        pattern=r'        view\["lines"\] = ""\n',
        replacement="",
        tests="tests/programs/test_control_api.py -k another_zones_end",
    ),
    Guard(
        name="endings: no close frame within another",
        file="jupyter_sandbox_spawner/rules/frames.py",
        pattern=r"return not self\._skip and not self\._held",
        replacement="return True",
        tests=f"{_LEAVING} -k no_frame_is_put",
    ),
)
