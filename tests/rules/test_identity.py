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
