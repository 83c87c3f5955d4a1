"""What do raw options of a request ask for? A profile and choices inside it, as words, or a refusal.

Law: nothing of a request passes here but short texts by name; every other shape is refused with status 400.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import ProfileRefusedError

__all__ = ["Asked", "asked", "saved_options"]

_KEYS = frozenset({"profile", "options"})
_MOST = 20
_LONGEST_NAME = 63
_LONGEST = 1000
_REMEDY = 'Send {"profile": "SLUG", "options": {"OPTION": "CHOICE"}} or nothing; the form does it for you.'


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for: a slug or None for the default, and a choice or a text by option."""

    profile: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def asked(user_options: object) -> Asked:
    """What raw `user_options` ask for; whether it exists is not looked at here.

    Raises ProfileRefusedError (status 400) for anything but an object with the keys `profile`, a word, and
    `options`, an object of words.
    """
    if user_options is None:
        return Asked()
    if not isinstance(user_options, Mapping):
        raise _refused("options.invalid", "The options must be an object.", "")
    unknown = sorted(str(key)[:80] for key in user_options if key not in _KEYS)
    if unknown:
        raise _refused("options.unknown", f"The option {unknown[0]!r} does not exist.", unknown[0])
    slug = user_options.get("profile")
    if slug is not None and not isinstance(slug, str):
        raise _refused("options.invalid", "The option 'profile' must be one word.", "profile")
    return Asked(profile=slug or None, options=_inner(user_options.get("options")))


def saved_options(profile: str, options: Mapping[str, str]) -> dict[str, object]:
    """What the hub is to keep of a choice: `asked` gives it back."""
    return {"profile": profile, "options": dict(options)} if options else {"profile": profile}


def _inner(options: object) -> dict[str, str]:
    if options is None:
        return {}
    if not isinstance(options, Mapping) or len(options) > _MOST:
        raise _refused(
            "options.invalid", f"The option 'options' must be an object of at most {_MOST} words.", "options"
        )
    for name, text in options.items():
        place = f"options.{str(name)[:80]}"
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            raise _refused("options.unknown", f"The option {str(name)[:80]!r} does not exist.", place)
        if not isinstance(text, str) or len(text) > _LONGEST:
            what = f"must be one text of at most {_LONGEST} characters"
            raise _refused("options.invalid", f"The option {name!r} {what}.", place)
    return dict(options)


def _refused(code: str, message: str, name: str) -> ProfileRefusedError:
    return ProfileRefusedError(message, code=code, field=name, remedy=_REMEDY, status=400)
