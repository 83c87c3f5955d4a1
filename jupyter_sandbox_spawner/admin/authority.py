"""Who signs the certificates of our programs? The site's own authority: one file, which no program reads.

Law: the file is replaced in one step, so that key, certificates and bridge in it always belong together.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import ConfigurationError
from ..rules.certificates import AUTHORITY_LIFE, BACKDATED, CERTIFICATE_LIFE

__all__ = ["Authority", "load_authority", "new_authority", "pem_of", "write_in_one_step"]

_MARK = b"-----BEGIN CERTIFICATE-----"
_Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """The key that signs, its certificate, and while two overlap the one before, which signed the bridge.

    The key of the one before is gone: all it was still needed for is the bridge.
    """

    key: _Key = field(repr=False)
    own: x509.Certificate
    bridge: x509.Certificate | None = None
    before: x509.Certificate | None = None

    @property
    def trusted(self) -> bytes:
        """The text of `ca.pem`."""
        return pem_of([item for item in (self.own, self.before) if item])

    @property
    def whole(self) -> bytes:
        """The text of its file."""
        certificates = [item for item in (self.own, self.bridge, self.before) if item]
        return _key_text(self.key) + pem_of(certificates)

    def followed(self, now: datetime) -> Authority:
        """The next authority: it signs from now on, and this one vouches for it by the bridge."""
        after = new_authority(now)
        builder = _builder(after.own.subject, after.key.public_key(), now, self.own.not_valid_after_utc)
        bridge = _sign(_as_authority(builder, 0), self.own, self.key)
        return replace(after, bridge=bridge, before=self.own)

    def alone(self) -> Authority:
        """The one before is trusted no longer. The bridge stays, for sandboxes that know only that one."""
        return replace(self, before=None)

    def certificate(self, program: str, hosts: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
        """A new certificate (with the bridge, where one is valid) and its key, as texts."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(now + CERTIFICATE_LIFE, self.own.not_valid_after_utc)
        builder = _builder(_subject(program), key.public_key(), now, ends)
        signed = _sign(_as_program(builder, hosts), self.own, self.key)
        bridge = self.bridge if self.bridge and self.bridge.not_valid_after_utc > now else None
        return pem_of([signed, *([bridge] if bridge else [])]), _key_text(key)


def new_authority(now: datetime) -> Authority:
    """A key and a certificate that is signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Two of one name could not be told apart where they overlap.
    subject = _subject(f"jupyter-sandbox authority {now:%Y-%m-%d} {secrets.token_hex(4)}")
    builder = _builder(subject, key.public_key(), now, now + AUTHORITY_LIFE)
    return Authority(key, _as_authority(builder, 1).issuer_name(subject).sign(key, hashes.SHA256()))


def load_authority(path: Path) -> Authority:
    """Read its file. Raises ConfigurationError `certificates.missing` or `certificates.unreadable`."""
    try:
        raw = path.read_bytes()
        key = load_pem_private_key(raw[: raw.index(_MARK)], password=None)
        own, *others = x509.load_pem_x509_certificates(raw)
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no {path}.",
            code="certificates.missing",
            remedy="Make it and all certificates with: jupyter-sandbox-admin certificates make --directory D",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not an authority that we wrote"
        raise ConfigurationError(
            f"{path} cannot be used: {why}.",
            code="certificates.unreadable",
            remedy="Restore it from a copy, or make all certificates anew in another directory.",
        ) from None
    bridge = next((item for item in others if item.subject == own.subject), None)
    before = next((item for item in others if item.subject != own.subject), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != own.public_key():
        raise ConfigurationError(
            f"{path}: its key is not the one of its certificate.",
            code="certificates.mismatch",
            remedy="Restore it from a copy, or make all certificates anew in another directory.",
        )
    return Authority(key, own, bridge, before)


def write_in_one_step(path: Path, text: bytes, mode: int) -> None:
    """Replace a file, which then belongs to whom its directory belongs. Nothing there is followed."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text)
            stream.flush()
            owner = path.parent.stat()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def pem_of(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates as text, one after the other."""
    return b"".join(item.public_bytes(Encoding.PEM) for item in certificates)


def _key_text(key: _Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(max(ends, now + timedelta(seconds=1)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _as_authority(builder: x509.CertificateBuilder, below: int) -> x509.CertificateBuilder:
    usage = _usage(signs_certificates=True)
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=below), critical=True
    ).add_extension(usage, critical=True)


def _as_program(builder: x509.CertificateBuilder, hosts: Sequence[str]) -> x509.CertificateBuilder:
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(uses, critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, issuer: x509.Certificate, key: _Key) -> x509.Certificate:
    """Signed by `issuer`, whose key is `key`. OpenSSL's strict check wants its id named."""
    found = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)
    return builder.issuer_name(issuer.subject).add_extension(named, critical=False).sign(key, hashes.SHA256())
