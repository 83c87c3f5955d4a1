"""Which guards of secrets must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_GRANTS = "jupyter_sandbox_spawner/rules/grants.py"

GUARDS = (
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
    Guard(
        name="redaction: messages",
        file="jupyter_sandbox_spawner/singleuser/redaction.py",
        pattern=r"return redactor\.content\(session\.unpack\(packed\)\)",
        replacement="return packed",
        tests="tests/singleuser/test_spellings.py -k session_sends_names",
    ),
    Guard(
        name="redaction: withheld",
        file="jupyter_sandbox_spawner/singleuser/redaction.py",
        pattern=r"return withheld\(message, type\(error\)\.__name__\) if part == \"content\" else \{\}",
        replacement="return message[part]",
        tests="tests/singleuser/test_spellings.py -k searched_is_withheld",
    ),
    Guard(
        name="redaction: descriptors",
        file="jupyter_sandbox_spawner/singleuser/redaction_pipes.py",
        pattern=r"clean = redactor\.raw\(raw\)",
        replacement="clean = raw",
        tests="tests/singleuser/test_redaction_pipes.py -k two_writes",
    ),
    Guard(
        name="redaction: values cut by a chunk",
        file="jupyter_sandbox_spawner/singleuser/redaction_pipes.py",
        pattern=r"end = redactor\.open_end\(clean\) if more else len\(clean\)",
        replacement="end = len(clean)",
        tests="tests/singleuser/test_redaction_pipes.py -k two_writes",
    ),
)
