"""What is one guard of which a test must notice that it is gone?"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Guard"]


@dataclass(frozen=True, kw_only=True)
class Guard:
    """`pattern` (a regular expression that fits exactly once) in `file` becomes `replacement`.

    `tests` are pytest arguments; at least one of those tests must then fail. `live` ones need a house.
    """

    name: str
    file: str
    pattern: str
    replacement: str
    tests: str
    live: bool = False
