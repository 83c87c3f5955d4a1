"""What went wrong in a call of hvac? Its errors, and those of requests, in our own tree.

ref: hvac/exceptions.py and hvac/adapters.py 2.4: outages come as errors of requests, some statuses as answers
"""

from __future__ import annotations

import requests
from hvac.exceptions import VaultError

from ..errors import SandboxError
from ..rules.vault_answers import answer_error, outage_error
from .vault_wires import Wire

__all__ = ["StatusError", "translated"]


class StatusError(Exception):
    """An answer that hvac takes for none, by its status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def translated(error: Exception, wire: Wire, what: str) -> SandboxError:
    """hvac's and requests' errors in our tree."""
    if isinstance(error, VaultError):
        # hvac has no class for every status, and none of them says it.
        words = error.errors if isinstance(error.errors, list) else ()
        return answer_error(wire.status, words, wire.retry_after, what)
    if isinstance(error, StatusError):
        if error.status < 300:
            return outage_error("malformed")
        return outage_error("redirected") if error.status < 400 else answer_error(error.status, what=what)
    return _outage(error, wire)


def _outage(error: Exception, wire: Wire) -> SandboxError:
    if isinstance(error, OSError) and not isinstance(error, requests.exceptions.RequestException):
        # requests looks for the file of the authority before it connects.
        return outage_error("no_authority", str(error))
    words = f"{type(error).__name__}: {error}"
    if wire.is_cut or isinstance(error, requests.exceptions.Timeout):
        return outage_error("slow")
    if isinstance(error, requests.exceptions.SSLError):
        # OpenSSL's word for a file of authorities that has none.
        return outage_error("no_authority" if "NO_CERTIFICATE_OR_CRL" in words else "tls", words)
    if isinstance(error, (requests.exceptions.JSONDecodeError, requests.exceptions.InvalidSchema)):
        return outage_error("malformed", type(error).__name__)
    if "NameResolution" in words:
        return outage_error("unknown_host")
    return outage_error("unreachable" if "Errno 111" in words or "NewConnection" in words else "reset")
