"""Is this an address of control's database that may be used? PostgreSQL by a URL; without one it is SQLite.

Law: a password is never in it, and nothing leaves the machine without TLS that checks who answers.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ..errors import ConfigurationError

__all__ = ["check_database"]

_EXAMPLE = "postgresql://control@db.example:5432/jss?sslmode=verify-full"
_OPTIONS = ("host", "port", "sslcert", "sslkey", "sslmode", "sslrootcert", "target_session_attrs")
_SAFE_MODES = ("verify-full", "verify-ca")
_SECRETS = ("password", "passfile", "sslpassword")


def check_database(url: str, password_file: str = "") -> None:
    """Return where the setting may be used; "" is SQLite. Raises ConfigurationError `database.setting`."""
    if password_file and not (url and password_file.startswith("/")):
        what, remedy = "is no absolute path", "Write it from the root: /etc/..."
        if not url:
            what, remedy = "is set, and database is not", f"Give database=, such as {_EXAMPLE}."
        raise _wrong("database_password_file", repr(password_file), what, remedy)
    if not url:
        return
    try:
        parts = urlsplit(url)
        _check_port(parts)
    except ValueError as error:
        raise _wrong("database", "...", "is no URL", f"Write it as {_EXAMPLE}") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    # Not shown before this: it may hold a password.
    if parts.password is not None or any(name in options for name in _SECRETS):
        remedy = "Write the password into a file of mode 0600 and name it as database_password_file."
        raise _wrong("database", "...", "has a password in it", remedy)
    _check_parts(url, parts, options)
    _check_way(url, parts, options)


def _check_port(parts: SplitResult) -> None:
    if parts.port == 0:
        raise ValueError("port 0")


def _check_parts(url: str, parts: SplitResult, options: dict[str, str]) -> None:
    if parts.scheme != "postgresql":
        remedy = f"Write {_EXAMPLE}; leave it out for SQLite."
        raise _wrong("database", repr(url), "is no address of a PostgreSQL", remedy)
    if not parts.path.strip("/") or "/" in parts.path.strip("/") or parts.fragment:
        raise _wrong("database", repr(url), "names no database", f"Write {_EXAMPLE}.")
    for name in options:
        if name not in _OPTIONS:
            raise _wrong("database", name, "is no option here", f"Known: {', '.join(_OPTIONS)}.")
    if not (parts.hostname or options.get("host")):
        remedy = "Write one, or the directory of its socket: postgresql:///jss?host=/run/postgresql"
        raise _wrong("database", repr(url), "names no host", remedy)


def _check_way(url: str, parts: SplitResult, options: dict[str, str]) -> None:
    hosts = [parts.hostname or "", *options.get("host", "").split(",")]
    if all(_is_here(host) for host in hosts if host) or options.get("sslmode") in _SAFE_MODES:
        return
    remedy = "Add ?sslmode=verify-full (and &sslrootcert=FILE where the authority is your own)."
    raise _wrong("database", repr(url), "would be asked over the network without TLS that is checked", remedy)


def _is_here(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(field: str, value: str, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"{field}: {value} {what}.", code="database.setting", field=field, remedy=remedy
    )
