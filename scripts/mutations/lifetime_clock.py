"""Which guards of control's clock must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_CONTROL = "jupyter_sandbox_spawner/control"

GUARDS = (
    Guard(
        name="lifetime: a word about the future is dropped",
        file=f"{_CONTROL}/signals.py",
        pattern=r"seen\.said_used_at = used if [^\n]*",
        replacement="seen.said_used_at = used",
        tests="tests/programs/test_control_signals.py -k in_the_future",
    ),
    Guard(
        name="lifetime: fresh signals right before a stop",
        file=f"{_CONTROL}/stops.py",
        pattern=r"reason = await self\._reason\(record\)",
        replacement='reason = ("stop.idle", "")',
        tests="tests/programs/test_control_stops.py -k waits_for_its_turn",
    ),
    Guard(
        name="lifetime: CPU does not keep what its idle GPU ends",
        file=f"{_CONTROL}/stops.py",
        pattern=r'on_gpus = verdict\.code == "stop\.gpu_idle"',
        replacement="on_gpus = False",
        tests="tests/programs/test_control_schedule.py -k no_work_on_a_gpu",
    ),
    Guard(
        name="lifetime: a GPU that is not measured any more is not idle",
        file=f"{_CONTROL}/signals.py",
        pattern=r"\(busy is None\) != \(seen\.gpu_used_at is None\)",
        replacement="(seen.gpu_used_at is None and busy is not None)",
        tests="tests/programs/test_control_signals.py -k counts_as_used",
    ),
    Guard(
        name="lifetime: so many stops at once",
        file=f"{_CONTROL}/stops.py",
        pattern=r"asyncio\.Semaphore\(parts\.tuning\.stops_at_once\)",
        replacement="asyncio.Semaphore(1_000_000)",
        tests="tests/programs/test_control_stops.py -k many_due_at_once",
    ),
    Guard(
        name="lifetime: a stop under way is not asked for twice",
        file=f"{_CONTROL}/stopping.py",
        pattern=r"asking = self\._asking\.get\(record\.id\)",
        replacement="asking = None",
        tests="tests/programs/test_control_stops.py -k gets_its_answer",
    ),
    Guard(
        name="lifetime: closed hours refuse a start",
        file=f"{_CONTROL}/granting.py",
        pattern=r"if closed is not None:",
        replacement="if closed is not None and False:",
        tests="tests/programs/test_control_schedule.py -k closed_hours",
    ),
    Guard(
        name="lifetime: an edit of the rules ends nobody without a warning",
        file=f"{_CONTROL}/judging.py",
        pattern=r"if since is None or since > now:",
        replacement="if since is None or since:",
        tests="tests/programs/test_control_schedule.py -k ends_nobody",
    ),
)
