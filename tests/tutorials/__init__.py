"""Does a person who follows a tutorial see what its page shows?"""

from __future__ import annotations

__all__: list[str] = []
