"""The broker: turns a grant into a secret's value, after control allowed and audited it.

It parses no hostile bytes but small JSON from the gateway, and is the only program that can open the store.
"""

__all__: list[str] = []
