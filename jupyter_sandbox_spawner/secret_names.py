"""Which names may a secret have, and which variables may be made of it?

Law: a name has one spelling only, which needs no escape in a URL, a file or a policy; nothing is normalised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .errors import ConfigurationError

__all__ = [
    "check_name",
    "LONGEST_NAME",
    "NAME_RULE",
    "is_field_name",
    "is_secret_name",
    "is_variable_name",
    "reason_against_variable",
    "variables_of",
]

LONGEST_NAME = 200
NAME_RULE = (
    f"up to {LONGEST_NAME} characters, parts of a-z, 0-9, '.', '_' and '-', joined by '/', as in db/warehouse"
)
_PART = r"[a-z0-9][a-z0-9._-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LOADER = "decides which code programs load, so a value there could run code in your name"
_WAY_OUT = "decides where traffic goes, so a value there could lead it elsewhere"
_OWN = "is how this server is reached and known"
_RESERVED = (
    (r"PATH|HOME|USER|LOGNAME|SHELL|IFS|ENV|TMPDIR|CLASSPATH|PROMPT_COMMAND|BASH_(ENV|FUNC_.*)", _LOADER),
    (r"(LD|DYLD|GCONV)_.*|GLIBC_TUNABLES|(PYTHON|IPYTHON|PERL5).*|RUBY(LIB|OPT)", _LOADER),
    (r"NODE_(OPTIONS|PATH)|(_JAVA|JDK_JAVA|JAVA_TOOL)_OPTIONS|R_(HOME|LIBS|PROFILE|ENVIRON).*", _LOADER),
    (r"GIT_(SSH|EXEC|ASKPASS|CONFIG|EDITOR|PAGER|TEMPLATE|EXTERNAL|DIR|PROXY).*|SSH_A.*", _LOADER),
    (r"EDITOR|VISUAL|PAGER|BROWSER", _LOADER),
    (r".*_PROXY|AWS_ENDPOINT.*|AWS_CONFIG_FILE|(AWS|REQUESTS|CURL)_CA_BUNDLE|SSL_CERT_.*", _WAY_OUT),
    (r"NODE_EXTRA_CA_CERTS|CURL_HOME", _WAY_OUT),
    (r"(JUPYTER|JUPYTERHUB|JPY|SANDBOX)(_.*)?", _OWN),
)
_AWS = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}


def is_secret_name(text: str) -> bool:
    """Is it a name by NAME_RULE? `..`, escapes, capitals and look-alikes of other alphabets are not."""
    return len(text) <= LONGEST_NAME and ".." not in text and _NAME.fullmatch(text) is not None


def check_name(name: str) -> str:
    """The name as it is. Raises ConfigurationError `secret.name_invalid`."""
    if is_secret_name(name):
        return name
    raise ConfigurationError(
        f"{name[:80]!r} is not a secret's name.",
        code="secret.name_invalid",
        field="name",
        remedy=f"Write {NAME_RULE}.",
    )


def is_field_name(text: str) -> bool:
    """May a part of a secret be called that? Letters, digits, `_`, `.` and `-`, at most 64."""
    return _FIELD.fullmatch(text) is not None


def is_variable_name(text: str) -> bool:
    """Is it the name of an environment variable?"""
    return _VARIABLE.fullmatch(text) is not None


def reason_against_variable(name: str) -> str:
    """Why no secret may be in this variable, to be read after its name; "" if one may."""
    upper = name.upper()
    return next((why for pattern, why in _RESERVED if re.fullmatch(pattern, upper)), "")


def variables_of(name: str, kind: str, fields: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Variable to field: what the grant says, else `DB_WAREHOUSE` for a secret with the one field `value`,
    `DB_WAREHOUSE_PASSWORD` for one of several, and boto3's own names for kind `aws`.
    """
    if given:
        return dict(given)
    known = list(fields)
    if kind == "aws":
        return {variable: field for variable, field in _AWS.items() if field in known}
    stem = _upper(name)
    if known == ["value"]:
        return {stem: "value"}
    return {f"{stem}_{_upper(field)}": field for field in known}


def _upper(text: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", text.upper())
