"""Which requests and answers are downloads, and how much may still go to browsers?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.models import BrowserPolicy
from jupyter_sandbox_spawner.rules.browser import (
    RESERVE,
    capped_sentence,
    is_attachment,
    is_download,
    length,
    room,
    too_large_sentence,
)

PREFIX = "/user/ada/"


@pytest.mark.parametrize(
    ("path", "download"),
    [
        ("files/data.csv", True),
        ("files/plot.png?_xsrf=x", True),
        ("%66iles/data.csv", True),
        ("/files/data.csv", True),
        ("nbconvert/pdf/work.ipynb", True),
        ("api/contents/data.csv?download=1", True),
        ("lab?a=b&download=1", True),
        ("api/contents/data.csv?content=1", False),
        ("lab/tree/files/data.csv", False),
        ("filesystem/x", False),
        ("static/lab/main.js", False),
    ],
)
def test_a_download_is_known_by_its_address(path: str, download: bool) -> None:
    """Files as they are, notebooks converted, and whatever asks for a download; not what an editor reads."""
    assert is_download((PREFIX + path).encode(), PREFIX) is download


@pytest.mark.parametrize(
    ("target", "prefix"),
    [
        ("/user/%62ob/files/x", "/user/bob/"),
        ("/user/bob%2Ffiles/x", "/user/bob/"),
        ("/user/a@b/files/x", "/user/a%40b/"),
        ("/user/a%40b/files/x", "/user/a%40b/"),
    ],
)
def test_a_download_is_known_however_the_name_is_written(target: str, prefix: str) -> None:
    """What routing takes to the server is judged by the same reading of the path."""
    assert is_download(target.encode(), prefix)


@pytest.mark.parametrize(
    ("value", "attachment"),
    [(b"attachment; filename=x", True), (b" Attachment", True), (b"inline", False), (b"x-attachment", False)],
)
def test_an_attachment_is_known_by_its_header(value: bytes, attachment: bool) -> None:
    """What a browser would keep as a file, whatever its address."""
    assert is_attachment([(b"content-type", b"x"), (b"content-disposition", value)]) is attachment


def test_the_cap_counts_and_saving_has_a_reserve() -> None:
    """At the cap nothing more goes out but answers to what saves, and of these one reserve."""
    policy = BrowserPolicy(bytes_per_day=1000)
    assert (room(policy, 0, b"GET"), room(policy, 1000, b"GET"), room(policy, 5000, b"GET")) == (1000, 0, 0)
    assert room(policy, 1000, b"PUT") == RESERVE
    assert room(policy, 1000 + RESERVE, b"PUT") == 0
    assert room(BrowserPolicy(), 1 << 50, b"GET") is None


@pytest.mark.parametrize(("value", "size"), [(b"12", 12), (b"-1", 0), (b"x", 0), (None, 0)])
def test_an_answer_says_how_long_it_is(value: bytes | None, size: int) -> None:
    """By its header; what says nothing is counted on its way."""
    assert length([] if value is None else [(b"content-length", value)]) == size


def test_what_is_too_large_is_told_with_both_sizes() -> None:
    """How large it is and how much is left."""
    assert (
        too_large_sentence(60 << 20, 1 << 20)
        == "These 60.0 MB are more than the 1.0 MB that may still leave today"
    )


def test_the_sentence_names_the_cap_and_its_end() -> None:
    """A person reads how much it was and when there is more."""
    sentence = capped_sentence(BrowserPolicy(bytes_per_day=5 << 30))
    assert "5.0 GB" in sentence
    assert "00:00 UTC" in sentence
    assert sentence.isascii()
