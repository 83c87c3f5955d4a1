"""Do the real wires take changed certificates under traffic, and say to users and admins what is wrong?"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.admin.certificate_files import begin, finish, make, renew
from jupyter_sandbox_spawner.clients.unix_http import UnixClient
from jupyter_sandbox_spawner.errors import UnreachableError
from jupyter_sandbox_spawner.hub.permission import control_away
from jupyter_sandbox_spawner.serving import listening_socket, private_directory
from jupyter_sandbox_spawner.wires.counts import Counts
from jupyter_sandbox_spawner.wires.dial import Far
from jupyter_sandbox_spawner.wires.outward import Outward
from jupyter_sandbox_spawner.wires.tls import TlsFiles
from tests.programs.wires_street import GATEWAY_NAME, HOSTS, Street, eventually, street
from tests.support.certificates import HOST, echo, made, moment

Control = Callable[[str, bool], None]
YEAR = timedelta(days=365)


@contextlib.asynccontextmanager
async def launcher(path: str) -> AsyncIterator[None]:
    """Something that answers at the launcher's socket."""

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"well": True})

    private_directory(str(Path(path).parent), 0o700)
    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listening_socket(path)).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def changed_under(call: Callable[[], Awaitable[object]], place: Path) -> None:
    """Renew, hand over and finish while four callers call; the first call that fails ends it."""
    served = asyncio.Semaphore(0)

    async def traffic() -> None:
        while True:
            await call()
            served.release()

    async def calls() -> None:
        for _ in range(15):
            await served.acquire()

    async def still_served() -> None:
        waiting = asyncio.create_task(calls())
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    tasks = [asyncio.create_task(traffic()) for _ in range(4)]
    for change in (renew, begin, renew, lambda where, now: finish(where, now, True), renew):
        await still_served()
        await asyncio.to_thread(change, place, moment())
        await still_served()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def bought(town: Street, sandbox: str) -> bool:
    """Has the pod's link reached the gateway and bought its key?"""
    async with town.pods() as pods:
        return (await pods.inventory())[sandbox].used


@pytest.mark.timeout(300)  # three programs start, on a machine that may be busy
async def test_real_wires_refuse_nothing_while_all_is_changed(tmp_path: Path) -> None:
    """Calls from the hub's machine to the launcher's all arrive, through renewals and a new authority.

    A sandbox's link that knows only the authority of before reaches the gateway after it is gone.
    """
    place = tmp_path / "c"
    names = {"launcher": [HOSTS["launcher"]], "gateway": [GATEWAY_NAME, HOSTS["gateway"]]}
    make(place, "jupyter-sandbox", names, moment())
    old = (place / "gateway/ca.pem").read_bytes()
    async with street() as town:
        for program in ("hub", "launcher", "gateway"):
            town.machine(program, place / program)
            await town.wires(program)
        async with (
            launcher(town.machine("launcher").launcher_socket),
            UnixClient("launcher", town.machine("hub").launcher_socket) as client,
        ):
            await changed_under(lambda: client.call("GET", "/health"), place)
        for program in ("hub", "launcher"):
            assert town.log_of(program).count("new connections take them") >= 5
        known = SimpleNamespace(write_to_path=lambda path: Path(path).write_bytes(old))
        town.certificates.authority = SimpleNamespace(cert_pem=known)  # type: ignore[assignment]
        sandbox, ticket = await town.pod()
        town.link(sandbox, ticket)
        await eventually(lambda: bought(town, sandbox), lambda: town.log(f"link-{sandbox}"))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return moment() + self.ahead


@pytest.fixture
def socket_path() -> Iterator[str]:
    """A short path for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield f"{directory}/launcher.sock"


@contextlib.asynccontextmanager
async def wire(path: str, files: TlsFiles, port: int, name: str) -> AsyncIterator[UnixClient]:
    """A wire to a launcher that listens at a port of this machine, and its client."""
    far = Far("127.0.0.1", port, name, files.client_context)
    outward = Outward("launcher", "launcher", far, files, Counts(asyncio.get_running_loop().time))
    task = asyncio.create_task(outward.serve(listening_socket(path)))
    try:
        async with UnixClient("launcher", path) as client:
            yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        os.unlink(path)


async def refusal(client: UnixClient) -> UnreachableError:
    """What somebody reads who waits for a server."""
    with pytest.raises(UnreachableError) as caught:
        await client.call("POST", "/sandboxes", {"spec": "x" * 100_000})
    return caught.value


OWN = [
    (400, "certificates.expired", "a certificate of theirs has expired", "The certificate of hub ended on"),
    (1900, "certificates.authority_expired", "the authority of their", "The site's authority ended on"),
    (-1, "certificates.clock", "the clocks of its machines differ", "and the clock here says"),
]


@pytest.mark.parametrize(("days", "code", "user", "admin"), OWN)
async def test_what_ended_here_is_said_to_user_and_admin(
    tmp_path: Path,
    socket_path: str,
    caplog: pytest.LogCaptureFixture,
    days: int,
    code: str,
    user: str,
    admin: str,
) -> None:
    """When a program's own certificate, its authority or its clock fails it, each has a sentence for both."""
    place, clock = made(tmp_path / "c"), Clock()
    files = TlsFiles(place / "hub", clock=clock)
    async with (
        echo(TlsFiles(place / "launcher")) as port,
        wire(socket_path, files, port, "launcher") as client,
    ):
        clock.ahead = timedelta(days=days)
        error = await refusal(client)
    assert (error.code, user in error.message, "files are kept" in error.remedy) == (code, True, True)
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(admin in line for line in logged), logged
    start = control_away(error)
    assert start.message.startswith(
        "No server can be started now. The site's programs cannot reach one another"
    )


@pytest.mark.parametrize(
    ("years", "name", "code", "admin"),
    [
        (-2.0, "launcher", "certificates.expired", "certificate of launcher, or its authority, has ended"),
        (1.0, "launcher", "certificates.clock", "certificate of launcher is not yet valid by the clock here"),
        (0.0, HOST, "certificates.name", "without the name that was dialled"),
    ],
)
async def test_what_is_wrong_there_is_said_to_user_and_admin(
    tmp_path: Path,
    socket_path: str,
    caplog: pytest.LogCaptureFixture,
    years: float,
    name: str,
    code: str,
    admin: str,
) -> None:
    """What the other machine shows is checked here, and each fault has a sentence for both."""
    made(tmp_path / "c", moment() + years * YEAR)
    far = TlsFiles(tmp_path / "c/launcher", clock=lambda: moment() + years * YEAR)
    fresh = make_hub(tmp_path / "c") if years else tmp_path / "c/hub"
    async with echo(far) as port, wire(socket_path, TlsFiles(fresh), port, name) as client:
        error = await refusal(client)
    assert error.code == code
    assert "launcher" not in error.message or "jupyter-sandbox-admin" not in str(error)
    assert any(admin in record.getMessage() for record in caplog.records)


def make_hub(place: Path) -> Path:
    """The hub's own certificate holds now, and is of another authority: times are looked at as well."""
    other = made(place.parent / "other")
    trusted = (other / "hub/ca.pem").read_bytes() + (place / "hub/ca.pem").read_bytes()
    (other / "hub/ca.pem").write_bytes(trusted)
    return other / "hub"


async def test_a_program_that_is_away_is_still_only_away(tmp_path: Path, socket_path: str) -> None:
    """Where no certificate is the reason, the caller hears what it always hears, and tries again."""
    place = made(tmp_path / "c")
    async with echo(TlsFiles(place / "launcher")) as port:
        free = port
    async with wire(socket_path, TlsFiles(place / "hub"), free, "launcher") as client:
        error = await refusal(client)
    assert error.code == "launcher.unreachable"
    assert "certificate" not in control_away(error).message


async def test_certificates_from_a_machine_that_is_ahead_wait(tmp_path: Path) -> None:
    """New ones that do not hold yet are not taken while the old ones do, and are when their time comes."""
    place, clock = made(tmp_path / "c"), Clock()
    files = TlsFiles(place / "hub", clock=clock)
    ends = files.expires_at
    renew(place, moment() + timedelta(hours=3))
    assert (files.expires_at, files.failures) == (ends, 1)
    assert files.client_context()
    clock.ahead = timedelta(hours=3)
    assert files.expires_at > ends
