"""Which header shows a token?"""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from jupyter_sandbox_spawner.rules.identity import shown_token


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("token abc", "abc"),
        ("Bearer  abc ", "abc"),
        ("BEARER abc", "abc"),
        ("Basic abc", ""),
        ("abc", ""),
        ("token", ""),
        ("", ""),
        ("token ab\x00c", ""),
        ("token äbc", ""),
    ],
)
def test_only_a_token_is_shown(header: str, token: str) -> None:
    """The two words that JupyterHub's clients write, in any case; nothing that cannot be a token."""
    assert shown_token({"authorization": header}) == token
    assert shown_token(CIMultiDict({"Authorization": header})) == token


def test_without_the_header_there_is_none() -> None:
    """An empty token, which no caller takes for one."""
    assert shown_token({}) == ""


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Basic c2FuZGJveDphYmM=", "abc"),
        ("basic OmFiYw==", "abc"),
        ("Basic c2FuZGJveDphOmI6Yw==", "a:b:c"),
        ("Basic c2FuZGJveA==", ""),
        ("Basic c2FuZGJveDo=", ""),
        ("Basic !!!!", ""),
        ("Basic c2FuZGJveDphYmM", ""),
        ("Basic w6Q6w6Q=", ""),
        ("Basic c2FuZGJveDphDWI=", ""),
        ("token abc", "abc"),
        ("Digest abc", ""),
    ],
)
def test_basic_shows_a_token_where_it_is_asked_for(header: str, token: str) -> None:
    """git and pip show it as a password; anywhere else Basic shows nothing."""
    assert shown_token({"authorization": header}, basic=True) == token
    assert shown_token({"authorization": header}) == ("abc" if header == "token abc" else "")
