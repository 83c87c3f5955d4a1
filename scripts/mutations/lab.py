"""Which guards of the routes that JupyterLab has must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_LAB = "jupyter_sandbox_spawner/singleuser/lab"

GUARDS = (
    Guard(
        name="lab: an answer is believed for seconds only",
        file=f"{_LAB}/gathering.py",
        pattern=r"return self\._clock\(\) - self\._known\[1\] < BELIEVED",
        replacement="return True",
        tests="tests/singleuser/test_lab_view.py -k two_tabs",
    ),
    Guard(
        name="lab: a change is not hidden by what was believed",
        file=f"{_LAB}/gathering.py",
        pattern=r"self\._changes \+= 1",
        replacement="pass",
        tests="tests/singleuser/test_lab_view.py -k at_once",
    ),
    Guard(
        name="lab: a poll is no question to MLflow",
        file=f"{_LAB}/gathering.py",
        pattern=r"return self\._clock\(\) - self\._mlflow_asked >= wait",
        replacement="return True",
        tests="tests/singleuser/test_lab_view.py -k five_minutes",
    ),
    Guard(
        name="lab: a part that thinks is not asked again",
        file=f"{_LAB}/parts.py",
        pattern=r"if self\._asking is None or [^\n]*:",
        replacement="if True:",
        tests="tests/singleuser/test_lab_view.py -k silent_part",
    ),
    Guard(
        name="lab: no address that a browser runs",
        file=f"{_LAB}/experiments.py",
        pattern=r'if said\.startswith\(\("https://"[^\n]*:',
        replacement="if said:",
        tests="tests/singleuser/test_lab_view.py -k script",
    ),
    Guard(
        name="lab: a view is no use",
        file="jupyter_sandbox_spawner/rules/activity.py",
        pattern=r"\|sandbox/view\$",
        replacement="",
        tests="tests/rules/test_activity.py",
    ),
    Guard(
        name="shown text: signs that act",
        file="jupyter_sandbox_spawner/singleuser/plain_text.py",
        pattern=r"unicodedata\.category\(sign\) in _UNSEEN",
        replacement="False",
        tests="tests/singleuser/test_network.py tests/singleuser/test_lab_view.py -k hostile",
    ),
    Guard(
        name="hint: only a name is written into a command",
        file="jupyter_sandbox_spawner/singleuser/hint.py",
        pattern=r"if not _NAME\.fullmatch\(place\):",
        replacement="if False:",
        tests="tests/singleuser/test_hint.py -k only_a_name",
    ),
)
