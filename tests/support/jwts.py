"""What does a signed token look like that the broker would make? ES256, for tests that play the broker."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

__all__ = ["claims", "new_key", "public_jwk", "public_pem", "sign"]


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key of the curve that ES256 wants."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """What Vault is given to check signatures with."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def public_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, str]:
    """The same as a JSON Web Key, as it is published."""
    numbers = key.public_key().public_numbers()
    x, y = (_encode(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y}


def claims(username: str, /, **others: Any) -> dict[str, Any]:
    """Claims that hub_config/vault/setup accepts with its defaults; `others` replace some."""
    now = int(time.time())
    mine = {
        "iss": "jupyter-sandbox-broker",
        "aud": "vault",
        "sub": f"hubuser:{username}",
        "username": username,
    }
    sandbox = {"server": "", "instance": "sb-1", "profile": "small", "groups": ["research"]}
    return {**mine, **sandbox, "iat": now, "nbf": now, "exp": now + 120, **others}


def sign(key: ec.EllipticCurvePrivateKey, what: Mapping[str, Any], **header: str) -> str:
    """The token of these claims."""
    head = {"alg": "ES256", "typ": "JWT", **header}
    text = ".".join(_encode(json.dumps(part).encode()) for part in (head, what))
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
