"""Are certificates and their authority changed without one refused or cut connection?"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.certificate_files import SETTLED, begin, finish, look, make, renew
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.wires.tls import TlsFiles
from tests.support.certificates import HOST, echo, made, moment, say

Control = Callable[[str, bool], None]


def stages(top: Path) -> dict[str, Path]:
    """A site's certificates as they were before, between and after a change of the authority."""
    place = made(top / "c")
    found = {}
    for name, change in (
        ("before", lambda: None),
        ("between", lambda: begin(place, moment())),
        ("after", lambda: finish(place, moment(), True)),
    ):
        change()
        found[name] = Path(shutil.copytree(place, top / name))
    return found


async def meets(listener: Path, caller: Path) -> bool:
    """Does a gateway with these files serve a hub with those?"""
    async with echo(TlsFiles(listener / "gateway")) as port:
        try:
            return await say(port, TlsFiles(caller / "hub").client_context()) == "hub"
        except ssl.SSLCertVerificationError:
            return False


async def test_programs_may_get_each_step_in_any_order(tmp_path: Path, control: Control) -> None:
    """Who has a step and who has not know one another, both ways; only two steps apart they do not."""
    stage = stages(tmp_path)
    for one, other in (("before", "between"), ("between", "after")):
        assert await meets(stage[one], stage[other])
        assert await meets(stage[other], stage[one])
    control("two steps apart the caller is strange", not await meets(stage["after"], stage["before"]))


async def test_a_sandbox_of_before_still_knows_the_gateway(tmp_path: Path, control: Control) -> None:
    """A pod keeps the authority that it started with; the bridge makes it know the gateway to the end."""
    stage = stages(tmp_path)
    pod = ssl.create_default_context(cafile=str(stage["before"] / "launcher/ca.pem"))
    for name in ("before", "between", "after"):
        async with echo(TlsFiles(stage[name] / "gateway"), clients=False) as port:
            assert await say(port, pod) == "anybody"
    stranger = made(tmp_path / "other")
    async with echo(TlsFiles(stranger / "gateway"), clients=False) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await say(port, pod)
    control("the old authority is trusted by no program", len(look(stage["after"]).authorities) == 1)


async def test_nothing_is_refused_while_all_is_changed_under_traffic(tmp_path: Path) -> None:
    """Open connections go on and new ones are served, through renewals and a change of the authority."""
    place = made(tmp_path / "c")
    gateway, hub = TlsFiles(place / "gateway"), TlsFiles(place / "hub")
    served = asyncio.Semaphore(0)

    async def traffic() -> None:
        while True:
            assert await say(port, hub.client_context()) == "hub"
            served.release()

    async def twenty() -> None:
        for _ in range(20):
            await served.acquire()

    async def still_served() -> None:
        waiting = asyncio.create_task(twenty())
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async with echo(gateway) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=hub.client_context(), server_hostname=HOST
        )
        assert await reader.readline() == b"hub\n"
        tasks = [asyncio.create_task(traffic()) for _ in range(4)]
        for change in (renew, begin, renew, lambda where, now: finish(where, now, True), renew):
            await still_served()
            await asyncio.to_thread(change, place, moment())
            await still_served()
            writer.write(b"still\n")
            assert await reader.readline() == b"still\n"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        writer.close()
    assert len(gateway.authorities) == 1


async def test_a_context_of_before_the_change_opens_nothing_after_it(tmp_path: Path) -> None:
    """Who holds the old key is refused once the old authority is gone, though it was served before."""
    place = made(tmp_path / "c")
    old = TlsFiles(place / "hub").client_context()
    async with echo(TlsFiles(place / "gateway")) as port:
        assert await say(port, old) == "hub"
        begin(place, moment())
        assert await say(port, old) == "hub"
        finish(place, moment(), True)
        assert await say(port, old) == ""


def test_the_old_authority_does_not_go_too_early(tmp_path: Path) -> None:
    """Within ten minutes of a change finishing is refused, unless the admin says that all have it."""
    place = made(tmp_path / "c")
    begin(place, moment())
    with pytest.raises(ConfigurationError) as caught:
        finish(place, moment(), False)
    assert caught.value.code == "certificates.too_early"
    assert len(look(place).authorities) == 2
    finish(place, moment() + SETTLED + timedelta(seconds=2), False)
    assert len(look(place).authorities) == 1


@pytest.mark.parametrize("change", ["begin", "finish"])
def test_an_interrupted_change_is_ended_by_asking_again(tmp_path: Path, change: str) -> None:
    """Wherever it is cut off, the same command brings every program to where it should be."""
    act: Callable[[Path], object] = (
        (lambda where: begin(where, moment()))
        if change == "begin"
        else (lambda where: finish(where, moment(), True))
    )
    place = made(tmp_path / "c")
    if change == "finish":
        begin(place, moment())
    before = Path(shutil.copytree(place, tmp_path / "before"))
    act(place)
    for name in ("gateway", "hub"):  # these two were not reached, and of one a half
        shutil.rmtree(place / name)
        shutil.copytree(before / name, place / name)
    shutil.copy(place / "control/key.pem", place / "hub/key.pem")
    assert act(place)
    held = look(place)
    assert len({(place / item.own.program / "ca.pem").read_bytes() for item in held.programs}) == 1
    with pytest.raises(ConfigurationError) as caught:
        act(place)
    assert caught.value.code == "certificates.overlap"


def test_a_second_change_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    """Three authorities never overlap, as the oldest would be cut off by the newest."""
    place = made(tmp_path / "c")
    begin(place, moment())
    with pytest.raises(ConfigurationError) as caught:
        begin(place, moment())
    assert (caught.value.code, "--finish" in caught.value.remedy) == ("certificates.overlap", True)


def test_making_again_renews_what_is_due_alone(tmp_path: Path) -> None:
    """A certificate that has two thirds of its life behind it is made anew, with the names it had."""
    place = made(tmp_path / "c", moment() - timedelta(days=300))
    shutil.rmtree(place / "hub")
    make(place, "jupyter-sandbox", {}, moment() - timedelta(days=10))
    done = make(place, "jupyter-sandbox", {}, moment())
    assert "hub: renewed" not in done
    assert made_names(place) == {"gateway", "launcher", "hub", "control", "broker", "tracking"}
    assert HOST in next(item.hosts for item in look(place).programs if item.own.program == "gateway")


def made_names(place: Path) -> set[str]:
    """The programs whose certificate was made or renewed in the last month."""
    recent = moment() - timedelta(days=30)
    return {item.own.program for item in look(place).programs if item.own.begins > recent}
