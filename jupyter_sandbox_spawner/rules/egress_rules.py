"""How does an admin's allowlist become rules, and what is refused in it?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from ..errors import ConfigurationError
from ..models import EgressRule
from .hostnames import is_ip_literal, normalise_host

__all__ = ["compile_rules"]

_DEFAULT_PORTS = (443,)
_KEYS = frozenset({"host", "ports", "allow_private"})
_ITEM = re.compile(r"(?P<host>\[[^\]]*\]|[0-9a-fA-F:]+/[0-9]+|[^:\[\]]*)(:(?P<port>.*))?")
_SHORTEST_PREFIX = {4: 8, 6: 7}
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})
# Anybody can have a name below these, so a wildcard would open an exit.
_SHARED_SUFFIXES = frozenset(
    {
        "amazonaws.com",
        "appspot.com",
        "azureedge.net",
        "azurewebsites.net",
        "cloudfront.net",
        "core.windows.net",
        "blob.core.windows.net",
        "github.io",
        "gitlab.io",
        "herokuapp.com",
        "netlify.app",
        "ngrok.io",
        "pages.dev",
        "vercel.app",
        "web.app",
        "workers.dev",
    }
)
_FORMS = 'Write "host", "host:port", "*.host:443", "10.0.0.0/8:8080" or {host, ports, allow_private}.'


def compile_rules(items: Sequence[object], field: str) -> tuple[EgressRule, ...]:
    """Rules of a YAML list. Absent or empty: nothing is allowed. `*` is refused.

    An item is `"host"` (port 443), `"host:port"`, `"*.host:443"` (sub-domains only), a network such as
    `"10.0.0.0/8:8080"` or `"[fd00::/8]:8080"`, or a mapping `{host, ports: [...], allow_private: [...]}`.
    Raises ConfigurationError with field, value and remedy.
    """
    if isinstance(items, (str, bytes)) or not isinstance(items, Sequence):
        raise _refused(field, items, "is not a list", f"Write a list. {_FORMS}")
    return tuple(_rule(item, f"{field}[{index}]") for index, item in enumerate(items))


def _rule(item: object, field: str) -> EgressRule:
    if isinstance(item, str):
        return _from_text(item, field)
    if isinstance(item, Mapping):
        return _from_mapping(item, field)
    raise _refused(field, item, "is not a rule", _FORMS)


def _from_text(text: str, field: str) -> EgressRule:
    match = _ITEM.fullmatch(text)
    if match is None:
        raise _refused(field, text, "is not a host with an optional port", f"{_FORMS} No scheme, no path.")
    ports = _DEFAULT_PORTS
    if match["port"] is not None:
        ports = (_port(int(match["port"]) if re.fullmatch("[0-9]{1,5}", match["port"]) else text, field),)
    return EgressRule(pattern=_pattern(match["host"], field), ports=ports, text=text)


def _from_mapping(item: Mapping[object, object], field: str) -> EgressRule:
    unknown = sorted(str(key) for key in item if key not in _KEYS)
    if unknown:
        raise _refused(
            f"{field}.{unknown[0]}",
            item[unknown[0]],
            "is not a known key",
            "Keys: host, ports, allow_private.",
        )
    host = item.get("host")
    if not isinstance(host, str):
        raise _refused(f"{field}.host", host, "is not a host", _FORMS)
    pattern = _pattern(host, f"{field}.host")
    ports = _ports(item.get("ports", list(_DEFAULT_PORTS)), f"{field}.ports")
    allow_private = _allow_private(item.get("allow_private", []), f"{field}.allow_private")
    text = f"{pattern}:{','.join(str(port) for port in ports)}"
    return EgressRule(pattern=pattern, ports=ports, allow_private=allow_private, text=text)


def _pattern(host: str, field: str) -> str:
    if "/" in host:
        return _network(host[1:-1] if host.startswith("[") else host, field)
    wildcard = host.startswith("*.")
    name = normalise_host(host[2:] if wildcard else host)
    if host in {"*", "*."}:
        raise _refused(
            field, host, "would allow every host", "Name the hosts; *.example.org allows its sub-domains."
        )
    if name is None or "*" in name:
        raise _refused(field, host, "is not a host name", f"{_FORMS} No scheme, no path.")
    if is_ip_literal(name):
        raise _refused(field, host, "is an IP address", f'Write a name, or the network "{name}/32".')
    if wildcard and _is_public_suffix(name):
        raise _refused(
            field, host, "would allow names that anybody can register", "Name the hosts one by one."
        )
    return f"*.{name}" if wildcard else name


def _is_public_suffix(name: str) -> bool:
    labels = name.split(".")
    country = len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVEL
    return len(labels) == 1 or country or name in _SHARED_SUFFIXES


def _ports(ports: object, field: str) -> tuple[int, ...]:
    listed = [ports] if isinstance(ports, int) else ports
    if not isinstance(listed, list | tuple) or not listed:
        raise _refused(field, ports, "is not a list of ports", "Write ports: [443].")
    return tuple(dict.fromkeys(_port(port, field) for port in listed))


def _port(port: object, field: str) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise _refused(field, port, "has no port between 1 and 65535", "Write a whole number, such as 443.")
    return port


def _allow_private(networks: object, field: str) -> tuple[str, ...]:
    listed = [networks] if isinstance(networks, str) else networks
    if not isinstance(listed, list | tuple):
        raise _refused(field, networks, "is not a list of networks", 'Write allow_private: ["10.1.0.0/16"].')
    return tuple(_network(network, field) for network in listed)


def _network(text: object, field: str) -> str:
    try:
        network = ip_network(text) if isinstance(text, str) else None
    except ValueError as error:
        raise _refused(
            field, text, f"is not a network ({error})", 'Write CIDR form, such as "10.1.0.0/16".'
        ) from None
    if network is None:
        raise _refused(field, text, "is not a network", 'Write CIDR form, such as "10.1.0.0/16".')
    if network.prefixlen < _SHORTEST_PREFIX[network.version]:
        raise _refused(field, text, "is too wide a network", "Write /8 or narrower.")
    return str(network)


def _refused(field: str, value: object, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"{field}: {str(value)[:200]!r} {what}.", code="egress.rule_invalid", field=field, remedy=remedy
    )
