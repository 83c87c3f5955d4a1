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
    Guard(
        name="leftovers: a home that a start has stays mounted",
        file="jupyter_sandbox_spawner/launcher/homes.py",
        pattern=r"if not self\._starting\[home\] and \(used",
        replacement="if (used",
        tests="tests/programs/test_launcher_homes.py -k a_start_has",
    ),
    Guard(
        name="reconcile: a late act spares the next server",
        file="jupyter_sandbox_spawner/control/stopping.py",
        pattern=r"if current is None or not current\.is_open:\n            # The hub",
        replacement="if False:\n            # The hub",
        tests="tests/programs/test_control_stale.py -k late",
    ),
    Guard(
        name="reconcile: at once is what two looks show",
        file="jupyter_sandbox_spawner/control/reconciler.py",
        pattern=r"if urgent and found\.due:",
        replacement="if False:",
        tests="tests/programs/test_control_stale.py -k applied_at_once",
    ),
    Guard(
        name="reconcile: nobody is skipped between two pages",
        file="jupyter_sandbox_spawner/clients/hub.py",
        pattern=r'\["offset"\]\) - _OVERLAP, offset',
        replacement='["offset"]), offset',
        tests="tests/programs/test_control_stale.py -k skipped",
    ),
    Guard(
        name="reconcile: an adopted server is not idle at once",
        file="jupyter_sandbox_spawner/control/adopting.py",
        pattern=r"            idle_floor=now,\n",
        replacement="",
        tests="tests/programs/test_control_stale.py -k lost_database",
    ),
)
