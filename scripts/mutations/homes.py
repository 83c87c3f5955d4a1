"""Which guards of homes must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_HOMES = "jupyter_sandbox_spawner/launcher/homes.py"
_TESTS = "tests/programs/test_launcher_homes.py"

GUARDS = (
    Guard(
        name="homes: no quota, no start",
        file=_HOMES,
        pattern=r"if self\.missing:",
        replacement="if False:",
        tests=f"{_TESTS} -k cannot_be_held",
    ),
    Guard(
        name="homes: no set-uid programs and devices",
        file=_HOMES,
        pattern=r"loop,nosuid,nodev,noatime",
        replacement="loop,noatime",
        tests=f"{_TESTS} -k private",
    ),
    Guard(
        name="homes: a deleted user's file system goes into quarantine",
        file="jupyter_sandbox_spawner/launcher/users.py",
        pattern=r"if image\.exists\(\):",
        replacement="if False:",
        tests=f"{_TESTS} -k nobody_elses",
    ),
    Guard(
        name="homes: an image is one uid's",
        file="jupyter_sandbox_spawner/launcher/users.py",
        pattern=r"f\"\{home\}-\{uid\}\.img\"",
        replacement='f"{home}.img"',
        tests=f"{_TESTS} -k private",
    ),
)
