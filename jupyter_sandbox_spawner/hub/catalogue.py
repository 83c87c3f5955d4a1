"""Which profiles does this hub offer? Read and checked once, at its start; what was checked is used."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..rules.profile_file import parse_profiles, profiles_from_python
from ..rules.profiles import Profile
from ..settings import Site, load_site

__all__ = ["load_profiles", "site_of"]


def load_profiles(
    source: str | Path | Sequence[Any], environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of a YAML file (by path) or of a Python list.

    Raises ProfileError with `FILE:LINE: FIELD: ...`, ConfigurationError where the file cannot be read.
    """
    names = tuple(sorted(environments))
    if isinstance(source, (str, Path)):
        return _from_file(str(source), names)
    return _from_list(json.dumps(list(source)), names)


@lru_cache(maxsize=8)
def _from_file(path: str, environments: tuple[str, ...]) -> tuple[Profile, ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(
            f"{path} cannot be read: {reason}.",
            code="profiles.missing",
            field="profiles",
            remedy="Give setup_hub(c, profiles=...) the path of a profiles.yaml.",
        ) from error
    return parse_profiles(text, path, environments)


@lru_cache(maxsize=8)
def _from_list(document: str, environments: tuple[str, ...]) -> tuple[Profile, ...]:
    return profiles_from_python(json.loads(document), "profiles", environments)


@lru_cache(maxsize=4)
def site_of(path: str) -> Site:
    """The site of a site.json, read once."""
    return load_site(path or None)
