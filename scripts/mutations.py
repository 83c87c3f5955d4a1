"""Which guards must be missed when they are gone? where it is, how to switch it off, who notices."""

from __future__ import annotations

import runpy
from pathlib import Path

from guard import Guard
from mutations_docker import DOCKER_GUARDS

__all__ = ["GUARDS", "Guard"]


_MLFLOW = Path(__file__).with_name("mutations_mlflow.py")
_EGRESS = "jupyter_sandbox_spawner/rules/egress.py"
_PROXY = "jupyter_sandbox_spawner/gateway/egress/proxy.py"
_HEADS = "jupyter_sandbox_spawner/rules/heads.py"
_DOOR = "jupyter_sandbox_spawner/gateway/door.py"
_CHECK = "jupyter_sandbox_spawner/backends/oci/check.py"
_ADMISSION = "jupyter_sandbox_spawner/launcher/admission.py"
_DOORS_TESTS = "tests/programs/test_gateway_doors.py"
_CHECK_TESTS = "tests/backends/test_oci_check.py -k opening_is_refused"

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

_ISOLATION_GUARDS = (
    Guard(
        name="soft limits: memory is watched",
        file="jupyter_sandbox_spawner/rules/soft_limits.py",
        pattern=r'if "memory" in soft and memory > most\.memory:',
        replacement="if False:",
        tests="tests/rules/test_soft_limits.py -k above_the_limit",
    ),
    Guard(
        name="soft limits: processes are held",
        file="jupyter_sandbox_spawner/backends/oci/host.py",
        pattern=r"await hold_processes\(pid, spec\.resources\.pids\)",
        replacement="pass",
        tests="tests/backends/test_oci_soft.py -k fork_bomb",
        live=True,
    ),
    Guard(
        name="check: all namespaces are there",
        file=_CHECK,
        pattern=r"if sorted\(item\.get\(\"type\"[^\n]*",
        replacement="if not found:",
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="check: no capability",
        file=_CHECK,
        pattern=r"if any\(q\.process\.get\(\"capabilities\"[^\n]*",
        replacement='if "process" not in q.config:',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="check: only known bind mounts",
        file=_CHECK,
        pattern=r"if mount\.get\(\"source\"\) != source:",
        replacement='if not mount.get("source"):',
        tests=_CHECK_TESTS,
    ),
    Guard(
        name="launcher: the uid is the user's own",
        file=_ADMISSION,
        pattern=r"if place is None or spec\.host_uid != place\.host_uid:",
        replacement="if place is None:",
        tests="tests/programs/test_launcher_admission.py -k difference_is_refused",
    ),
    Guard(
        name="launcher: a uid for each user",
        file="jupyter_sandbox_spawner/launcher/users.py",
        pattern=r"uid = max\(\[self\._base, \*self\._uids\.values\(\), \*retired\]\) \+ 1",
        replacement="uid = self._base + 1",
        tests="tests/attacks/test_credentials.py -k c04",
        live=True,
    ),
    Guard(
        name="canary: no sandbox without a proof",
        file="jupyter_sandbox_spawner/launcher/routes.py",
        pattern=r"await self\._canary\.require\(\)",
        replacement="await self._people()",
        tests="tests/programs/test_launcher.py -k without_a_proof",
    ),
    Guard(
        name="canary: an escape takes the proof away",
        file="jupyter_sandbox_spawner/rules/canary.py",
        pattern=r"return not self\.escapes and not self\.broken",
        replacement="return not self.broken",
        tests="tests/backends/test_canary.py -k open_host",
    ),
    Guard(
        name="canary: what was not tried is not proved",
        file="jupyter_sandbox_spawner/rules/canary.py",
        pattern=r"if name not in observed\]",
        replacement="if not name]",
        tests="tests/rules/test_canary.py -k not_tried",
    ),
    Guard(
        name="seccomp: the default is refusal",
        file="jupyter_sandbox_spawner/backends/seccomp.json",
        pattern=r'"SCMP_ACT_ERRNO",\s*"defaultErrnoRet": 1,',
        replacement='"SCMP_ACT_ALLOW",',
        tests="tests/attacks/test_isolation.py -k i03",
        live=True,
    ),
)

_HUB_GUARDS = (
    Guard(
        name="profiles: groups are checked",
        file="jupyter_sandbox_spawner/rules/profiles.py",
        pattern=r"if allowed is None or set\(allowed\) & set\(groups\):",
        replacement="if True:",
        tests="tests/rules/test_profiles.py -k explicit_choice_is_refused",
    ),
    Guard(
        name="profiles: options are a closed set",
        file="jupyter_sandbox_spawner/rules/profiles.py",
        pattern=r"if unknown:",
        replacement="if not unknown and False:",
        tests="tests/rules/test_profiles.py -k options_are_a_closed_set",
    ),
    Guard(
        name="control: admins by their scope only",
        file="jupyter_sandbox_spawner/control/api_public.py",
        pattern=r"if ADMIN_SCOPE not in owner\.scopes:",
        replacement="if not owner.name:",
        tests="tests/programs/test_control_public.py -k without_the_scope",
    ),
    Guard(
        name="control: a server's token is for that server",
        file="jupyter_sandbox_spawner/rules/identity.py",
        pattern=r"return owner == user and [^\n]*",
        replacement="return owner == user",
        tests="tests/programs/test_control_api.py -k token",
    ),
    Guard(
        name="setup: no shared origin off loopback",
        file="jupyter_sandbox_spawner/setup_hub.py",
        pattern=r"if not off_loopback or site\.subdomain_host:",
        replacement="if True:",
        tests="tests/hub/test_setup_hub.py -k off_loopback",
    ),
    Guard(
        name="demo: the users' file is private",
        file="hub_config/demo/authenticator.py",
        pattern=r"if stat\.S_IMODE\(mode\) & 0o077:",
        replacement="if stat.S_IMODE(mode) > 0o777:",
        tests="tests/support/test_demo.py -k others_may_read",
    ),
)

_GRANTS = "jupyter_sandbox_spawner/rules/grants.py"
_SECRET_GUARDS = (
    Guard(
        name="secrets: only what is granted",
        file=_GRANTS,
        pattern=r"if grant\.name == name:",
        replacement="if name:",
        tests="tests/rules/test_grants.py -k only_what_is_granted",
    ),
    Guard(
        name="secrets: only while it runs",
        file=_GRANTS,
        pattern=r"if holder is None or not holder\.runs:",
        replacement="if holder is None:",
        tests="tests/rules/test_grants.py -k server_that_ends",
    ),
    Guard(
        name="secrets: the audit first",
        file="jupyter_sandbox_spawner/control/api_broker.py",
        pattern=r"await self\._parts\.audit\.write\(allowed, security=False\)",
        replacement="_ = allowed",
        tests="tests/programs/test_broker_api.py -k audited_as_static",
    ),
    Guard(
        name="secrets: a name has one spelling",
        file="jupyter_sandbox_spawner/rules/api_filter.py",
        pattern=r"if is_secret_name\(name\):",
        replacement="if name:",
        tests="tests/rules/test_api_filter.py -k no_other_spelling",
    ),
    Guard(
        name="secrets: the environment is put back",
        file="jupyter_sandbox_spawner/singleuser/secret_use.py",
        pattern=r"os\.environ\.pop\(variable, None\)",
        replacement="pass",
        tests="tests/singleuser/test_secret_use.py -k put_back_without_ipython",
    ),
)

GUARDS: tuple[Guard, ...] = (
    *_EGRESS_GUARDS,
    *_GATEWAY_GUARDS,
    *_ISOLATION_GUARDS,
    *DOCKER_GUARDS,
    *_HUB_GUARDS,
    *(Guard(**guard) for guard in runpy.run_path(str(_MLFLOW))["GUARDS"]),
    *_SECRET_GUARDS,
)
