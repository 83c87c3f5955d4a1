"""Is a value taken out of a stream, wherever it is cut, and nothing else?"""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.scrub import Scrubber, forms_of

VALUE = 's3cr&t/"+=\u00e9 '
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=6, max_size=30)


def through(scrubber: Scrubber, text: bytes, step: int) -> bytes:
    """What comes out when the text goes in by pieces."""
    out = b"".join(scrubber.feed(text[at : at + step]) for at in range(0, len(text), step))
    return out + scrubber.rest()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("number", range(len(forms_of(VALUE))))
def test_every_form_is_found_wherever_it_is_cut(step: int, number: int) -> None:
    """It becomes asterisks of the same number, and what stands around it stays."""
    form = forms_of(VALUE)[number]
    got = through(Scrubber([VALUE]), b"before|" + form + b"|after|" + form, step)
    assert form not in got
    assert got.startswith(b"before|*")
    assert len(got) == 14 + 2 * len(form)


@pytest.mark.parametrize(
    "shown",
    [
        lambda value: value.encode(),
        lambda value: quote(value, safe="").encode(),
        lambda value: quote(value).lower().encode() if value.islower() else quote(value).encode(),
        lambda value: quote_plus(value).encode(),
        lambda value: json.dumps({"a": value}).encode(),
        lambda value: json.dumps({"a": value}, ensure_ascii=False).encode(),
        lambda value: html.escape(value).encode(),
        lambda value: value.encode().hex().encode(),
        lambda value: base64.b64encode(f"user:{value}".encode()),
        lambda value: base64.b64encode(f"me:{value}:more".encode()),
        lambda value: base64.urlsafe_b64encode(f"u:{value}".encode()),
        lambda value: value.encode("utf-16-le"),
    ],
)
def test_the_usual_spellings_are_known(shown: object) -> None:
    """As servers write a value into pages, documents, logs and headers."""
    text = shown(VALUE)  # type: ignore[operator]
    got = through(Scrubber([VALUE]), text, 5)
    assert b"******" in got
    assert text != got


@given(TEXTS, st.binary(max_size=200), st.integers(1, 50))
def test_no_text_gets_a_value_through(value: str, around: bytes, step: int) -> None:
    """Whatever stands around it and however it is cut; lengths stay."""
    text = around + value.encode() + around
    got = through(Scrubber([value]), text, step)
    assert value.encode() not in got
    assert len(got) == len(text)


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_what_holds_no_value_is_unharmed(text: bytes, step: int) -> None:
    """Any bytes pass as they are."""
    scrubber = Scrubber(["quite-a-long-value-that-no-noise-holds"])
    assert through(scrubber, text, step) == text
    assert scrubber.found == 0


def test_the_delay_tells_nothing_of_a_value() -> None:
    """As many bytes are held back of the beginning of a value as of anything else."""
    right, wrong = Scrubber(["abcdefghij"]), Scrubber(["abcdefghij"])
    assert len(right.feed(b"x" * 100 + b"abcdefghi")) == len(wrong.feed(b"x" * 100 + b"zzzzzzzzz"))


def test_several_values_are_found_in_one_stream() -> None:
    """Each of them, also where one is the beginning of another."""
    got = through(Scrubber(["secret-one", "secret-one-and-two"]), b"secret-one-and-two secret-one", 4)
    assert got == b"*" * 18 + b" " + b"*" * 10


@given(st.text("abc", min_size=1, max_size=6), st.text("abc", max_size=40), st.integers(1, 9))
def test_values_that_overlap_leave_nothing(value: str, text: str, step: int) -> None:
    """Where values stand in and across each other, every byte of each of them is replaced."""
    values = [value * 3, value * 2 + "a"]
    got = through(Scrubber(values), text.encode(), step).decode()
    for one in values:
        at = text.find(one)
        while at >= 0:
            assert got[at : at + len(one)] == "*" * len(one)
            at = text.find(one, at + 1)
