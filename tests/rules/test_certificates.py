"""When does a certificate hold, what is said to whom where it does not, and which names are taken?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.certificates import (
    PROGRAMS,
    Paper,
    Trouble,
    check_host,
    hosts_of,
    is_due,
    program_trouble,
    refused_by_peer,
    refused_here,
    time_trouble,
)
from jupyter_sandbox_spawner.settings import _CALLERS

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def paper(begins: timedelta, ends: timedelta, program: str = "gateway") -> Paper:
    """A certificate whose ends are so far from noon."""
    return Paper(program=program, begins=NOON + begins, ends=NOON + ends)


def seen(papers: list[Paper]) -> str:
    """The code of what is wrong at noon."""
    trouble = time_trouble(papers, NOON)
    return trouble.code if trouble else ""


def test_every_program_that_calls_or_is_called_can_have_a_certificate() -> None:
    """Whoever calls a socket, and whoever listens there, is a program that certificates are made for."""
    called = {name.partition("-")[0] for name in _CALLERS} - {"pods"}
    assert called | {caller for callers in _CALLERS.values() for caller in callers} == set(PROGRAMS)


@pytest.mark.parametrize(
    ("begins", "ends", "program", "code"),
    [
        (-DAY, DAY, "gateway", ""),
        (timedelta(0), DAY, "gateway", ""),
        (timedelta(seconds=1), DAY, "gateway", "certificates.clock"),
        (-DAY, timedelta(0), "gateway", "certificates.expired"),
        (-DAY, timedelta(0), "", "certificates.authority_expired"),
        (DAY, 2 * DAY, "", "certificates.clock"),
    ],
)
def test_each_end_has_a_code_of_its_own(begins: timedelta, ends: timedelta, program: str, code: str) -> None:
    """A certificate holds from its first instant until before its last; else it is told whose ended."""
    assert seen([paper(begins, ends, program)]) == code


def test_one_authority_that_holds_is_enough() -> None:
    """While two overlap, one of them may have ended or not yet begun; without any nothing is trusted."""
    own, past, now, later = paper(-DAY, DAY), *(paper(x * DAY, (x + 2) * DAY, "") for x in (-9, -1, 9))
    assert program_trouble(own, [past, now, later], NOON) is None
    ended = program_trouble(own, [past], NOON)
    assert ended
    assert ended.code == "certificates.authority_expired"
    mine = program_trouble(paper(-2 * DAY, -DAY), [now], NOON)
    assert mine
    assert mine.code == "certificates.expired"


def every_trouble() -> list[Trouble]:
    """One of each kind that can be said."""
    authority = paper(-DAY, DAY, "")
    found = [
        time_trouble([paper(-2 * DAY, -DAY)], NOON),
        time_trouble([paper(-2 * DAY, -DAY, "")], NOON),
        time_trouble([paper(DAY, 2 * DAY)], NOON),
        *(refused_here(code, "gateway", [authority], NOON) for code in (9, 10, 20, 62, 79)),
        refused_here(10, "gateway", [paper(-2 * DAY, -DAY, "")], NOON),
        refused_by_peer("TLSV1_ALERT_UNKNOWN_CA", "gateway"),
    ]
    return [item for item in found if item]


def test_user_and_admin_are_told_different_sentences() -> None:
    """A user reads no file, flag or clock; an admin reads what to do; both have the same code."""
    troubles = every_trouble()
    assert len(troubles) == 10
    for trouble in troubles:
        user, admin = trouble.for_user(), trouble.for_admin()
        assert user.code == admin.code == trouble.code
        assert user.message != admin.message
        assert admin.remedy
        assert "files are kept" in user.remedy
        assert not any(word in str(user) for word in ("jupyter-sandbox-admin", ".pem", "2026", "--"))


@pytest.mark.parametrize(
    ("verify_code", "code"),
    [
        (9, "certificates.clock"),
        (10, "certificates.expired"),
        (62, "certificates.name"),
        (64, "certificates.name"),
        (18, "certificates.foreign"),
        (19, "certificates.foreign"),
        (20, "certificates.foreign"),
        (26, "certificates.refused"),
    ],
)
def test_what_openssl_says_gets_our_code(verify_code: int, code: str) -> None:
    """Each reason of OpenSSL's is said in words of ours."""
    assert refused_here(verify_code, "gateway", [paper(-DAY, DAY, "")], NOON).code == code


def test_an_ended_authority_is_told_from_an_ended_certificate() -> None:
    """Where no authority is left, the remedy is another one than a new certificate."""
    one, other = paper(-9 * DAY, -DAY, ""), paper(-DAY, DAY, "")
    assert refused_here(10, "gateway", [one], NOON).code == "certificates.authority_expired"
    assert refused_here(10, "gateway", [one, other], NOON).code == "certificates.expired"


def test_other_troubles_of_tls_are_not_ours() -> None:
    """Only alerts about certificates are explained."""
    assert refused_by_peer("WRONG_VERSION_NUMBER", "gateway") is None


def test_a_certificate_is_due_when_a_third_is_left() -> None:
    """There is time to renew, and one that was just made is not made again."""
    assert not is_due(paper(-timedelta(days=65), timedelta(days=35)), NOON)
    assert is_due(paper(-timedelta(days=67), timedelta(days=33)), NOON)


def test_names_are_those_of_the_service_and_what_the_admin_adds() -> None:
    """No name is there twice."""
    assert hosts_of("hub", "ours", ("hub", "10.0.0.7")) == (
        "hub",
        "hub.ours",
        "hub.ours.svc",
        "hub.ours.svc.cluster.local",
        "10.0.0.7",
    )


@pytest.mark.parametrize("host", ["gateway", "a-b.example", "10.0.0.7", "2001:db8::1", "x" * 63])
def test_names_and_addresses_are_taken(host: str) -> None:
    """A host name in lower case, or an address of either kind."""
    assert check_host(host, "--host") == host


@pytest.mark.parametrize(
    "host", ["", "*.example", "Gateway", "a..b", "-a", "a_b", "1.2.3", "10.0.0.7:8443", "x" * 64, "a b", "ä"]
)
def test_what_nobody_dials_is_refused(host: str) -> None:
    """A wildcard, capitals, a port, a half address: each is refused by its field."""
    with pytest.raises(ConfigurationError) as caught:
        check_host(host, "--host")
    assert (caught.value.code, caught.value.field) == ("certificates.host", "--host")
