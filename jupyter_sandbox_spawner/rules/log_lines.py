"""What of a dead server's log may its user see? The last lines, as plain text without secrets.

Law: a server chooses every byte of its log. Escapes and invisible characters go first, then secrets, then
what is too long: so no escape hides a secret, and no cut leaves half of one. A line too long to be searched
quickly is not shown: this runs on the hub's one thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .scrub import forms_of

__all__ = ["LINES", "LONGEST_LINE", "last_lines"]

LINES = 10
LONGEST_LINE = 200  # characters
_SEARCHED_LINE = 1000  # characters
_SEARCHED = 200  # lines before the end, in which a block of a private key may begin
_HIDDEN = "[secret]"
_KNOWN = "[token]"
_BREAKS = re.compile("\r\n?|[\x85\u2028\u2029]")
# ref: ECMA-48; strings (OSC, DCS, PM, APC, SOS) end by BEL or ST, or here at the line's end, else they would
# swallow what follows.
_ESCAPES = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)?"
    r"|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]?|\x1b[ -/]{0,16}[0-~]?"
)
_KEY = r"-----(?:{}) [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----"
_NAMED = (
    r"passw(?:or)?d|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|account[_-]?key|credentials?|signature|x-amz-signature|_?xsrf|session[_-]?id|client[_-]?assertion|sig"
)
_VALUE = r""""(?:[^"\\\n]|\\.){0,8192}"?|'(?:[^'\\\n]|\\.){0,8192}'?|[^\s&]{1,8192}"""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)\b([\"']?\s{0,8}[:=]).*"),
        r"\1\2 " + _HIDDEN,
    ),
    (re.compile(r"(?i)\bbearer\s{1,8}[^\s\"',;]{1,8192}"), f"Bearer {_HIDDEN}"),
    (re.compile(r"(?i)\bbasic\s{1,8}(?!authentication\b)[\w+/=-]{8,8192}"), f"Basic {_HIDDEN}"),
    (re.compile(r"(?i)\btoken\s{1,8}[\w.~+/=-]{16,8192}"), f"token {_HIDDEN}"),
    # To the last @: who forgot to escape a password has / and @ in it.
    (re.compile(r"(?<=://)[^\s\"'<>]{1,4096}@"), _HIDDEN + "@"),
    (
        re.compile(
            rf"(?i)({_NAMED})([\w-]{{0,40}}[\"']?\]?\s{{0,8}}(?:=>|:=|=|:)\s{{0,8}}[bBrRuUfF]?)(?:{_VALUE})"
        ),
        r"\1\2" + _HIDDEN,
    ),
    (re.compile(r"(?i)(--?(?:password|token|secret|api-key)\s{1,8})\S{1,8192}"), r"\1" + _HIDDEN),
    # Vault and OpenBao: service, batch and recovery tokens, also in the old spelling.
    (re.compile(r"(?<![\w.])(?:hv)?[sbr]\.[A-Za-z0-9_-]{20,8192}"), _HIDDEN),
    (re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"), _HIDDEN),
    (re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{4,8192}\.[\w-]{4,8192}(?:\.[\w-]{0,8192}){0,3}"), _HIDDEN),
    (
        re.compile(
            r"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|sk-|hf_|npm_|pypi-|AIza)[\w-]{16,8192}"
        ),
        _HIDDEN,
    ),
    # The hub's tokens are 32 hexadecimal digits; longer ones are keys or digests, which nobody misses here.
    (re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{32,8192}(?![0-9a-z])"), _KNOWN),
)
_BEGIN, _END = re.compile(_KEY.format("BEGIN")), re.compile(_KEY.format("END"))
_BASE64_LINE = re.compile(r"\s{0,64}[\"']?[A-Za-z0-9+/=]{16,}(?:\\n)?[\"',]{0,2}\s{0,64}")


def last_lines(log: str, secrets: Iterable[str] = ()) -> str:
    """The end of a log: at most LINES lines of LONGEST_LINE characters, joined by newlines.

    `secrets` are values known to be secret, hidden in every spelling that `scrub.forms_of` knows.
    """
    lines = _BREAKS.sub("\n", log).split("\n")[-_SEARCHED:]
    lines = [line if len(line) <= _SEARCHED_LINE else _too_long(line) for line in lines]
    text = _without_values("\n".join(_plain(line) for line in lines), secrets)
    kept = [" ".join(line.split()) for line in _without_keys(text.split("\n"))]
    shown = [line for line in kept if line][-LINES:]
    return "\n".join(_ending(_without_secrets(line)) for line in shown)


def _plain(line: str) -> str:
    """No terminal escapes, and no character that is invisible or changes how others are shown."""
    if line.isprintable():
        return line
    return "".join(_shown(letter) for letter in _ESCAPES.sub("", line))


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else ""


def _too_long(line: str) -> str:
    return f"(a line of {len(line)} characters is not shown)"


def _without_values(text: str, secrets: Iterable[str]) -> str:
    raw = text.encode(errors="replace")
    for secret in secrets:
        for form in forms_of(secret) if secret else ():
            raw = raw.replace(form, _KNOWN.encode())
    return raw.decode(errors="replace")


def _without_keys(lines: list[str]) -> list[str]:
    """Blocks of private keys go as a whole, also where the log's cut took their first or last line."""
    found: list[str] = []
    inside = False
    for line in lines:
        begins, ends = _BEGIN.search(line), _END.search(line)
        if ends and not inside and not begins:
            while found and _BASE64_LINE.fullmatch(found[-1]):
                found.pop()
        if begins:
            found.append(f"{line[: begins.start()]}{_HIDDEN}")
        elif ends:
            found.append(_HIDDEN if not inside else "")
            inside = False
            continue
        elif not inside:
            found.append(line)
        inside = (inside or begins is not None) and ends is None
    return found


def _without_secrets(line: str) -> str:
    for pattern, instead in _PATTERNS:
        line = pattern.sub(instead, line)
    return line


def _ending(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else "..." + line[3 - LONGEST_LINE :]
