"""Does the hunt find a value however it is spelled?"""

from __future__ import annotations

import base64

import pytest

from tests.support.hunt import Place, hunt, spellings

VALUE = 'p/&+%= "ü" and more of it'


@pytest.mark.parametrize("spelling", spellings(VALUE))
def test_each_spelling_is_found_between_other_bytes(spelling: str) -> None:
    """Whatever stands before and after it."""
    place = Place("log", "some.log", b"before " + spellings(VALUE)[spelling] + b" after")
    assert spelling in {find.spelling for find in hunt({"it": VALUE}, [place])}


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_it_is_found_in_the_base64_of_more(before: bytes) -> None:
    """As a part of a longer text that was encoded as a whole."""
    place = Place("log", "some.log", base64.b64encode(before + VALUE.encode() + b" and what follows"))
    assert hunt({"it": VALUE}, [place])


def test_what_is_not_there_is_not_found() -> None:
    """Another value's spellings do not count."""
    assert hunt({"it": VALUE}, [Place("log", "some.log", b"p/&+%= and less")]) == set()
