"""Is a profiles.yaml right? The same check as the hub makes before it starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from ..errors import ProfileError
from ..rules.rulebook import Rulebook
from ..rules.rulebook_file import parse_rulebook
from .installation import Installation

__all__ = ["check_profiles", "read_book", "with_profiles_file"]


def read_book(file: str, environments: Collection[str] = ()) -> Rulebook:
    """What a file says, be it a list of profiles or a mapping with sections.

    Raises ProfileError with every problem, `profiles.unreadable` where it cannot be read.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProfileError(
            f"{file}: cannot be read: {reason}.",
            code="profiles.unreadable",
            remedy="Give the path of a YAML file with a list of profiles.",
        ) from error
    return parse_rulebook(text, file, environments)


def check_profiles(file: str, environments: Collection[str] = ()) -> list[str]:
    """The slugs of the file's profiles, in order. Raises as `read_book` does."""
    return [profile.slug for profile in read_book(file, environments).profiles]


def with_profiles_file(installation: Installation) -> Installation:
    """The installation with profiles that were given in Python in a file of run_dir, for hub and control."""
    site = installation.site
    if not installation.profiles:
        return installation
    target = Path(site.run_dir, "profiles.json")
    # As in site.json, there is no secret in it, and programs of other uids read it.
    mode = 0o644 if site.program_uids else 0o600
    descriptor, temporary = tempfile.mkstemp(dir=site.run_dir, prefix="profiles.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, mode)
        stream.write(installation.profiles)
    os.replace(temporary, target)
    return replace(installation, site=replace(site, profiles=str(target)))
