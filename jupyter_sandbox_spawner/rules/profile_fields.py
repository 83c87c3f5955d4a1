"""What must each value of a profile look like? Each function gives the value, or an error with a remedy."""

from __future__ import annotations

import re
from typing import Any

from ..errors import ConfigurationError
from ..models import BrowserPolicy, IsolationLevel
from ..units import parse_duration, parse_size
from .profiles import ExtensionOffer

__all__ = [
    "LONGEST_LIMIT",
    "boolean",
    "browser",
    "extension",
    "group_name",
    "groups",
    "is_reserved",
    "isolation",
    "limit_of_time",
    "line_of_text",
    "paragraph",
    "processes",
    "is_runtime",
    "runtime",
    "servers",
    "shown",
    "slug",
    "variables",
    "wrong",
]

LONGEST_LIMIT = 366 * 86400
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_GROUP = re.compile(r"[^\x00-\x1f*?]{1,255}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Nothing of a content security policy's own language (quotes, semicolons, *) gets in.
_ORIGIN = re.compile(r"(?:https|wss)://(?:\*\.)?(?:[a-z0-9-]+\.)+[a-z0-9-]+(?::[0-9]{1,5})?")
# The server's identity, its doors and what it loads are ours to set.
_RESERVED = re.compile(
    r"(JUPYTERHUB_|JPY_|JUPYTER_|PYTHON|LD_).*|(HTTPS?|ALL|NO)_PROXY|PATH|HOME|USER|SHELL|NVIDIA_VISIBLE_DEVICES",
    re.IGNORECASE,
)


def shown(value: Any) -> str:
    """The value as the admin will recognise it, cut at 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def wrong(field: str, value: Any, what: str, remedy: str) -> ConfigurationError:
    """The error for one value: field, value, what is wrong, what to write."""
    return ConfigurationError(f"{field}: {shown(value)} {what}.", field=field, remedy=remedy)


def slug(value: Any, field: str) -> str:
    """The name of a profile in URLs and options."""
    if isinstance(value, str) and _SLUG.fullmatch(value):
        return value
    raise wrong(field, value, "is not a slug", "Write lower-case letters, digits and -, such as cpu-small.")


def line_of_text(value: Any, field: str) -> str:
    """One printable line for a form."""
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= 120:
        return value
    raise wrong(field, value, "is not one line of at most 120 characters", 'Write a text, such as "CPU".')


def paragraph(value: Any, field: str) -> str:
    """A text whose line breaks do not matter."""
    if isinstance(value, str) and len(value) <= 1000:
        return " ".join(value.split())
    raise wrong(field, value, "is not a text of at most 1000 characters", "Write a sentence.")


def boolean(value: Any, field: str) -> bool:
    """true or false, not 1 or yes in quotes."""
    if isinstance(value, bool):
        return value
    raise wrong(field, value, "is neither true nor false", "Write true or false.")


def processes(value: Any, field: str) -> int:
    """How many processes and threads may exist at once."""
    if isinstance(value, int) and not isinstance(value, bool) and 16 <= value <= 1_000_000:
        return value
    raise wrong(field, value, "is not a number of processes", "Write a whole number from 16, such as 512.")


def servers(value: Any, field: str) -> int:
    """How many servers one user may have."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000:
        return value
    raise wrong(field, value, "is not a number of servers", "Write a whole number from 1, such as 3.")


def limit_of_time(value: Any, field: str) -> int:
    """Seconds after which something ends."""
    seconds = parse_duration(value, field)
    if seconds > LONGEST_LIMIT:
        raise wrong(
            field, value, "is longer than a year", "Write at most 366d, or leave it out for no limit."
        )
    return seconds


def extension(value: Any, field: str) -> ExtensionOffer:
    """How much more time a user may ask for: at a time, and in all."""
    remedy = "Write extend: {by: 1h, at_most: 4h}, or leave it out."
    if not isinstance(value, dict) or set(value) != {"by", "at_most"}:
        raise wrong(field, value, "does not have exactly by and at_most", remedy)
    offer = ExtensionOffer(
        by=parse_duration(value["by"], f"{field}.by"),
        at_most=parse_duration(value["at_most"], f"{field}.at_most"),
    )
    if offer.at_most < offer.by:
        raise wrong(f"{field}.at_most", value["at_most"], "is less than by", remedy)
    return offer


def browser(value: Any, field: str) -> BrowserPolicy:
    """What browsers may get from the profile's servers."""
    known = ("hosts", "downloads", "bytes_per_day")
    if not isinstance(value, dict) or not set(value) <= set(known):
        remedy = "Write browser: {downloads: false, bytes_per_day: 5G}, or leave it out."
        raise wrong(field, value, f"has other keys than {', '.join(known)}", remedy)
    listed = value.get("hosts", [])
    if not isinstance(listed, list):
        raise wrong(f"{field}.hosts", listed, "is not a list", 'Write ["https://cdn.example.org"].')
    for host in listed:
        if not isinstance(host, str) or not _ORIGIN.fullmatch(host):
            remedy = "Write https:// or wss:// and a name, such as https://cdn.example.org."
            raise wrong(f"{field}.hosts", host, "is no origin that pages may load from", remedy)
    cap = value.get("bytes_per_day")
    return BrowserPolicy(
        hosts=tuple(listed),
        downloads=boolean(value.get("downloads", True), f"{field}.downloads"),
        bytes_per_day=None if cap is None else parse_size(cap, f"{field}.bytes_per_day"),
    )


def isolation(value: Any, field: str) -> IsolationLevel:
    """The level that a profile demands."""
    if value == "hard":
        return "hard"
    if value == "soft":
        return "soft"
    raise wrong(field, value, "is not a level", "Write hard or soft, or leave it out.")


def is_runtime(name: str) -> bool:
    """May an OCI runtime be called so? A name, never a path."""
    return re.fullmatch(r"[a-z][a-z0-9_.-]{0,39}", name) is not None


def runtime(value: Any, field: str) -> str:
    """The name of an OCI runtime."""
    if isinstance(value, str) and is_runtime(value):
        return value
    raise wrong(field, value, "is not the name of a runtime", "Write runc, crun or runsc, or leave it out.")


def groups(value: Any, field: str) -> tuple[str, ...]:
    """Exact names of hub groups; an empty list means nobody."""
    if not isinstance(value, list):
        raise wrong(field, value, "is not a list of groups", "Write [NAME]; leave it out for everyone.")
    for name in value:
        if not isinstance(name, str) or not _GROUP.fullmatch(name):
            remedy = "Write the group's exact name; leave allowed_groups out for everyone."
            raise wrong(field, name, "is not the name of a group; patterns are not read", remedy)
    return tuple(value)


def group_name(value: Any, field: str) -> str:
    """The exact name of one hub group."""
    if isinstance(value, str) and _GROUP.fullmatch(value):
        return value
    remedy = "Write the group's exact name; leave it out for everyone."
    raise wrong(field, value, "is not the name of a group; patterns are not read", remedy)


def is_reserved(name: str) -> bool:
    """Is it a variable that only the sandbox itself sets?"""
    return _RESERVED.fullmatch(name) is not None


def variables(value: Any, field: str) -> dict[str, str]:
    """Environment variables that are not secret and not ours."""
    if not isinstance(value, dict):
        raise wrong(field, value, "is not a mapping", 'Write NAME: "value".')
    for name, text in value.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(text, str) or "\0" in text:
            raise wrong(f"{field}.{name}", text, "is not a text", f'Write {name}: "value", in quotes.')
        if is_reserved(name):
            raise wrong(
                f"{field}.{name}", text, "would replace a variable that the sandbox sets", "Remove it."
            )
    return value
