"""What does the site's `internal_services` say: which names are answered by which addresses?"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigurationError
from .addresses import parse_address
from .hostnames import normalise_host

__all__ = ["service_places"]

Place = tuple[str, int]


def service_places(internal_services: Mapping[str, str]) -> dict[Place, Place]:
    """Name and port to address and port. Raises ConfigurationError `egress.service_invalid`."""
    return {_name(name): _place(to) for name, to in internal_services.items()}


def _name(text: str) -> Place:
    host, _, port = text.rpartition(":")
    name = normalise_host(host)
    if name is None or not port.isdecimal():
        raise _invalid(text, 'Write "name:port", such as "mlflow.sandbox.internal:80".')
    return name, int(port)


def _place(text: str) -> Place:
    host, _, port = text.rpartition(":")
    address = parse_address(host.strip("[]"))
    if address is None or not port.isdecimal():
        raise _invalid(text, 'Write "address:port", such as "127.0.0.1:5000".')
    return str(address), int(port)


def _invalid(text: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"internal_services: {text!r} is not a place.",
        code="egress.service_invalid",
        field="internal_services",
        remedy=remedy,
    )
