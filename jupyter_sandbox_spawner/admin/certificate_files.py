"""What lies in an admin's directory of certificates, and how is it made and changed so that nothing is cut?

`authority.pem` (0600) is the authority, which never leaves this directory. Below it each program has
a directory with `ca.pem`, `certificate.pem` and `key.pem` (0600), which is what its machine or pod gets.

Law: each change may be interrupted anywhere and asked for again. Authorities are trusted everywhere before
one of them goes, and a certificate of the newer one carries the bridge, so the order does not matter.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ..errors import ConfigurationError, SandboxError
from ..rules.certificates import PROGRAMS, Paper, hosts_of, is_due, time_trouble
from ..wires.papers import FILES, Papers, certificates_in, hosts_in, paper_of, read_papers
from .authority import Authority, load_authority, new_authority, write_in_one_step

__all__ = ["AUTHORITY", "SETTLED", "Held", "begin", "finish", "look", "make", "renew"]

AUTHORITY = "authority.pem"
# kubelet takes up to its sync period (a minute) and the life of its cache to bring a changed Secret.
SETTLED = timedelta(minutes=10)


@dataclass(frozen=True)
class Held:
    """What a directory holds, newest authority first."""

    authorities: tuple[Paper, ...]
    programs: tuple[Papers, ...]


def look(directory: Path) -> Held:
    """Read all of it, or what one program has of it. Raises ConfigurationError `certificates.*`."""
    if not (directory / AUTHORITY).exists() and (directory / "certificate.pem").exists():
        papers = read_papers(directory)
        return Held(papers.authorities, (papers,))
    authority = load_authority(directory / AUTHORITY)
    trusted = (authority.own, *([authority.before] if authority.before else []))
    return Held(tuple(paper_of(item, "") for item in trusted), tuple(map(read_papers, _places(directory))))


def make(directory: Path, namespace: str, further: Mapping[str, Sequence[str]], now: datetime) -> list[str]:
    """Make what is not there, renew what is due, add names that are new; returns what was done."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = []
    with _alone(directory):
        if not (directory / AUTHORITY).exists():
            _refuse_orphans(directory)
            write_in_one_step(directory / AUTHORITY, new_authority(now).whole, 0o600)
            done.append("authority: made")
        authority = _valid(directory, now)
        for program in PROGRAMS:
            place = directory / program
            place.mkdir(mode=0o700, exist_ok=True)
            known = _hosts(place) if (place / "certificate.pem").exists() else ()
            wanted = hosts_of(program, namespace, (*further.get(program, ()), *known))
            done += _bring_up(place, authority, wanted, now)
    return done


def _refuse_orphans(directory: Path) -> None:
    """Certificates without their authority: a new one would cut off every program that has them."""
    if found := _places(directory):
        raise ConfigurationError(
            f"{directory} has certificates ({found[0].name}), and their {AUTHORITY} is gone.",
            code="certificates.missing",
            remedy="Restore it from a copy, or make all certificates anew in another directory.",
        )


def renew(directory: Path, now: datetime) -> list[str]:
    """New certificates and keys for all programs, of the same authority."""
    with _alone(directory):
        authority = _valid(directory, now)
        return [line for place in _places(directory) for line in _issue(place, authority, _hosts(place), now)]


def begin(directory: Path, now: datetime) -> list[str]:
    """A new authority beside the old one, and certificates of the new one. Raises ConfigurationError."""
    with _alone(directory):
        authority = _valid(directory, now)
        if authority.before is not None:
            return _bring_all(directory, authority, now) or _nothing(
                "Two authorities are trusted already, and every program has a certificate of the newer one.",
                "End it with: jupyter-sandbox-admin certificates rotate --finish",
            )
        after = authority.followed(now)
        write_in_one_step(directory / AUTHORITY, after.whole, 0o600)
        return ["authority: made, beside the old one", *_bring_all(directory, after, now)]


def finish(directory: Path, now: datetime, at_once: bool) -> list[str]:
    """Trust the old authority no longer. Raises ConfigurationError where that would be too early."""
    with _alone(directory):
        authority = _valid(directory, now)
        done = _bring_all(directory, authority, now)
        if authority.before is None:
            return done or _nothing(
                "Only one authority is trusted, so there is nothing to finish.",
                "Begin with: jupyter-sandbox-admin certificates rotate --authority",
            )
        changed = max((place / name).stat().st_mtime for place in _places(directory) for name in FILES)
        if not at_once and now.timestamp() - changed < SETTLED.total_seconds():
            raise ConfigurationError(
                "The last change is younger than ten minutes; a program that lacks it would be cut off.",
                code="certificates.too_early",
                remedy="Bring it to all programs (certificates manifest) and wait; --now does not.",
            )
        alone = authority.alone()
        write_in_one_step(directory / AUTHORITY, alone.whole, 0o600)
        return ["authority: the old one is trusted no longer", *_bring_all(directory, alone, now)]


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two commands at once would each make an authority of their own."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigurationError(
            f"{directory} cannot be used: {error.strerror}.",
            code="certificates.missing",
            remedy="Name the directory that certificates make was given.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigurationError(
            f"Somebody else changes {directory} now.",
            code="certificates.busy",
            remedy="Try again in a moment.",
        ) from None
    finally:
        os.close(descriptor)


def _valid(directory: Path, now: datetime) -> Authority:
    """The authority, which can still sign. Raises ConfigurationError `certificates.authority_expired`."""
    authority = load_authority(directory / AUTHORITY)
    if trouble := time_trouble([paper_of(authority.own, "")], now):
        raise trouble.for_admin()
    return authority


def _nothing(message: str, remedy: str) -> list[str]:
    raise ConfigurationError(message, code="certificates.overlap", remedy=remedy)


def _places(directory: Path) -> list[Path]:
    """The directories of programs that were made; others hold what is not ours."""
    return [directory / program for program in PROGRAMS if (directory / program).is_dir()]


def _hosts(place: Path) -> tuple[str, ...]:
    """The names that a program has; after an interrupted change the key may be another's."""
    return hosts_in(certificates_in(place / "certificate.pem")[0])


def _bring_all(directory: Path, authority: Authority, now: datetime) -> list[str]:
    return [line for place in _places(directory) for line in _bring_up(place, authority, _hosts(place), now)]


def _bring_up(place: Path, authority: Authority, hosts: Sequence[str], now: datetime) -> list[str]:
    """Give a program what it lacks."""
    why = _reason(place, authority, hosts, now)
    return _issue(place, authority, hosts, now, why) if why else _trust(place, authority)


def _reason(place: Path, authority: Authority, hosts: Sequence[str], now: datetime) -> str:
    """Why a program needs a new certificate; empty where it does not."""
    try:
        papers = read_papers(place)
    except SandboxError:  # not there, or half of it after an interrupted change
        return "made"
    if set(hosts) != set(papers.hosts):
        return "made again, with new names"
    if is_due(papers.own, now):
        return "renewed"
    issuer = certificates_in(place / "certificate.pem")[0].issuer
    return "" if issuer == authority.own.subject else "made by the new authority"


def _issue(
    place: Path, authority: Authority, hosts: Sequence[str], now: datetime, why: str = "renewed"
) -> list[str]:
    _trust(place, authority)
    certificate, key = authority.certificate(place.name, hosts, now)
    write_in_one_step(place / "key.pem", key, 0o600)
    write_in_one_step(place / "certificate.pem", certificate, 0o644)
    return [f"{place.name}: {why}"]


def _trust(place: Path, authority: Authority) -> list[str]:
    file = place / "ca.pem"
    if file.exists() and file.read_bytes() == authority.trusted:
        return []
    write_in_one_step(file, authority.trusted, 0o644)
    return [f"{place.name}: ca.pem"]
