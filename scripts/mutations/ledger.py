"""Which guards of caps, devices and the queue must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

GUARDS = (
    Guard(
        name="ledger: caps are compared",
        file="jupyter_sandbox_spawner/rules/quotas.py",
        pattern=r"if cap is not None and more and has \+ more > cap \+ _ROUNDING:",
        replacement="if cap is not None and more and has > cap + _ROUNDING:",
        tests="tests/programs/test_ledger.py -k each_cap",
    ),
    Guard(
        name="ledger: used GPU-hours refuse",
        file="jupyter_sandbox_spawner/control/sums.py",
        pattern=r"if refusal is None and asked\.gpus and share\.caps\.gpu_hours is not None:",
        replacement="if False:",
        tests="tests/programs/test_ledger.py -k used_gpu_hours",
    ),
    Guard(
        name="ledger: what is given is taken",
        file="jupyter_sandbox_spawner/rules/queue.py",
        pattern=r"self\._free = \{device\.id for device in devices if device\.id not in until\}",
        replacement="self._free = {device.id for device in devices}",
        tests="tests/programs/test_ledger.py -k full_pool",
    ),
    Guard(
        name="ledger: the database gives no device twice",
        file="jupyter_sandbox_spawner/control/tables_ledger.py",
        pattern=r"    unique=True,\n    sqlite_where",
        replacement="    unique=False,\n    sqlite_where",
        tests="tests/programs/test_ledger.py -k database_refuses",
    ),
    Guard(
        name="ledger: nobody overtakes",
        file="jupyter_sandbox_spawner/rules/queue.py",
        pattern=r"        self\._free\.difference_update\(devices\)",
        replacement="        pass",
        tests="tests/programs/test_ledger.py tests/programs/test_ledger_sequences.py",
    ),
    Guard(
        name="ledger: a turn ends",
        file="jupyter_sandbox_spawner/rules/queue.py",
        pattern=r"return now < \(waiting\.reserved_until or waiting\.kept_until\)",
        replacement="return True",
        tests="tests/programs/test_ledger.py -k 'not_taken or abandoned'",
    ),
    Guard(
        name="ledger: a split GPU is not given whole",
        file="jupyter_sandbox_spawner/rules/queue.py",
        pattern=r"if device\.id not in split and device\.parent not in whole\)",
        replacement="if device.parent not in whole)",
        tests="tests/rules/test_queue.py -k whole_or_in_parts",
    ),
    Guard(
        name="ledger: an end gives everything back",
        file="jupyter_sandbox_spawner/control/records.py",
        pattern=r"    ledger\.end\(connection, sandbox, now\)\n",
        replacement="",
        tests="tests/programs/test_ledger.py -k 'newcomer or each_cap'",
    ),
    Guard(
        name="ledger: a place counts for the cap",
        file="jupyter_sandbox_spawner/control/ledger.py",
        pattern=r"if refusal is None and wish is not None:",
        replacement="if False:",
        tests="tests/programs/test_ledger.py -k nobody_waits_for_more",
    ),
    Guard(
        name="ledger: a deleted user's hours are not inherited",
        file="jupyter_sandbox_spawner/control/users.py",
        pattern=r"    ledger\.put_away\(connection, user, kept_as\)\n",
        replacement="",
        tests="tests/programs/test_ledger.py -k next_user",
    ),
    Guard(
        name="ledger: a place is its user's",
        file="jupyter_sandbox_spawner/control/api_gpu.py",
        pattern=r"if owner is None or user not in \(None, owner\.user\):",
        replacement="if owner is None:",
        tests="tests/programs/test_control_gpu.py -k given_up",
    ),
    Guard(
        name="ledger: an adopted sandbox has its devices",
        file="jupyter_sandbox_spawner/control/reconciler.py",
        pattern=r'gpus=await self\._devices\(labels\.get\("gpus", ""\)\.split\(\)\),',
        replacement="gpus=(),",
        tests="tests/programs/test_control_reconcile.py -k devices_again",
    ),
    Guard(
        name="ledger: retry times are exact",
        file="jupyter_sandbox_spawner/rules/gpu_hours.py",
        pattern=r"\(level - cap \+ 1\)",
        replacement="(level - cap)",
        tests="tests/rules/test_gpu_hours.py",
    ),
)
