"""Is every spelling of every value found in every message, and is the rest of the message left as it was?"""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.singleuser import redaction
from jupyter_sandbox_spawner.singleuser.spellings import Redactor, spellings

VALUES = st.text(min_size=6, max_size=40).filter(lambda text: len(text.strip()) >= 6)
AROUND = st.text(max_size=20)
MARK = "\ufffc"  # stands for a value, and in none of them


def redactor(value: str) -> Redactor:
    """Of one value."""
    return Redactor(dict.fromkeys(spellings(value), MARK))


@given(VALUES.filter(lambda text: MARK not in text), AROUND, AROUND)
def test_a_value_is_found_in_any_message(value: str, before: str, after: str) -> None:
    """Whatever stands around it, and however the message is packed, the whole is seen to need a search."""
    search = redactor(value)
    for spelled in (value, json.dumps(value)[1:-1], html.escape(value), urllib.parse.quote(_raw(value))):
        text = before + spelled + after
        for ascii_only in (True, False):
            packed = json.dumps({"a": [text]}, ensure_ascii=ascii_only).encode(errors="surrogatepass")
            assert search.is_in(packed)
        assert MARK in search.text(text)
        assert MARK.encode() in search.raw(text.encode(errors="surrogatepass"))


@given(VALUES, st.binary(max_size=20), st.binary(max_size=20))
def test_base64_and_hex_of_something_longer_are_found(value: str, before: bytes, after: bytes) -> None:
    """Wherever the value begins in what was encoded, and whatever follows."""
    search = redactor(value)
    raw = before + _raw(value.strip()) + after
    for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode()):
        assert MARK in search.text(encoded.decode())


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@given(VALUES, st.binary(max_size=60))
def test_only_a_possible_beginning_waits(value: str, raw: bytes) -> None:
    """The end that is held back begins a spelling; what goes out before does not end with one's beginning."""
    search, spelled = redactor(value), [_raw(text) for text in spellings(value)]
    for whole in (raw, raw + _raw(value)[:5]):
        end = search.open_end(whole)
        held = whole[end:]
        assert not held or any(text.startswith(held) and text != held for text in spelled)
        longer = [whole[begin:] for begin in range(end)]
        assert not any(text.startswith(part) and text != part for text in spelled for part in longer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_a_message_without_a_value_is_unchanged(content: dict[str, Any]) -> None:
    """Numbers stay numbers, texts texts, in their order."""
    assert redactor("a-value-that-is-nowhere").content(content) == content


def test_a_long_value_is_found_shortened() -> None:
    """As tracebacks and tables show it, "abc...xyz": at each cut fewer characters than a piece are left."""
    value = "".join(chr(ord("a") + number % 26) + str(number) for number in range(120))
    for kept in range(16, 200):
        shown = redactor(value).text(f"a {value[:kept]}...{value[-kept:]} b")
        head, tail = shown.removeprefix(f"a {MARK}").removesuffix(f"{MARK} b").split("...")
        if kept <= 128:
            assert len(head) < 16 > len(tail)
        assert value[:16] not in shown
    assert redactor(value).text(value) == MARK


def test_words_of_a_sentence_are_no_secret() -> None:
    """Of a value with spaces only the whole is hidden, such as of a document with many common words."""
    value = '{"type": "service_account", "auth_uri": "https://accounts.example/o", "key": "0123456789"}'
    text = '"type": "service_account", "auth_uri"'
    assert redactor(value).text(text) == text
    assert redactor(value).text(value) == MARK


def test_a_mark_is_not_searched_again() -> None:
    """A value that is a word of another's mark does not change the mark."""
    marks = {"first-value": "[secret db/second]", "secret": "[secret x]", "second": "[secret y]"}
    assert Redactor(marks).text("first-value secret") == "[secret db/second] [secret x]"


def test_the_longer_of_two_values_wins() -> None:
    """A value that begins another leaves no rest of it."""
    search = Redactor({"value-1": "A", "value-1-longer": "B"})
    assert (search.text("value-1-longer value-1"), search.raw(b"value-1-longer")) == ("B A", b"B")


class PackedByJson:
    """The part of a kernel's session that is used: one that serialises what it is given."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def pack(self, content: Any) -> bytes:
        """As jupyter_client does."""
        return json.dumps(content, ensure_ascii=False).encode()

    def unpack(self, packed: bytes) -> Any:
        """The other way."""
        return json.loads(packed)

    def serialize(self, message: dict[str, Any], ident: Any = None) -> list[Any]:
        """What would go out: content that is bytes is packed already."""
        content = message["content"]
        return [ident, content if isinstance(content, bytes) else self.pack(content)]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> PackedByJson:
    """A session whose messages are searched for one value."""
    monkeypatch.setattr(redaction, "_state", redaction._State())
    redaction._state.redactor = Redactor(dict.fromkeys(spellings("canary-of-a-session"), "[secret x]"))
    found = PackedByJson()
    redaction._hook(found)
    return found


def stream(text: str) -> dict[str, Any]:
    """A message of a kernel."""
    return {"header": {"msg_type": "stream"}, "metadata": {}, "content": {"name": "stdout", "text": text}}


def test_a_session_sends_names(session: PackedByJson) -> None:
    """In what is serialised, not in the message that the kernel holds; hooking twice is hooking once."""
    redaction._hook(session)
    message = stream("it is canary-of-a-session")
    assert session.serialize(message, b"i") == [b"i", b'{"name": "stdout", "text": "it is [secret x]"}']
    assert message == stream("it is canary-of-a-session")
    assert json.loads(session.serialize(stream("nothing"))[1]) == stream("nothing")["content"]


def test_what_cannot_be_packed_is_the_callers_error(session: PackedByJson) -> None:
    """As without the search: the kernel knows what to do about it."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        session.serialize({**stream(""), "content": {"a": object()}})


@pytest.mark.parametrize("error", [RecursionError, MemoryError, ValueError])
def test_what_cannot_be_searched_is_withheld(
    session: PackedByJson, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A notice of the same type goes out in its place, with the kind of error."""

    def fail(_packed: bytes) -> Any:
        raise error

    monkeypatch.setattr(session, "unpack", fail)
    sent = json.loads(session.serialize(stream("it is canary-of-a-session"))[1])
    assert sent["name"] == "stdout"
    assert error.__name__ in sent["text"]
    assert "canary" not in sent["text"]
