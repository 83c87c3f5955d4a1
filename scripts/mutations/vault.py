"""Which guards keep secrets in Vault each sandbox's own, alive as long as it, and calls of Vault bounded?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_BROKER = "jupyter_sandbox_spawner/broker"
_CLIENT = "jupyter_sandbox_spawner/clients/vault.py"
_STORE = "tests/programs/test_vault_store.py"
_LIVES = "tests/programs/test_vault_lives.py"
_FAULTS = "tests/programs/test_vault_faults.py"
_WAITING = "tests/programs/test_vault_waiting.py"
_LOGIN = "tests/programs/test_vault_login.py"

GUARDS = (
    Guard(
        name="vault: no redirect is followed",
        file=_CLIENT,
        pattern=r"allow_redirects=False",
        replacement="allow_redirects=True",
        tests=f"{_FAULTS} -k follows_a_redirect",
    ),
    Guard(
        name="vault: parts of a path",
        file=_CLIENT,
        pattern=r'if "\.\." in part or not _PART\.fullmatch\(part\):',
        replacement="if not part:",
        tests=f"{_FAULTS} -k could_be_another",
    ),
    Guard(
        name="vault: a call is cut at its deadline",
        file=_CLIENT,
        pattern=r"return await asyncio\.wait_for\(asyncio\.shield\(work\), seconds or self\._deadline\)",
        replacement="return await work",
        tests=f"{_FAULTS} -k dripping",
    ),
    Guard(
        name="vault: the breaker",
        file=_CLIENT,
        pattern=r"if waiting is not None:",
        replacement="if waiting is not None and not token and not what:",
        tests=f"{_FAULTS} -k holds_up_nobody",
    ),
    Guard(
        name="vault: those who wait for a thread leave with the breaker",
        file=_CLIENT,
        pattern=r"found = self\._breaker\.failed_since\(asked_at\)",
        replacement="found = None",
        tests=f"{_WAITING} -k wait_for_a_thread",
    ),
    Guard(
        name="vault: a start that takes too long learns why",
        file=f"{_BROKER}/control_api.py",
        pattern=r"except asyncio\.TimeoutError:",
        replacement="except ZeroDivisionError:",
        tests=f"{_WAITING} -k learns_why",
    ),
    Guard(
        name="vault: a sandbox that the launcher calls dead does not run",
        file="jupyter_sandbox_spawner/control/api_broker.py",
        pattern=r"if _runs\(record\) and record\.id not in dead",
        replacement="if _runs(record)",
        tests="tests/programs/test_control_running.py",
    ),
    Guard(
        name="vault: canonical names",
        file="jupyter_sandbox_spawner/names.py",
        pattern=r"    canonical_username\(name\)\n    if len",
        replacement="    if len",
        tests=f"{_STORE} -k odd_user_never",
    ),
    Guard(
        name="vault: a sandbox's end ends what it holds",
        file=f"{_BROKER}/vault_upkeep.py",
        pattern=r"gone = known - running",
        replacement="gone = known - known",
        tests=f"{_LIVES} -k ends_with_it",
    ),
    Guard(
        name="vault: nothing is renewed without control's word",
        file=f"{_BROKER}/vault_upkeep.py",
        pattern=r"if not self\._runs\(held\.reader\.sandbox\):",
        replacement="if not held.reader.sandbox:",
        tests=f"{_LIVES} -k control_does_not_answer",
    ),
    Guard(
        name="vault: logins of before a crash end",
        file=f"{_BROKER}/vault_upkeep.py",
        pattern=r"await self\._all\.journal\.end\(lost\)",
        replacement="await self._all.journal.end(lost[:0])",
        tests=f"{_LIVES} -k logins_of_before",
    ),
    Guard(
        name="vault: leases outlive the broker",
        file=f"{_BROKER}/vault_upkeep.py",
        pattern=r"for item in own if item\.id not in leased",
        replacement="for item in own if item.id",
        tests=f"{_LIVES} -k outlives_the_broker",
    ),
    Guard(
        name="vault: ends wait on disk",
        file=f"{_BROKER}/vault_upkeep.py",
        pattern=r"self\._end_at\[item\.id\] = self\._all\.clock\(\) \+ pause",
        replacement="await self._all.journal.forget([item.id])",
        tests=f"{_FAULTS} -k ends_later",
    ),
    Guard(
        name="vault: a revoked token is replaced",
        file=f"{_BROKER}/vault_store.py",
        pattern=r'if error\.code != "vault\.denied" or held is None or not await self\._is_gone\(held\):',
        replacement="if error.code:",
        tests=f"{_STORE} -k somebody_revoked",
    ),
    Guard(
        name="vault: where a secret id was wrapped",
        file=f"{_BROKER}/own_login.py",
        pattern=r"if path != expected:",
        replacement="if not path:",
        tests=f"{_LOGIN} -k wrapped_elsewhere",
    ),
    Guard(
        name="vault: namespaces that are passed over",
        file=f"{_BROKER}/own_login.py",
        pattern=r"await self\.check_namespace\(\)\n",
        replacement="pass\n",
        tests=f"{_LOGIN} -k pass_over",
    ),
    Guard(
        name="vault: a key is known before it signs",
        file="jupyter_sandbox_spawner/rules/signing_keys.py",
        pattern=r"return key\.made_at if key\.at_once else key\.made_at \+ times\.ahead",
        replacement="return key.made_at",
        tests="tests/rules/test_vault_rules.py -k known_before",
    ),
    Guard(
        name="secrets: cut off",
        file=f"{_BROKER}/secrets_api.py",
        pattern=r"if self\._blocks\.holds\(sandbox\):\n            await self\._control",
        replacement="if not sandbox:\n            await self._control",
        tests="tests/programs/test_broker_cutting.py -k kill_switch",
    ),
    Guard(
        name="secrets: cut off while a read is on its way",
        file=f"{_BROKER}/secrets_api.py",
        pattern=r"if self\._blocks\.holds\(sandbox\):\n            # An admin",
        replacement="if not sandbox:\n            # An admin",
        tests="tests/programs/test_broker_cutting.py -k on_its_way",
    ),
    Guard(
        name="vault: with a token its leases are over",
        file=f"{_BROKER}/credentials.py",
        pattern=r'if other is held or \(held\.kind == "token" and other\.accessor == held\.accessor\):',
        replacement="if other is held:",
        tests="tests/programs/test_vault_edges.py -k given_out_no_more",
    ),
    Guard(
        name="vault: a block is forgotten for those that were asked about",
        file=f"{_BROKER}/vault_upkeep.py",
        pattern=r"self\._blocks\.forget\(gone\)",
        replacement="self._blocks.forget(self._blocks.ids - running)",
        tests="tests/programs/test_vault_edges.py -k while_control_answers",
    ),
    Guard(
        name="secrets: required ones decide a start",
        file="jupyter_sandbox_spawner/control/preparing.py",
        pattern=r"        if required:",
        replacement="        if not record.id:",
        tests="tests/programs/test_broker_cutting.py -k required_secret",
    ),
    Guard(
        name="secrets: a value for the proxy only",
        file="jupyter_sandbox_spawner/rules/grants.py",
        pattern=r'if delivery == "value" and grant\.delivery == "proxy":',
        replacement='if delivery == "" and grant.delivery == "proxy":',
        tests="tests/rules/test_grants.py -k for_the_proxy",
    ),
)
