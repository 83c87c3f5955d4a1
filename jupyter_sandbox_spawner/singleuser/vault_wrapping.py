"""How is Vault asked about a wrapping token? Two calls of its API, by the way out that the sandbox has.

Law: no redirect is followed, and an error holds no token.
ref: https://developer.hashicorp.com/vault/api-docs/system/wrapping-lookup
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from email.message import Message
from typing import IO, Any
from urllib.parse import urlsplit

from ..errors import SandboxError, UnreachableError

__all__ = ["Wrapping", "WrappingGoneError"]

_PATIENCE = 10.0  # seconds
_MOST_BYTES = 1 << 20
_LOCAL = ("127.0.0.1", "localhost", "::1")


class WrappingGoneError(Exception):
    """Vault knows no such wrapping token, or not any more."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Not followed: the token would go to the other host."""


class Wrapping:
    """Vault's wrapping API at an address, which the sandbox's own proxy must let through."""

    def __init__(self, address: str, namespace: str = "") -> None:
        parts = urlsplit(address)
        local = parts.scheme == "http" and parts.hostname in _LOCAL
        if not (parts.scheme == "https" or local) or not parts.hostname or parts.username or parts.query:
            raise SandboxError(
                f"The broker names {address[:80]!r} as Vault's address, which is no https address.",
                code="secret.vault_address",
                remedy="Ask the hub's admin to give Vault an https address.",
            )
        self.address = address.rstrip("/")
        self.namespace = namespace
        self._opener = urllib.request.build_opener(_NoRedirect)

    def creation_path(self, wrapped: str) -> str:
        """Where it was made. Raises WrappingGoneError, UnreachableError `secret.vault_away`."""
        found = self._post("lookup", {}, {"token": wrapped}).get("data")
        return str(found.get("creation_path") or "") if isinstance(found, dict) else ""

    def unwrap(self, wrapped: str) -> dict[str, Any]:
        """What was wrapped; works once. Raises like `creation_path`."""
        return self._post("unwrap", {"X-Vault-Token": wrapped}, {})

    def _post(self, verb: str, headers: dict[str, str], body: dict[str, str]) -> dict[str, Any]:
        namespace = {"X-Vault-Namespace": self.namespace} if self.namespace else {}
        request = urllib.request.Request(  # noqa: S310 - http(s) only, checked above
            f"{self.address}/v1/sys/wrapping/{verb}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "X-Vault-Request": "true", **namespace, **headers},
        )
        try:
            with self._opener.open(request, timeout=_PATIENCE) as answer:
                document = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise self._failed(error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._away(f"({getattr(error, 'reason', error)})") from None
        if isinstance(document, dict):
            return document
        raise self._away("in JSON")

    def _failed(self, error: urllib.error.HTTPError) -> Exception:
        if error.headers.get("X-Sandbox-Deny"):
            return self._away("(this server's egress does not allow it)")
        if error.code in (400, 403, 404):
            return WrappingGoneError()
        return self._away(f"(HTTP {error.code})")

    def _away(self, why: str) -> UnreachableError:
        host = urlsplit(self.address).netloc
        return UnreachableError(
            f"Vault at {host} does not answer {why}.",
            code="secret.vault_away",
            remedy=f"The profile's egress must allow {host}; see %sandbox egress. Then try again.",
        )
