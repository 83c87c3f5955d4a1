"""Do contexts follow changed files, and does each bad certificate stop a connection with its own sentence?"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.admin.authority import new_authority
from jupyter_sandbox_spawner.admin.certificate_files import renew
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.wires.tls import TlsFiles
from tests.support.certificates import HOST, echo, made, moment, say

Control = Callable[[str, bool], None]
YEAR = timedelta(days=365)


def late(directory: Path, years: float) -> TlsFiles:
    """Certificates read by a clock that is so many years ahead (or behind), which is told to nobody else."""
    return TlsFiles(directory, clock=lambda: moment() + years * YEAR)


def copied(source: Path, target: Path) -> Path:
    """A program's directory on another machine."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target


async def test_both_sides_know_one_another(tmp_path: Path) -> None:
    """The caller checks the name that it dials, the listener learns which program calls."""
    place = made(tmp_path / "c")
    async with echo(TlsFiles(place / "gateway")) as port:
        assert await say(port, TlsFiles(place / "hub").client_context()) == "hub"
        assert await say(port, TlsFiles(place / "control").client_context(), "gateway") == "control"


async def test_who_shows_no_certificate_is_not_served(tmp_path: Path, control: Control) -> None:
    """Only a listener for sandboxes takes callers without one."""
    place = made(tmp_path / "c")
    nobody = ssl.create_default_context(cafile=str(place / "hub/ca.pem"))
    async with echo(TlsFiles(place / "gateway"), clients=False) as port:
        control("a listener for sandboxes takes it", await say(port, nobody) == "anybody")
    async with echo(TlsFiles(place / "gateway")) as port:
        assert await say(port, nobody) == ""


async def test_another_sites_program_is_refused(tmp_path: Path) -> None:
    """The same names signed by another authority open nothing, on either side."""
    ours, theirs = made(tmp_path / "ours"), made(tmp_path / "theirs")
    stranger = TlsFiles(theirs / "hub")
    async with echo(TlsFiles(ours / "gateway")) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await say(port, stranger.client_context())
        trouble = stranger.explain(caught.value, "gateway")
        assert trouble
        assert trouble.code == "certificates.foreign"


async def test_an_authority_itself_is_no_program(tmp_path: Path) -> None:
    """A certificate whose subject is no program of ours is refused, though the authority signed it."""
    place = made(tmp_path / "c")
    authority = new_authority(moment())
    certificate, key = authority.certificate("prometheus", ("prometheus",), moment())
    for name in ("gateway", "hub"):
        (place / name / "ca.pem").write_bytes(authority.trusted)
    own, own_key = authority.certificate("gateway", (HOST,), moment())
    (place / "gateway/certificate.pem").write_bytes(own)
    (place / "gateway/key.pem").write_bytes(own_key)
    (place / "hub/certificate.pem").write_bytes(certificate)
    (place / "hub/key.pem").write_bytes(key)
    with pytest.raises(ConfigurationError) as caught:
        TlsFiles(place / "hub")
    assert caught.value.code == "certificates.name"
    context = ssl.create_default_context(cafile=str(place / "hub/ca.pem"))
    context.load_cert_chain(place / "hub/certificate.pem", place / "hub/key.pem")
    async with echo(TlsFiles(place / "gateway")) as port:
        assert await say(port, context) == "certificates.name"


async def test_a_wrong_name_is_refused_with_its_sentence(tmp_path: Path) -> None:
    """What answers under a name that it has no certificate for gets nothing."""
    place = made(tmp_path / "c")
    hub = TlsFiles(place / "hub")
    async with echo(TlsFiles(place / "control")) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await say(port, hub.client_context(), HOST)
    trouble = hub.explain(caught.value, "gateway")
    assert trouble
    assert trouble.code == "certificates.name"


async def test_an_ended_certificate_is_refused_with_its_sentence(tmp_path: Path) -> None:
    """A program whose certificate ended does not start; one that runs on is refused by who calls it."""
    place = made(tmp_path / "c", moment() - 2 * YEAR)
    with pytest.raises(ConfigurationError) as caught:
        TlsFiles(place / "gateway")
    assert caught.value.code == "certificates.expired"
    assert "gateway ended on" in caught.value.message
    caller = copied(place / "hub", tmp_path / "hub")
    renew(place, moment())
    fresh = TlsFiles(place / "hub")
    async with echo(late(copied(caller, tmp_path / "x"), -1.5)) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            await say(port, fresh.client_context(), "hub")
    trouble = fresh.explain(refused.value, "hub")
    assert trouble
    assert trouble.code == "certificates.expired"


@pytest.mark.parametrize(
    ("years", "code"), [(-1.0, "certificates.clock"), (6.0, "certificates.authority_expired")]
)
async def test_skewed_clocks_and_ended_authorities_have_their_own_sentences(
    tmp_path: Path, years: float, code: str
) -> None:
    """By a clock that is behind it is not yet valid; where the authority ended no renewal helps."""
    place = made(tmp_path / "c")
    with pytest.raises(ConfigurationError) as caught:
        late(place / "gateway", years)
    assert caught.value.code == code
    early = made(tmp_path / "early", moment() - years * YEAR)
    caller = late(early / "hub", -years)
    async with echo(late(early / "gateway", -years)) as port:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            await say(port, caller.client_context())
    caller._clock = moment
    trouble = caller.explain(refused.value, "gateway")
    assert trouble
    assert trouble.code == code
    with pytest.raises(ConfigurationError):
        caller.client_context()


def test_clocks_that_differ_by_minutes_do_not_matter(tmp_path: Path) -> None:
    """A machine whose clock is half an hour behind takes a certificate that was just made."""
    assert late(made(tmp_path / "c") / "hub", -0.5 / 24 / 365).client_context()


def test_another_programs_files_are_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A running program stays who it is, whatever is copied over its files."""
    place = made(tmp_path / "c")
    files = TlsFiles(place / "hub")
    copied(place / "control", place / "hub")
    assert (files.program, files.failures) == ("hub", 1)
    assert "has a certificate of control now" in caplog.text


async def test_a_mounted_secret_is_followed(tmp_path: Path) -> None:
    """kubelet swaps one link for all three files; the next connection has the new certificate."""
    place = made(tmp_path / "c")
    mounted = tmp_path / "mounted"
    copied(place / "gateway", mounted / "..1")
    (mounted / "..data").symlink_to("..1")
    for name in ("ca.pem", "certificate.pem", "key.pem"):
        (mounted / name).symlink_to(f"..data/{name}")
    gateway, hub = TlsFiles(mounted), TlsFiles(place / "hub")
    async with echo(gateway) as port:
        assert await say(port, hub.client_context()) == "hub"
        first = gateway.expires_at
        renew(place, moment() + timedelta(seconds=1))
        copied(place / "gateway", mounted / "..2")
        (mounted / "..new").symlink_to("..2")
        os.replace(mounted / "..new", mounted / "..data")
        shutil.rmtree(mounted / "..1")
        assert await say(port, hub.client_context()) == "hub"
    assert (gateway.expires_at > first, gateway.failures) == (True, 0)


def test_the_log_warns_once_a_day_before_an_end(
    tmp_path: Path, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    """Thirty days before an end and from then on daily, whoever reads the log knows it."""
    ahead = [380.0]
    files = TlsFiles(made(tmp_path / "c") / "hub", clock=lambda: moment() + timedelta(days=ahead[0] - 380))
    files.client_context()
    control("a fresh one is silent", not caplog.records)
    for ahead[0] in (750, 750.5, 751.2):
        files.client_context()
    assert [("end on" in record.getMessage()) for record in caplog.records] == [True, True]


async def test_files_that_do_not_fit_leave_the_last_good_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a change is not used, is told once, and the whole one is taken without a restart."""
    place = made(tmp_path / "c")
    gateway, hub = TlsFiles(place / "gateway"), TlsFiles(place / "hub")
    before = copied(place / "gateway", tmp_path / "before")
    renew(place, moment())
    whole = copied(place / "gateway", tmp_path / "whole")
    async with echo(gateway) as port:
        for source in (before, whole):
            for name in ("ca.pem", "certificate.pem", "key.pem"):
                shutil.copy(source / name, place / "gateway" / name)
                assert await say(port, hub.client_context()) == "hub"
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == gateway.failures == 2
    assert "last good ones stay" in told[0].getMessage()
    assert (tmp_path / "whole/key.pem").read_text() not in caplog.text
    assert f"reload_failures_total {gateway.failures}" in gateway.metrics()


def session_of(port: int, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """What a client could resume with after it has read something."""
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        assert connection.recv(100)
        return connection.session


async def test_nobody_gets_a_session_to_resume(tmp_path: Path, control: Control) -> None:
    """Who was served once shows its certificate again: it may have ended, or its authority be gone."""
    place = made(tmp_path / "c")
    files, hub = TlsFiles(place / "gateway"), TlsFiles(place / "hub").client_context()
    async with echo(files) as port:
        found = await asyncio.to_thread(session_of, port, hub)
        assert not (found and found.has_ticket)
    files._loaded.servers[True].num_tickets = 2
    files._loaded.servers[True].options &= ~ssl.OP_NO_TICKET
    async with echo(files) as port:
        usual = await asyncio.to_thread(session_of, port, hub)
        control("a usual listener gives one", bool(usual and usual.has_ticket))


def test_the_end_is_told_in_time(tmp_path: Path) -> None:
    """What ends first counts; Prometheus gets both ends as instants."""
    files = TlsFiles(made(tmp_path / "c") / "gateway")
    assert timedelta(days=396) < files.expires_at - moment() < timedelta(days=397)
    assert f'{{of="certificate"}} {files.expires_at.timestamp():.0f}\n' in files.metrics()
    assert 'certificate_end_timestamp_seconds{of="authority"} ' in files.metrics()


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("key.pem", None, "certificates.missing"),
        ("ca.pem", "", "certificates.unreadable"),
        ("certificate.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n", "certificates.unreadable"),
        ("key.pem", "hunter2", "certificates.unreadable"),
        ("key.pem", "hub/key.pem", "certificates.mismatch"),
        ("ca.pem", "../other/hub/ca.pem", "certificates.foreign"),
    ],
)
def test_bad_files_stop_the_start_by_name(tmp_path: Path, name: str, text: str | None, code: str) -> None:
    """Each file that is missing, broken or another's is named, and none of a key is repeated."""
    place, _ = made(tmp_path / "c"), made(tmp_path / "other")
    target = place / "gateway" / name
    if text is None:
        os.unlink(target)
    else:
        target.write_text((place / text).read_text() if text.endswith(".pem") else text)
    with pytest.raises(ConfigurationError) as caught:
        TlsFiles(place / "gateway")
    assert caught.value.code == code
    assert str(place / "gateway") in caught.value.message
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)
