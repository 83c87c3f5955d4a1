"""How long and how much may one connection through the egress door take?"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bytes and seconds of one connection, and the pipes of the whole gateway.

    `stall_seconds`: the receiver takes nothing while bytes wait for it; `idle_seconds`: nothing moves
    at all; `sweep_seconds`: how often both are looked at, and after how long a stalled receiver's bytes
    leave their pipe. `pipes` = 0 copies instead of splicing.
    """

    head_bytes: int = 16 << 10
    head_seconds: float = 15.0
    hello_bytes: int = 64 << 10
    hello_seconds: float = 10.0
    resolve_seconds: float = 5.0
    connect_seconds: float = 10.0
    stall_seconds: float = 300.0
    idle_seconds: float = 900.0
    sweep_seconds: float = 1.0
    pipes: int = 32
