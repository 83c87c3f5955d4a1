"""Which guards before MLflow must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_TRACKING = "jupyter_sandbox_spawner/rules/tracking.py"
_OWN = "jupyter_sandbox_spawner/gateway/egress/own.py"

GUARDS = (
    Guard(
        name="mlflow: who asks is said by the door",
        file=_OWN,
        pattern=r'if not name\.replace\(b"_", b"-"\)[^\n]*',
        replacement="if name",
        tests="tests/programs/test_egress_own.py -k told_who_asks",
    ),
    Guard(
        name="mlflow: no tunnel",
        file=_OWN,
        pattern=r'if request\.verb == "CONNECT":',
        replacement="if False:",
        tests="tests/programs/test_egress_own.py -k no_tunnel",
    ),
    Guard(
        name="mlflow: a client names no place",
        file=_TRACKING,
        pattern=r"if \(plain in _PLACES[^\n]*",
        replacement="if False:",
        tests="tests/rules/test_tracking.py -k names_a_place",
    ),
    Guard(
        name="mlflow: a workspace is one's own",
        file=_TRACKING,
        pattern=r"if named is not None and named\.strip\(\)[^\n]*",
        replacement="if False:",
        tests="tests/rules/test_tracking.py -k ones_own_or_none",
    ),
    Guard(
        name="mlflow: what is not listed is closed",
        file=_TRACKING,
        pattern=r"if found is None or found\[1\] not in _RESOURCES:",
        replacement="if found is None:",
        tests="tests/rules/test_tracking.py -k everything_else_is_closed",
    ),
)
