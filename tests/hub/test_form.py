"""Does the form say what a profile costs, what a choice changes, and what the hub would say of a text?"""

from __future__ import annotations

import html
import json
import re

import pytest

from jupyter_sandbox_spawner.errors import ProfileRefusedError
from jupyter_sandbox_spawner.hub.form import Heading, profile_form
from jupyter_sandbox_spawner.hub.form_fields import fields_of, options_from_form
from jupyter_sandbox_spawner.hub.form_limits import price_words
from jupyter_sandbox_spawner.rules.choosing import Choice
from jupyter_sandbox_spawner.rules.offers import Offer
from jupyter_sandbox_spawner.rules.profile_choices import chosen
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles

PROFILES = parse_profiles(r"""
- display_name: A
  slug: a
  default: true
  sandbox: {cpu: 1, memory: 1G}
  profile_options:
    size:
      display_name: Size
      choices:
        small: {display_name: Small}
        large: {display_name: Large, sandbox: {memory: 2G, gpu: 1}}
    branch:
      display_name: Branch
      unlisted_choice: {pattern: '[a-z]\d*', variable: BRANCH, message: One letter., longest: 9}
    mode:
      display_name: Mode
      unlisted_choice: {pattern: '(?i)fast|slow', variable: MODE}
- {display_name: B, slug: b, sandbox: {cpu: 1, memory: 1G}}
""")
OFFER = Offer(
    slug="a", allowed=True, price=0.1, currency="EUR", choice_adds={"size.small": 0.0, "size.large": 1.5}
)


def entry(page: str, value: str) -> dict[str, str]:
    """What the browser is told of a choice: the limits that it changes."""
    found = re.search(rf'<option value="{value}"[^>]*data-limits="([^"]*)"', page)
    assert found is not None
    told: dict[str, str] = json.loads(html.unescape(found[1]))
    return told


def test_a_choice_says_what_it_changes() -> None:
    """Each entry of a list has the limits that some choice changes; what there is none of is empty."""
    page = profile_form(PROFILES, (), Choice(profile=PROFILES[0]))
    assert entry(page, "large") == {"Memory": "2.0 GB", "GPU": "1"}
    assert entry(page, "small") == {"Memory": "1.0 GB", "GPU": ""}
    assert ">Large: Memory 2.0 GB, GPU 1</option>" in page


@pytest.mark.parametrize(("size", "price"), [("small", "0.10 EUR"), ("large", "1.60 EUR")])
def test_the_price_is_that_of_what_is_chosen(size: str, price: str) -> None:
    """The card has the price of an hour with the saved choices; a card without an offer has none."""
    current = Choice(profile=PROFILES[0], options={"size": size})
    page = profile_form(PROFILES, (), current, offers={"a": OFFER})
    assert f">{price} an hour<" in page
    assert page.count("an hour<") == 1


@pytest.mark.parametrize(
    ("price", "words"), [(0, "0.00"), (0.1, "0.10"), (12.345, "12.35"), (0.044, "0.044"), (0.0012, "0.0012")]
)
def test_prices_keep_digits_that_say_something(price: float, words: str) -> None:
    """Two decimals, and two digits of a small amount."""
    assert price_words(price, "EUR") == f"{words} EUR an hour"


def test_the_last_choice_is_said() -> None:
    """The profile of the last start is marked in words, also where another one is preselected."""
    page = profile_form(PROFILES, (), Choice(profile=PROFILES[0]), Heading(last="b"))
    assert page.count("your last choice") == 1
    assert page.index("your last choice") > page.index('id="profile-b"')


def test_a_text_is_refused_in_the_same_words() -> None:
    """What stands beside a text's line is what the refusal of it says, word by word."""
    page = profile_form(PROFILES, (), Choice(profile=PROFILES[0]))
    for option in PROFILES[0].options[1:]:
        with pytest.raises(ProfileRefusedError) as refusal:
            chosen(option, "!" * 30, ())
        assert refusal.value.remedy
        assert f">{html.escape(refusal.value.remedy, quote=False)}</span>" in page


def test_only_what_a_browser_reads_alike_is_given_to_it() -> None:
    """A pattern that JavaScript reads otherwise is judged by the hub alone."""
    page = profile_form(PROFILES, (), Choice(profile=PROFILES[0]))
    assert re.findall(r'data-pattern="([^"]*)"', page) == [r"[a-z][\p{Nd}]*", ""]


@pytest.mark.parametrize(
    "saved",
    [{"profile": "a"}, {"profile": "a", "options": {"size": "large", "branch": 'x"><b>'}}],
    ids=["plain", "with options"],
)
def test_a_saved_choice_is_posted_as_it_was(saved: dict[str, object]) -> None:
    """The fields of *Start again* give the same options as the form that was sent first."""
    assert options_from_form({name: [value] for name, value in fields_of(saved)}) == saved


@pytest.mark.parametrize("saved", [None, [], {}, {"profile": 3}, {"profile": ["a"]}])
def test_what_names_no_profile_is_not_offered_again(saved: object) -> None:
    """Whatever JSON the hub had saved."""
    assert fields_of(saved) == []
