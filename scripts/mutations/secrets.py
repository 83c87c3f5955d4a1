"""Which guards of secrets must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_GRANTS = "jupyter_sandbox_spawner/rules/grants.py"
_PROXIED = "jupyter_sandbox_spawner/rules/proxied.py"
_HEADS = "jupyter_sandbox_spawner/rules/proxied_heads.py"
_UPSTREAM = "jupyter_sandbox_spawner/broker/upstream.py"
_ANSWERS = "jupyter_sandbox_spawner/broker/proxy_answers.py"
_EXCHANGES = "jupyter_sandbox_spawner/broker/exchanges.py"

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
    Guard(
        name="proxy: a path has one spelling",
        file=_PROXIED,
        pattern=r"if b\"\.\" in segments or b\"\.\.\" in segments:",
        replacement="if not segments:",
        tests="tests/rules/test_proxied.py -k doubtful_path",
    ),
    Guard(
        name="proxy: who asks is told to nobody outside",
        file=_HEADS,
        pattern=r"kept = \[item for item in _end_to_end\(headers\) if item\[0\] not in _NOT_SENT and",
        replacement="kept = [item for item in _end_to_end(headers) if",
        tests="tests/rules/test_proxied_heads.py -k told_to_the_broker_alone",
    ),
    Guard(
        name="proxy: the secret's header is sent once",
        file=_HEADS,
        pattern=r"_same\(item\[0\]\) != own\]",
        replacement="own]",
        tests="tests/rules/test_proxied_heads.py -k header_is_sent_once",
    ),
    Guard(
        name="proxy: a redirect stays on its host",
        file=_HEADS,
        pattern=r"if not same or \"@\" in there\.netloc or",
        replacement='if "@" in there.netloc or',
        tests="tests/rules/test_proxied_heads.py -k redirect_elsewhere",
    ),
    Guard(
        name="proxy: no redirect is followed",
        file=_UPSTREAM,
        pattern=r"allow_redirects=False",
        replacement="allow_redirects=True",
        tests="tests/programs/test_secrets_proxy.py -k redirect_is_followed",
    ),
    Guard(
        name="proxy: public addresses only",
        file=_UPSTREAM,
        pattern=r"or not is_global\(address\) or is_metadata\(address\) or text in own:",
        replacement=":",
        tests="tests/programs/test_secrets_proxy.py -k own_words",
    ),
    Guard(
        name="proxy: values are taken out of bodies",
        file="jupyter_sandbox_spawner/broker/proxy.py",
        pattern=r"passed = step\.feed\(passed\)",
        replacement="step.feed(passed)",
        tests="tests/programs/test_secrets_proxy.py -k value_never_comes_back",
    ),
    Guard(
        name="proxy: values are taken out of heads",
        file=_ANSWERS,
        pattern=r"return scrubber\.whole\(value\)\.decode",
        replacement="return value.decode",
        tests="tests/programs/test_secrets_proxy.py -k value_in_the_head",
    ),
    Guard(
        name="proxy: compressed answers do not pass",
        file=_ANSWERS,
        pattern=r"if encoding not in \(\"\", \"identity\"\) or transfer != \"chunked\":",
        replacement="if not transfer:",
        tests="tests/programs/test_secrets_proxy.py -k compressed_answer",
    ),
    Guard(
        name="proxy: a host's 401 asks nobody for a password",
        file=_ANSWERS,
        pattern=r"if answer\.status in \(401, 407\):",
        replacement="if answer.status in ():",
        tests="tests/programs/test_secrets_proxy.py -k asks_nobody_for_a_password",
    ),
    Guard(
        name="proxy: a stream ends with its sandbox",
        file=_EXCHANGES,
        pattern=r"if exchange\.sandbox not in running:",
        replacement="if not running and exchange.error:",
        tests="tests/programs/test_secrets_proxy_streams.py -k released_sandbox",
    ),
    Guard(
        name="proxy: a block ends streams",
        file=_EXCHANGES,
        pattern=r"elif self\._blocks\.holds\(exchange\.sandbox\):",
        replacement='elif exchange.sandbox == "":',
        tests="tests/programs/test_secrets_proxy_streams.py -k blocked_sandbox",
    ),
    Guard(
        name="proxy: a permit is one token's",
        file="jupyter_sandbox_spawner/broker/permits.py",
        pattern=r"self\._permit\(\(sandbox, name, hashlib\.sha256\(token\.encode\(\)\)\.digest\(\)\), now\)",
        replacement='self._permit((sandbox, name, b""), now)',
        tests="tests/programs/test_secrets_proxy_streams.py -k permit_is_not_anothers",
    ),
)
