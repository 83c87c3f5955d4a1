"""Which guards must be missed when they are gone? where it is, how to switch it off, who notices."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GUARDS", "Guard"]


@dataclass(frozen=True, kw_only=True)
class Guard:
    """`pattern` (a regular expression that fits exactly once) in `file` becomes `replacement`.

    `tests` are pytest arguments; at least one of those tests must then fail. `live` ones need a house.
    """

    name: str
    file: str
    pattern: str
    replacement: str
    tests: str
    live: bool = False


_EGRESS = "jupyter_sandbox_spawner/rules/egress.py"
_PROXY = "jupyter_sandbox_spawner/gateway/egress/proxy.py"

GUARDS: tuple[Guard, ...] = (
    Guard(
        name="egress: IP literals are refused",
        file="jupyter_sandbox_spawner/rules/hostnames.py",
        pattern=r'return ":" in name or _NUMBER.*?$',
        replacement="return False",
        tests="tests/rules/test_egress.py -k test_ip_literals",
    ),
    Guard(
        name="egress: resolved addresses are checked",
        file=_EGRESS,
        pattern=r"open_to_all = is_global\(.*?$",
        replacement="open_to_all = True",
        tests="tests/programs/test_egress_proxy.py -k one_private_address",
    ),
    Guard(
        name="egress: the TLS name is the host",
        file=_PROXY,
        pattern=r"decision = check_server_name\(.*?$",
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
    Guard(
        name="front: request heads are filtered",
        file="jupyter_sandbox_spawner/rules/heads.py",
        pattern=r"^    return \[\n        \(name, value\)\n        for name, value in headers\n        if name not in"
        r" dropped.*?\n    \]",
        replacement="    return headers",
        tests="tests/programs/test_gateway_front.py -k request_head_is_cleaned",
    ),
    Guard(
        name="front: answer heads are filtered",
        file="jupyter_sandbox_spawner/rules/heads.py",
        pattern=r"if name in _ORIGIN_WIDE or ",
        replacement="if ",
        tests="tests/programs/test_gateway_front.py -k answer_head_is_cleaned",
    ),
)
