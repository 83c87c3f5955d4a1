"""What does doctor say about one thing it looked at?"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: fine or not, what was seen, and what to do where it is not fine.

    `needed` False: the product runs without it, weaker; such a finding is a warning.
    """

    name: str
    fine: bool
    seen: str
    remedy: str = ""
    needed: bool = True
