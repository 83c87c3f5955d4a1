"""With which keys does the broker say who a sandbox is, and where does Vault find their public halves?

Law: private keys are files of mode 0600 in the broker's directory; a token lives five minutes at most, is for
one audience, and names one sandbox.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from ..clients.grants import Reader
from ..errors import ConfigurationError
from ..names import name_part
from ..private_files import write_private
from ..rules.signing_keys import KeyTimes, SigningKey, due, published, signing
from ..serving import private_directory
from ..vault_site import VaultSite

__all__ = ["Signer", "claims_of"]

_LIFE = timedelta(minutes=4)
_SKEW = timedelta(seconds=30)


@dataclass(frozen=True)
class _Pair:
    key: SigningKey
    private: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"<key {self.key.kid}>"


class Signer:
    """The keys below `directory`; the first one is made at once."""

    def __init__(
        self,
        directory: str,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        times: KeyTimes | None = None,
    ) -> None:
        self._directory = Path(directory) / "keys"
        self._clock = clock
        self._times = times or KeyTimes()
        private_directory(str(self._directory))
        self._pairs = {pair.key.kid: pair for pair in map(_load, sorted(self._directory.glob("*.json")))}
        self.tend()

    def tend(self) -> None:
        """Make the next key where it is time, and forget those that nobody needs."""
        if due(self._keys(), self._clock(), self._times):
            self.rotate(at_once=not self._pairs)
        kept = {key.kid for key in published(self._keys(), self._clock(), self._times)}
        for kid in set(self._pairs) - kept:
            self._path(kid).unlink(missing_ok=True)
        # Another thread may sign meanwhile: it sees the old keys or the new ones, never half.
        self._pairs = {kid: pair for kid, pair in self._pairs.items() if kid in kept}

    def rotate(self, at_once: bool = False) -> str:
        """Make a key. It signs when it has been published long enough, or at once; its id."""
        kid = secrets.token_hex(8)
        key = SigningKey(kid=kid, made_at=self._clock(), at_once=at_once)
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        document = {"made_at": key.made_at.isoformat(), "at_once": at_once, "pem": pem.decode()}
        write_private(self._path(kid), json.dumps(document).encode())
        self._pairs = {**self._pairs, kid: _Pair(key, private)}
        return kid

    def token(self, site: VaultSite, reader: Reader) -> str:
        """What the sandbox shows Vault."""
        current = signing(self._keys(), self._clock(), self._times)
        if current is None:
            raise _unusable(self._directory, "there is no key")
        private = self._pairs[current.kid].private
        claims = claims_of(site, reader, self._clock())
        return jwt.encode(claims, private, algorithm="ES256", headers={"kid": current.kid})

    def key_set(self) -> dict[str, Any]:
        """The public halves, as RFC 7517 writes them."""
        return {"keys": [self._public(key.kid) for key in self._published()]}

    def pems(self) -> list[str]:
        """The public halves in PEM, for where Vault cannot fetch the key set."""
        return [
            self._pairs[key.kid]
            .private.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
            for key in self._published()
        ]

    def _public(self, kid: str) -> dict[str, Any]:
        document = json.loads(ECAlgorithm.to_jwk(self._pairs[kid].private.public_key()))
        return {**document, "kid": kid, "use": "sig", "alg": "ES256"}

    def _published(self) -> tuple[SigningKey, ...]:
        return published(self._keys(), self._clock(), self._times)

    def _keys(self) -> list[SigningKey]:
        return [pair.key for pair in self._pairs.values()]

    def _path(self, kid: str) -> Path:
        return self._directory / f"{kid}.json"


def claims_of(site: VaultSite, reader: Reader, now: datetime) -> dict[str, Any]:
    """Who the sandbox is. Raises ConfigurationError `username.invalid` for a name without canonical form."""
    user = name_part(reader.user)
    return {
        "iss": site.issuer,
        "aud": site.audience,
        "sub": f"hubuser:{user}",
        "username": user,
        "server": reader.server or "default",
        "instance": reader.sandbox,
        "profile": reader.profile,
        "groups": _group_parts(reader.groups),
        "jti": secrets.token_hex(16),
        "iat": now,
        "nbf": now - _SKEW,
        "exp": now + _LIFE,
    }


def _group_parts(groups: tuple[str, ...]) -> list[str]:
    found = []
    for group in groups:
        try:
            found.append(name_part(group))
        except ConfigurationError:
            # A group that no policy can name gives nothing; the others stay.
            continue
    return found


def _load(path: Path) -> _Pair:
    try:
        document = json.loads(path.read_bytes())
        private = load_pem_private_key(str(document["pem"]).encode(), None)
        made_at = datetime.fromisoformat(document["made_at"])
        key = SigningKey(kid=path.stem, made_at=made_at, at_once=bool(document["at_once"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, type(error).__name__) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise _unusable(path, "not a key of ES256")
    return _Pair(key, private)


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The broker's signing key {path} cannot be used: {why}.",
        code="vault.key_unusable",
        field="state_dir",
        remedy="Remove it; a new one is made at the next start, and Vault has to know it (vault-keys).",
    )
