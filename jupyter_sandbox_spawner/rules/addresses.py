"""Is this IP address public, and does a list of networks hold it?

Law: an address is public only if no special registry names it, in whatever form it embeds another.
ref: https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

__all__ = ["in_networks", "is_global", "is_metadata", "networks_of", "parse_address"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Python's own is_global changed between 3.10 and 3.13, so the registries are written out.
_NOT_GLOBAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NOT_GLOBAL_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# Cloud metadata services; 168.63.129.16 (Azure) stands in the public range.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


def parse_address(text: str) -> Address | None:
    """The address in its one canonical spelling, or None; a zone (`%eth0`) is never accepted."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_global(address: Address) -> bool:
    """Is it a public unicast address? Forms that embed an IPv4 address (mapped, 6to4, NAT64...) are not."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_GLOBAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_GLOBAL_V6)


def is_metadata(address: Address) -> bool:
    """Is it the metadata service of a cloud?"""
    return address in _METADATA


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks among these texts; a host pattern is none and is left out."""
    return tuple(network for network in map(_parse_network, texts) if network is not None)


def in_networks(address: Address, networks: Sequence[Network]) -> bool:
    """Does one of the networks hold it? A metadata address must be named alone (/32 or /128)."""
    holding = [network for network in networks if address in network]
    if is_metadata(address):
        return any(network.num_addresses == 1 for network in holding)
    return bool(holding)


def _parse_network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None
