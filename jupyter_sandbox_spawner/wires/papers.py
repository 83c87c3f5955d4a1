"""What do `ca.pem`, `certificate.pem` and `key.pem` of a directory say, and do they belong together?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from ..errors import ConfigurationError
from ..rules.certificates import PROGRAMS, Paper

__all__ = ["FILES", "Papers", "certificates_in", "hosts_in", "paper_of", "program_of", "read_papers"]

FILES = ("ca.pem", "certificate.pem", "key.pem")
_MAKE = "Make them with: jupyter-sandbox-admin certificates make --directory DIRECTORY"


@dataclass(frozen=True, kw_only=True)
class Papers:
    """A program's own certificate, the authorities that it trusts, and the names that it is reached by."""

    own: Paper
    authorities: tuple[Paper, ...]
    hosts: tuple[str, ...]

    @property
    def ends(self) -> datetime:
        """When the first of these ends: the certificate, or the last authority that is trusted."""
        return min(self.own.ends, max(paper.ends for paper in self.authorities))


def read_papers(directory: Path) -> Papers:
    """Read and compare the three files; times are not judged. Raises ConfigurationError `certificates.*`."""
    trusted = certificates_in(directory / "ca.pem")
    own, *bridges = certificates_in(directory / "certificate.pem")
    _check_key(directory / "key.pem", own)
    if not _is_signed(own, trusted, bridges):
        raise ConfigurationError(
            f"{directory}/certificate.pem is of no authority in ca.pem beside it.",
            code="certificates.foreign",
            remedy="Copy the whole directory again. What there is: jupyter-sandbox-admin certificates show",
        )
    return Papers(
        own=paper_of(own, program_of(own)),
        authorities=tuple(paper_of(item, "") for item in trusted),
        hosts=hosts_in(own),
    )


def program_of(certificate: x509.Certificate) -> str:
    """The program that is its subject. Raises ConfigurationError `certificates.name`."""
    names = [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) == 1 and names[0] in PROGRAMS:
        return names[0]
    raise ConfigurationError(
        f"The subject of a certificate is no program of ours: {', '.join(names)[:80] or 'it has no name'}.",
        code="certificates.name",
        remedy=f"It has to be one of {', '.join(PROGRAMS)}. {_MAKE}",
    )


def certificates_in(path: Path) -> list[x509.Certificate]:
    """Those of a file, at least one. Raises ConfigurationError."""
    try:
        return x509.load_pem_x509_certificates(_raw(path))
    except ValueError:
        raise _unreadable(path, "it holds no certificate") from None


def _check_key(path: Path, certificate: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(_raw(path), password=None)
    except (ValueError, TypeError):
        # The parser's own words could quote the key.
        raise _unreadable(path, "it holds no private key without a password") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ConfigurationError(
            f"{path} is not the key of certificate.pem beside it.",
            code="certificates.mismatch",
            remedy="Copy the whole directory again.",
        )


def _raw(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"There is no {path}.", code="certificates.missing", remedy=_MAKE) from None
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error


def _is_signed(
    own: x509.Certificate, trusted: Sequence[x509.Certificate], bridges: Sequence[x509.Certificate]
) -> bool:
    roots = any(_signs(root, own) for root in trusted)
    return roots or any(_signs(bridge, own) and _is_signed(bridge, trusted, ()) for bridge in bridges)


def _signs(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def paper_of(certificate: x509.Certificate, program: str) -> Paper:
    """What of it is judged; `program` "" for an authority's."""
    return Paper(
        program=program, begins=certificate.not_valid_before_utc, ends=certificate.not_valid_after_utc
    )


def hosts_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that it is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _unreadable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be used: {why}.",
        code="certificates.unreadable",
        remedy=f"The program's uid has to be able to read it. {_MAKE}",
    )
