"""Do the links of a package index lead back to where a client got them from, and no others?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.rules.index_links import IndexLinks, is_index_page

PREFIX = "/p/"


@pytest.mark.parametrize("step", [1, 5, 1000])
@pytest.mark.parametrize(
    ("page", "becomes"),
    [
        ('<a href="/x/a.whl#sha256=1">a</a>', '<a href="/p/x/a.whl#sha256=1">a</a>'),
        ("<a HREF='https://pip.example/x'>a</a>", "<a HREF='/p/x'>a</a>"),
        ('<a href="https://pip.example:443/x">a', '<a href="/p/x">a'),
        ('{"files":[{"url":"https://pip.example/x","a":1}]}', '{"files":[{"url":"/p/x","a":1}]}'),
        ('{"url": "/x"}', '{"url": "/p/x"}'),
        ('<a href="../../x">', '<a href="../../x">'),
        ('<a href="//other.example/x">', '<a href="//other.example/x">'),
        ('<a href="https://other.example/x">', '<a href="https://other.example/x">'),
        ('<a href="https://pip.example.evil/x">', '<a href="https://pip.example.evil/x">'),
        ('<a href="http://pip.example/x">', '<a href="http://pip.example/x">'),
        ("see https://pip.example/x, or /x", "see https://pip.example/x, or /x"),
        ("<p>" + "y" * 70_000, "<p>" + "y" * 70_000),
    ],
)
def test_links_to_the_host_lead_back(page: str, becomes: str, step: int) -> None:
    """However a page is cut into chunks; text and other hosts stay as they are."""
    links = IndexLinks("pip.example", PREFIX)
    data = page.encode()
    out = b"".join(links.feed(data[at : at + step]) for at in range(0, len(data), step)) + links.rest()
    assert out.decode() == becomes


def test_a_port_of_the_host_is_part_of_it() -> None:
    """A host with a port is another than the one without."""
    links = IndexLinks("pip.example:8443", PREFIX)
    page = b'<a href="https://pip.example:8443/x"><a href="https://pip.example/x">'
    assert links.feed(page) + links.rest() == b'<a href="/p/x"><a href="https://pip.example/x">'


@pytest.mark.parametrize(
    ("content_type", "page"),
    [
        ("text/html; charset=utf-8", True),
        ("application/vnd.pypi.simple.v1+json", True),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_only_pages_are_read(content_type: str, page: bool) -> None:
    """A package passes as it is."""
    assert is_index_page(content_type) == page
