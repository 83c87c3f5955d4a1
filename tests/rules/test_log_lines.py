"""Can a dead server's log show its user a secret, or do anything but be read?"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.log_lines import LINES, LONGEST_LINE, last_lines

TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"
VAULT, AWS, FORGE = "CAESIJ2kq0aBcDeFgHiJkLmNoP", "IOSFODNN7EXAMPLE", "16C7e42F292c6912E7710c838347Ae178B4a"
# Each with the part that must not be seen.
SECRETS = {
    "hub token": (TOKEN, TOKEN),
    "authorization": ("Authorization: Basic YWRhOnNlY3JldA==", "YWRhOnNlY3JldA"),
    "headers": ("{'Authorization': 'token abc-def', 'X': 1}", "abc-def"),
    "authorization without a colon": ("Authorization Basic dXNlcjpodXNoaHVzaA==", "dXNlcjpodXNo"),
    "basic": ("curl -H 'basic dXNlcjpodXNoaHVzaA=='", "dXNlcjpodXNo"),
    "bearer": ("curl -H 'bearer q.w-e_r'", "q.w-e_r"),
    "cookie": ("Set-Cookie: session=hushhush; Path=/", "hushhush"),
    "vault": (f"hvs.{VAULT}", VAULT),
    "old vault": (f"s.{VAULT[:24]}", VAULT[:24]),
    "aws id": (f"AKIA{AWS}", AWS),
    "aws key": ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    "query": ("GET /lab?token=hushhush&reset HTTP/1.1", "hushhush"),
    "json": ('{"password": "two words"}', "two words"),
    "repr": ("{'client_secret': b'it\\'s hushhush'}", "hushhush"),
    "variable": ("DB_PASSWORD=hush,hush;more", "hush"),
    "option": ("mysql --password hushhush", "hushhush"),
    "url": ("postgresql://ada:hushhush@db/warehouse", "hushhush"),
    "url with a slash in its password": ("http://ada:hush/husher@proxy:3128/", "hush/husher"),
    "url with an at sign in its password": ("amqp://ada:hush@husher@broker", "husher"),
    "jwt": ("eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM", "SflKxwRJSM"),
    "forge": (f"ghp_{FORGE}", FORGE),
    "package registry": (f"npm_{FORGE}", FORGE),
    "search key": (f"AIza{FORGE[:35]}", FORGE[:35]),
    "key": (f"-----BEGIN PRIVATE KEY-----\n{KEY}\n{KEY}\n-----END PRIVATE KEY-----", KEY),
    "key, its beginning cut off": (f"{KEY}\n{KEY}\n-----END RSA PRIVATE KEY-----", KEY),
    "key, its end not written": (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}", KEY),
}
NOISE = st.text(
    st.characters(exclude_categories=("Cs", "L", "N"), exclude_characters="-_+/=.\"'\\:"), max_size=30
)
HIDERS = (
    "\x1b[31m",
    "\x1b]8;;http://x\x07",
    "\N{ZERO WIDTH SPACE}",
    "\x00",
    "\x1b(B",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
)


@given(st.sampled_from(sorted(SECRETS)), NOISE, NOISE, st.sampled_from(HIDERS), st.data())
def test_no_secret_survives(kind: str, before: str, after: str, hider: str, data: st.DataObject) -> None:
    """Whatever stands around a secret and whichever invisible characters cut it, it is not shown."""
    text, secret = SECRETS[kind]
    at = data.draw(st.integers(text.index(secret), text.index(secret) + len(secret)))
    shown = last_lines(f"{before}\n{text[:at]}{hider}{text[at:]}\n{after}")
    assert secret not in shown
    assert secret[:8] not in shown


@given(st.text(max_size=4000))
def test_it_is_plain_text_of_bounded_size(log: str) -> None:
    """Whatever the log is, its lines are printable, few and short, and stay the same when read again."""
    shown = last_lines(log)
    lines = shown.split("\n")
    assert len(lines) <= LINES
    assert all(len(line) <= LONGEST_LINE and line.isprintable() for line in lines)
    assert last_lines(shown).count("\n") == shown.count("\n")


def test_known_values_go_in_every_spelling() -> None:
    """A value that is known is hidden plain, in base64, in a URL and in hexadecimal."""
    shown = last_lines("a b&c d YSBiJmMgZA== a+b%26c+d 6120622663206 61206226632064", ("a b&c d",))
    assert shown.count("[token]") == 4


def test_the_last_lines_are_shown_as_they_are() -> None:
    """An ordinary traceback is shown whole."""
    told = [
        "Traceback (most recent call last):",
        'File "/opt/x.py", line 3',
        "Error: Basic authentication failed",
    ]
    assert last_lines("\n\n".join(told) + "\n") == "\n".join(told)
    assert last_lines("") == ""


def test_a_huge_line_is_named_not_shown() -> None:
    """A line that is too long to be searched is told by its length only."""
    assert last_lines("x" * 70_000 + "\nend") == "(a line of 70000 characters is not shown)\nend"


@pytest.mark.parametrize(
    "piece",
    ["eyJa-", "token-", "password", "\x1b]", "://", "://a@", "basic ", "sk-", 'secret="\\', "a ", "s."],
)
def test_no_log_keeps_the_hub_busy(piece: str) -> None:
    """The worst lines of 64 KiB of log are searched in a moment."""
    log = "\n".join([(piece * 1000)[:1000]] * 64)
    began = time.thread_time()
    last_lines(log)
    assert time.thread_time() - began < 1
