"""Which guards of what is taken away as left over must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RULES = "jupyter_sandbox_spawner/rules/leftovers.py"
_ASIDES = "jupyter_sandbox_spawner/backends/asides.py"

GUARDS = (
    Guard(
        name="leftovers: what lives is not left over",
        file=_RULES,
        pattern=r"return not item\.sandbox or item\.sandbox not in known\.alive",
        replacement="return True",
        tests="tests/rules/test_leftovers.py -k somebody_has",
    ),
    Guard(
        name="leftovers: another installation's cgroup stays",
        file=_RULES,
        pattern=r"if item\.kind in _HOST_WIDE and item\.sandbox not in known\.recorded:",
        replacement="if False:",
        tests="tests/rules/test_leftovers.py -k stranger",
    ),
    Guard(
        name="leftovers: nothing without the launcher's word",
        file="jupyter_sandbox_spawner/control/leftovers.py",
        pattern=r"found = \[\]  # what lives",
        replacement="pass  # what lives",
        tests="tests/programs/test_control_leftovers.py -k silent",
    ),
    Guard(
        name="leftovers: a link is not followed",
        file=_ASIDES,
        pattern=r"if path\.is_symlink\(\) or not path\.is_dir\(\):\n        path\.unlink\(\)\n    else:",
        replacement="if False:\n        path.unlink()\n    else:",
        tests="tests/backends/test_leftovers.py -k not_followed",
    ),
    Guard(
        name="leftovers: quarantine comes first",
        file=_ASIDES,
        pattern=r"self\._move_aside\(self\._bundles / item\.name\)",
        replacement="shutil.rmtree(self._bundles / item.name)",
        tests="tests/backends/test_leftovers.py -k moved_aside",
    ),
    Guard(
        name="leftovers: a bundle deleted by hand keeps nobody alive",
        file="jupyter_sandbox_spawner/backends/records.py",
        pattern=r"            bundle\.mkdir\(mode=0o700, exist_ok=True\)\n            temporary",
        replacement="            temporary",
        tests="tests/backends/test_leftovers.py -k deleted_by_hand",
    ),
    Guard(
        name="leftovers: nobody's time begins anew",
        file="jupyter_sandbox_spawner/control/adopting.py",
        pattern=r"return min\(max\(since \+ ttl, now \+ NOTICE\), now \+ ttl\)",
        replacement="return now + ttl",
        tests="tests/programs/test_control_reconcile.py -k time_goes_on",
    ),
)
