"""Which guards of the wires in and out must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_EGRESS = "jupyter_sandbox_spawner/rules/egress.py"
_PROXY = "jupyter_sandbox_spawner/gateway/egress/proxy.py"
_HEADS = "jupyter_sandbox_spawner/rules/heads.py"
_DOOR = "jupyter_sandbox_spawner/gateway/door.py"
_DOORS_TESTS = "tests/programs/test_gateway_doors.py"

_EGRESS_GUARDS = (
    Guard(
        name="egress: IP literals are refused",
        file="jupyter_sandbox_spawner/rules/hostnames.py",
        pattern=r'return ":" in name or _NUMBER[^\n]*',
        replacement="return False",
        tests="tests/rules/test_egress.py -k test_ip_literals",
    ),
    Guard(
        name="egress: resolved addresses are checked",
        file=_EGRESS,
        pattern=r"open_to_all = is_global\([^\n]*",
        replacement="open_to_all = True",
        tests="tests/programs/test_egress_proxy.py -k one_private_address",
    ),
    Guard(
        name="egress: the TLS name is the host",
        file=_PROXY,
        pattern=r"decision = check_server_name\([^\n]*",
        replacement='decision = Decision(True, "egress.allowed", "", "")',
        tests="tests/programs/test_egress_tls.py -k another_server_name",
    ),
    Guard(
        name="egress: a rule opens its ports only",
        file=_EGRESS,
        pattern=r"if port in rule\.ports:",
        replacement="if rule.ports:",
        tests="tests/rules/test_egress.py -k wrong_port",
    ),
    Guard(
        name="egress: a wildcard stops at a dot",
        file=_EGRESS,
        pattern=r"name\.endswith\(pattern\[1:\]\)",
        replacement="name.endswith(pattern[2:])",
        tests="tests/rules/test_egress.py -k wildcard_means",
    ),
)

_GATEWAY_GUARDS = (
    Guard(
        name="front: request heads are filtered",
        file=_HEADS,
        pattern=r"if name not in dropped and not name\.[^\n]*",
        replacement="if name",
        tests="tests/programs/test_gateway_front.py -k request_head_is_cleaned",
    ),
    Guard(
        name="front: answer heads are filtered",
        file=_HEADS,
        pattern=r"if name in _ORIGIN_WIDE or ",
        replacement="if ",
        tests="tests/programs/test_gateway_front.py -k answer_head_is_cleaned",
    ),
    Guard(
        name="api door: four calls only",
        file="jupyter_sandbox_spawner/rules/api_filter.py",
        pattern=r"call = None if _NAME[^\n]*",
        replacement='call = ApiCall(to="hub", method=method.decode(), target=path.decode())',
        tests="tests/attacks/test_hub_api.py -k h01",
        live=True,
    ),
    Guard(
        name="doors: peer credentials",
        file=_DOOR,
        pattern=r"if uid != self\.plan\.uid:",
        replacement="if uid < 0:",
        tests=f"{_DOORS_TESTS} -k foreign_connect_aborts",
    ),
    Guard(
        name="doors: connections are capped",
        file=_DOOR,
        pattern=r"if self\.connections >= self\.plan\.connections:",
        replacement="if self.connections < 0:",
        tests="tests/programs/test_gateway_api.py -k connections_over_the_cap",
    ),
    Guard(
        name="boot: the document is handed over once",
        file="jupyter_sandbox_spawner/gateway/boot.py",
        pattern=r"self\.booted = True\n        self\.withdraw\(\)",
        replacement="await asyncio.sleep(0)",
        tests=f"{_DOORS_TESTS} -k handed_over_once",
    ),
    Guard(
        name="sockets: callers by SO_PEERCRED",
        file="jupyter_sandbox_spawner/serving.py",
        pattern=r"if uid not in allowed:",
        replacement="if uid < 0:",
        tests="tests/programs/test_launcher.py -k other_uid_is_refused",
    ),
)

GUARDS = (*_EGRESS_GUARDS, *_GATEWAY_GUARDS)
