"""What is the one spelling of a host name, and is it an IP address in disguise?"""

from __future__ import annotations

import re

import idna

__all__ = ["is_ip_literal", "normalise_host"]

_LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETS = re.compile(r"\[([0-9a-f:.%a-z]+)\]")
_COLON_LITERAL = re.compile(r"[0-9a-f:.]+(%[0-9a-z]+)?")


def normalise_host(host: str) -> str | None:
    """Lower-case, one trailing dot stripped, IDNA; an IPv6 literal without brackets; None if no host name."""
    lowered = host.lower()
    bracketed = _BRACKETS.fullmatch(lowered)
    if bracketed:
        lowered = bracketed[1]
        return lowered if ":" in lowered else None
    if ":" in lowered:
        return lowered if _COLON_LITERAL.fullmatch(lowered) else None
    name = _ascii(lowered[:-1] if lowered.endswith(".") else lowered)
    if name is None or len(name) > _LONGEST_NAME:
        return None
    return name if all(_LABEL.fullmatch(label) for label in name.split(".")) else None


def is_ip_literal(name: str) -> bool:
    """Would any resolver read this normalised name as an address (dotted, short, decimal, hex, octal, IPv6)?

    A name whose last label is a number is always read as IPv4. ref: https://url.spec.whatwg.org/#ends-in-a-number-checker
    """
    return ":" in name or _NUMBER.fullmatch(name.rsplit(".", 1)[-1]) is not None


def _ascii(name: str) -> str | None:
    if name.isascii():
        return name
    try:
        return idna.encode(name).decode()
    except idna.IDNAError:
        return None
