"""Which profiles does this hub offer now? Those of the file as it is, or of its last good reading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ProfileError
from ..kept_book import BookState, KeptBook
from ..rules.profiles import Profile
from ..rules.rulebook_file import as_json, parse_rulebook, rulebook_from_python
from ..settings import Site, load_site

__all__ = ["Source", "alarm", "check_profiles", "in_python", "offered_profiles", "site_of"]

Source = str | Path | Sequence[Any] | Mapping[str, Any] | Callable[[], Any]


def check_profiles(source: Source, environments: Collection[str] = ()) -> tuple[Profile, ...]:
    """The profiles of a file (by path) or of a Python list, dictionary, or callable that gives one.

    Raises ProfileError with `FILE:LINE: FIELD: ...`, ConfigurationError where the file cannot be read.
    """
    if not isinstance(source, (str, Path)):
        return rulebook_from_python(in_python(source), "profiles", environments).profiles
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(
            f"{source} cannot be read: {reason}.",
            code="profiles.missing",
            field="profiles",
            remedy="Give setup_hub(c, profiles=...) the path of a profiles.yaml.",
        ) from error
    return parse_rulebook(text, str(source), environments).profiles


def in_python(source: Any) -> Any:
    """The list or dictionary of what was given in Python, of a callable what it gives."""
    found = source() if callable(source) else source
    return dict(found) if isinstance(found, Mapping) else list(found)


def offered_profiles(source: Source, environments: Collection[str] = ()) -> tuple[Profile, ...]:
    """The profiles of now: a file is looked at again each time. Raises as `check_profiles` does."""
    names = tuple(sorted(environments))
    if not isinstance(source, (str, Path)):
        return _from_python(as_json(in_python(source)), names)
    state = _kept(str(source), names).current()
    if state.book is None:
        raise ProfileError(state.problem, field="profiles")
    return state.book.profiles


def alarm(source: Source, environments: Collection[str] = ()) -> str:
    """What an admin must know of the file: why its last edit is not in force; "" where it is."""
    if not isinstance(source, (str, Path)):
        return ""
    state: BookState = _kept(str(source), tuple(sorted(environments))).current()
    since = f"{state.loaded_at:%Y-%m-%d %H:%M} UTC" if state.loaded_at else "nothing"
    return (
        f"The profiles file is refused; what was read at {since} stays. {state.problem}"
        if state.problem
        else ""
    )


@lru_cache(maxsize=8)
def _kept(path: str, environments: tuple[str, ...]) -> KeptBook:
    return KeptBook(path, environments)


@lru_cache(maxsize=8)
def _from_python(document: str, environments: tuple[str, ...]) -> tuple[Profile, ...]:
    return parse_rulebook(document, "profiles", environments).profiles


@lru_cache(maxsize=4)
def site_of(path: str) -> Site:
    """The site of a site.json, read once."""
    return load_site(path or None)
