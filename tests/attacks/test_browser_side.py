"""What leaves a sandbox by its user's own browser, where the profile says how much? Attack X02."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import aiohttp
import pytest

from hub_config.demo.visitor import Refusal, Visitor
from tests.support.house import House

Control = Callable[[str, bool], None]
LARGE = 60 << 20


@pytest.fixture(name="bob")
def _bob(house: House) -> Iterator[Visitor]:
    """Bob with a server whose profile keeps downloads back and caps what goes out."""
    if house.sandbox("bob") is not None:
        house.stop("bob")
    house.server("bob", "guarded")
    yield house.visitor("bob")
    house.run("bob", "import pathlib; [path.unlink() for path in pathlib.Path().glob('*.txt')]")
    house.stop("bob")


async def _read(visitor: Visitor, path: str) -> tuple[int, str, int]:
    """Status, code of the refusal and bytes that came of one page or file."""
    count = 0
    async with visitor.session.get(visitor.server(path)) as answer:
        try:
            async for chunk in answer.content.iter_any():
                count += len(chunk)
        except aiohttp.ClientPayloadError:
            return answer.status, "broken off", count
        return answer.status, answer.headers.get("X-Sandbox-Deny", ""), count


@pytest.mark.proves("X02")
def test_x02_a_large_download_ends_at_the_cap(house: House, bob: Visitor, control: Control) -> None:
    """Files are kept back; what an editor may read ends at the day's bytes, also in parts; work is saved."""
    files = {"large.txt": LARGE, "part.txt": 10 << 20, "small.txt": 5}
    house.run("bob", f"for name, size in {files}.items(): open(name, 'w').write('x' * size)")
    small = house.wait(_read(bob, "api/contents/small.txt?content=1"))
    control("an editor reads a file", small[0] == 200)
    assert house.wait(_read(bob, "files/small.txt"))[:2] == (403, "front.downloads_off")
    assert house.wait(_read(bob, "files/small.txt?download=1"))[:2] == (403, "front.downloads_off")
    status, code, count = house.wait(_read(bob, "api/contents/large.txt?content=1"))
    assert (status, code, count < 1000) == (403, "front.bytes_capped", True)
    parts = [house.wait(_read(bob, "api/contents/part.txt?content=1")) for _ in range(6)]
    assert [part[0] for part in parts[:3]] == [200] * 3
    assert parts[-1][:2] == (403, "front.bytes_capped")
    assert sum(part[2] for part in parts) < 40 << 20
    with pytest.raises(Refusal) as caught:
        house.wait(bob.call("GET", bob.server("api/contents/part.txt?content=1")))
    assert (caught.value.status, "may still leave today" in caught.value.reason) == (403, True)
    body = {"type": "file", "format": "text", "content": "kept"}
    saved = house.wait(bob.call("PUT", bob.server("api/contents/saved.txt"), body))
    control("work is saved past the cap", saved["name"] == "saved.txt")
    denials = {event.detail["code"] for event in house.events("front.denied", "bob")}
    assert {"front.downloads_off", "front.bytes_capped"} <= denials
