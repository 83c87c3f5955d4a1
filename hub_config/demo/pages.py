"""What stands on a page of the hub? Hidden fields, profiles of the form, the reason of a refusal."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

__all__ = [
    "FormProfile",
    "Page",
    "SpawnForm",
    "read_all_hidden",
    "read_endings",
    "read_form",
    "read_hidden",
    "read_reason",
]


@dataclass(frozen=True)
class Page:
    """What a navigation ended at: HTTP status, the address after redirects, the text."""

    status: int
    url: str
    text: str

    @property
    def path(self) -> str:
        """The path of the address, without what follows a question mark."""
        return urlsplit(self.url).path


@dataclass(frozen=True)
class FormProfile:
    """One choice of the spawn form; `text` is all that the person reads beside it."""

    slug: str
    allowed: bool
    checked: bool
    text: str


@dataclass(frozen=True)
class SpawnForm:
    """The profiles in the order of the form."""

    profiles: tuple[FormProfile, ...]

    def allowed(self) -> tuple[FormProfile, ...]:
        """Profiles this person may take."""
        return tuple(profile for profile in self.profiles if profile.allowed)

    def refused(self) -> tuple[FormProfile, ...]:
        """Profiles shown greyed."""
        return tuple(profile for profile in self.profiles if not profile.allowed)


@dataclass
class _FormReader(HTMLParser):
    found: list[dict[str, str | None]] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "input" and names.get("name") == "profile":
            self.found.append(names)
            self.texts.append([])
        elif tag == "input" and names.get("type") == "submit":
            self.texts.append([])

    def handle_data(self, data: str) -> None:
        if self.texts and data.strip():
            self.texts[-1].append(data.strip())


def read_form(text: str) -> SpawnForm:
    """The radio buttons named `profile`, each with the words that follow it."""
    reader = _FormReader()
    reader.feed(text)
    pairs = zip(reader.found, reader.texts, strict=False)
    return SpawnForm(
        tuple(
            FormProfile(
                slug=names.get("value") or "",
                allowed="disabled" not in names,
                checked="checked" in names,
                text=" ".join(words),
            )
            for names, words in pairs
        )
    )


def read_hidden(text: str, name: str) -> str:
    """The value of a hidden field; empty when the page has none."""
    return (read_all_hidden(text, name) or [""])[0]


def read_all_hidden(text: str, name: str) -> list[str]:
    """The values of all hidden fields of this name."""
    tags = [tag for tag in re.findall(r"<input\b[^>]*>", text) if f'name="{name}"' in tag]
    return [html.unescape(value) for tag in tags for value in re.findall(r'value="([^"]*)"', tag)]


def read_reason(text: str) -> str:
    """The sentence of a refusal: `message` of a JSON answer, else what the error page or form says."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return str(document.get("message") or document)
    for pattern in (
        r'<p class="login_error">(.*?)</p>',
        r'class="spawn-error-msg[^>]*>(.*?)</p>',
        r'<div class="error">(.*?)</div>',
        r"has failed\.\s*</p>\s*<p>(.*?)</p>",  # of a start that failed after the page had moved on
        r"<title>(.*?)</title>",
    ):
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return _plain(found[1])
    return _plain(text)[:300]


def read_endings(text: str) -> dict[str, str]:
    """What the home page's panel says about each server: why it stopped, or how long it runs."""
    panel = re.search(r'<section class="sandbox-panel".*?</section>', text, re.DOTALL)
    rows = re.findall(r"<tr>\s*" + r"<td>(.*?)</td>\s*" * 3 + "</tr>", panel[0] if panel else "", re.DOTALL)
    return {_plain(server): _plain(state) for server, _, state in rows}


def _plain(fragment: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", fragment))).strip()
