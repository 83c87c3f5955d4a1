"""What does an answer of Vault mean to the person who waits for it? One error a cause, with the way out.

Law: Vault's own words are shown where they speak to a person (a policy's message), never a token or a path of
somebody else. ref: https://developer.hashicorp.com/vault/api-docs#http-status-codes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..errors import ProgramError, RefusedError, SandboxError
from ..units import format_duration

__all__ = ["OUTAGES", "Outage", "answer_error", "is_outage", "outage_error"]

Outage = Literal[
    "unreachable", "unknown_host", "slow", "reset", "tls", "no_authority", "malformed", "redirected"
]
# What says that nobody is there; more of the same is not tried for a while.
OUTAGES = frozenset({"vault.unreachable", "vault.unknown_host", "vault.slow", "vault.reset", "vault.tls"})
_LATER = "Try again in a minute; the admin sees more in: jupyter-sandbox-admin doctor"
_ADMIN = "Tell the hub's admin, who sees more in: jupyter-sandbox-admin doctor"
_SENTENCES: dict[Outage, tuple[str, str]] = {
    "unreachable": ("Vault does not answer: nobody listens at its address.", _LATER),
    "unknown_host": ("Vault does not answer: its host name is not known.", _ADMIN),
    "slow": ("Vault did not answer in time.", _LATER),
    "reset": ("Vault cut the connection before it had answered.", _LATER),
    "tls": (
        "Vault's certificate is not accepted.",
        "The admin checks `ca` and `address` of setup_hub's vault=...",
    ),
    "no_authority": (
        "The file of the authority that signed Vault's certificate cannot be used.",
        "The admin checks `ca` of setup_hub's vault=...: a file in PEM that the broker may read.",
    ),
    "malformed": ("Vault's answer is not what Vault answers; something stands in its place.", _ADMIN),
    "redirected": (
        "Vault answered with a redirect, which is not followed.",
        "The admin sets the address it names.",
    ),
}
_BY_STATUS: dict[int, tuple[str, str, str]] = {
    472: ("vault.standby", "This Vault is a standby and does not answer.", _ADMIN),
    473: ("vault.standby", "This Vault is a performance standby and does not answer.", _ADMIN),
    500: ("vault.failed", "Vault had an error of its own.", _LATER),
    501: ("vault.not_initialized", "Vault is not set up yet.", _ADMIN),
    502: ("vault.bad_gateway", "What stands before Vault cannot reach it.", _LATER),
    503: (
        "vault.sealed",
        "Vault is sealed, so it gives nothing to anybody until an operator unseals it.",
        _LATER,
    ),
    504: ("vault.bad_gateway", "What stands before Vault did not get an answer from it.", _LATER),
}
_POLICY = "permission denied"  # what Vault says where no policy has a message of its own


def outage_error(outage: Outage, detail: str = "") -> ProgramError:
    """Vault was not reached, or something else answered. `detail` is for the program's log."""
    sentence, remedy = _SENTENCES[outage]
    error = ProgramError(sentence, code=f"vault.{outage}", remedy=remedy, status=503)
    error.__cause__ = None if not detail else RuntimeError(detail)
    return error


def is_outage(error: SandboxError) -> bool:
    """Does it say that nobody is there?"""
    return error.code in OUTAGES


def answer_error(
    status: int, words: Sequence[str] = (), retry_after: float | None = None, what: str = ""
) -> SandboxError:
    """The error for a status of Vault. `what` is what was asked for, as people know it."""
    said = _said(words)
    if status == 429:
        wait = format_duration(retry_after) if retry_after else "a few seconds"
        return ProgramError(
            "Vault is asked too often.", code="vault.rate_limited", remedy=f"Try again in {wait}.", status=503
        )
    if status in (401, 403):
        return _denied(said, what)
    if status == 404:
        return RefusedError(
            f"Vault has nothing at {what or 'this path'}.",
            code="vault.absent",
            remedy="Ask the hub's admin to store it.",
            status=404,
        )
    if status in _BY_STATUS:
        code, sentence, remedy = _BY_STATUS[status]
        return ProgramError(sentence, code=code, remedy=remedy, status=503)
    if status == 400:
        sentence = f"Vault refused the request{f' for {what}' if what else ''}{f': {said}' if said else ''}."
        return ProgramError(sentence, code="vault.refused", remedy=_ADMIN, status=502)
    return ProgramError(f"Vault answered {status}.", code="vault.failed", remedy=_LATER, status=503)


def _denied(said: str, what: str) -> RefusedError:
    thing = what or "this"
    own = f" It says: {said}." if said and said != _POLICY else ""
    return RefusedError(
        f"Vault's policy does not let this server have {thing}.{own}",
        code="vault.denied",
        remedy="Ask the hub's admin, or whoever runs Vault, for a policy that allows it.",
    )


def _said(words: Sequence[str]) -> str:
    """Vault's own words in one line, without the lead of a list of errors."""
    lines = [line.strip(" *\t") for word in words for line in str(word).splitlines()]
    told = [line for line in lines if line and not line.endswith("error occurred:")]
    return "; ".join(told)[:300].rstrip(".")
