"""Is a profiles.yaml right? The same check as the hub makes before it starts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import ProfileError
from ..rules.profile_file import parse_profiles

__all__ = ["check_profiles"]


def check_profiles(file: str, environments: Collection[str] = ()) -> list[str]:
    """The slugs of the file's profiles, in order. Raises ProfileError with every problem."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProfileError(
            f"{file}: cannot be read: {reason}.",
            code="profiles.unreadable",
            remedy="Give the path of a YAML file with a list of profiles.",
        ) from error
    return [profile.slug for profile in parse_profiles(text, file, environments)]
