"""Which guards of what the hub is spared must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RUNNING = "jupyter_sandbox_spawner/hub/running.py"
_RELAY = "jupyter_sandbox_spawner/rules/activity_relay.py"

GUARDS = (
    Guard(
        name="relief: an end outlives a list that was on its way",
        file=_RUNNING,
        pattern=r"in self\._listed and sandbox not in self\._over",
        replacement="in self._listed",
        tests="tests/hub/test_poll.py -k outlives",
    ),
    Guard(
        name="relief: an old list makes nobody run",
        file=_RUNNING,
        pattern=r"self\.age <= BELIEVED and ",
        replacement="",
        tests="tests/hub/test_poll.py -k believed",
    ),
    Guard(
        name="relief: a death that no event told is found",
        file="jupyter_sandbox_spawner/hub/deaths.py",
        pattern=r"\(silent or self\.running\.age >= _LIST_EVERY\)",
        replacement="self.running.age >= _LIST_EVERY",
        tests="tests/hub/test_poll.py -k without_an_event",
    ),
    Guard(
        name="relief: no word of a sandbox on its activity reaches the hub",
        file="jupyter_sandbox_spawner/rules/api_filter.py",
        pattern=r'to="gateway"',
        replacement='to="hub"',
        tests="tests/programs/test_gateway_api.py -k activity_never",
    ),
    Guard(
        name="relief: a server speaks of itself only",
        file="jupyter_sandbox_spawner/rules/activity_report.py",
        pattern=r"if name != server:",
        replacement="if False:",
        tests="tests/rules/test_activity_report.py -k other_servers",
    ),
    Guard(
        name="relief: the hub is told rarely",
        file=_RELAY,
        pattern=r"if waited >= 0:",
        replacement="if True:",
        tests="tests/rules/test_activity_relay.py -k interval",
    ),
    Guard(
        name="relief: an error at one user keeps nobody else waiting",
        file="jupyter_sandbox_spawner/control/relaying.py",
        pattern=r"if error\.status in _AWAY:",
        replacement="if error.status not in _STOPPED:",
        tests="tests/programs/test_control_relay.py -k keeps_nobody",
    ),
    Guard(
        name="relief: the hub is told of no future",
        file=_RELAY,
        pattern=r" or instant > now",
        replacement="",
        tests="tests/rules/test_activity_relay.py -k future",
    ),
)
