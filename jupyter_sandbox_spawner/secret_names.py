"""Which names may a secret have, and which variables may be made of it?

Law: a name has one spelling only, which needs no escape in a URL, a file or a policy; nothing is normalised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from .errors import ConfigurationError

__all__ = [
    "ALARMS",
    "check_name",
    "LONGEST_NAME",
    "NAME_RULE",
    "is_field_name",
    "is_secret_name",
    "is_variable_name",
    "reason_against_name",
    "reason_against_variable",
    "variables_of",
]

LONGEST_NAME = 200
NAME_RULE = (
    f"up to {LONGEST_NAME} characters, parts of a-z, 0-9, '.', '_' and '-', joined by '/', as in db/warehouse"
)
# What a sandbox may alarm about: a wrapped token that does not open, is of another making, or holds none.
ALARMS = frozenset(("wrapping.used", "wrapping.wrong_path", "wrapping.no_token"))
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
    """The name as it is. Raises ConfigurationError `secret.name_invalid`, which says what is wrong."""
    why, remedy = reason_against_name(name)
    if not why:
        return name
    shown = name[:80] + ("..." if len(name) > 80 else "")
    raise ConfigurationError(
        f"{shown!r} is not a secret's name: {why}.",
        code="secret.name_invalid",
        field="name",
        remedy=remedy or f"Write {NAME_RULE}.",
    )


def reason_against_name(name: str) -> tuple[str, str]:
    """What is wrong with this name, and the way out where it is a special one; `("", "")` if nothing is."""
    if is_secret_name(name):
        return "", ""
    strange = next((letter for letter in name if not " " <= letter <= "~"), "")
    if not name:
        return "it is empty", "See the names that you may use: %sandbox secrets"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters", f"A name has {LONGEST_NAME} at most."
    if strange:
        what = unicodedata.name(strange, "a control character")
        told = f"it holds U+{ord(strange):04X} ({what})"
        return (
            told,
            "Type it with the letters a-z, or copy it from %sandbox secrets; look-alikes are no letters.",
        )
    if "%" in name:
        return "nothing in it is unescaped", "Write the characters themselves; '%' is none of a name's."
    if ".." in name:
        return "'..' leads nowhere, since a name is no path", "Write the whole name, such as db/warehouse."
    if is_secret_name(name.lower()):
        return "names are in lower case", f"Perhaps you mean {name.lower()}"
    return "it is spelled in another way", ""


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
