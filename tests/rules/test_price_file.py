"""Is the section `prices` read as it was meant, and every error in it told with its way out?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.errors import ProfileError
from jupyter_sandbox_spawner.rules.prices import Prices
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook

PROFILES = """profiles:
- slug: cpu
  display_name: CPU
  sandbox: {cpu: 1, memory: 1G}
  default: true
"""


def prices(text: str) -> Prices:
    """Those of a file with this section."""
    return parse_rulebook(f"{PROFILES}prices:\n{text}", "f.yaml").prices


def test_prices_are_read() -> None:
    """Every key of the section."""
    found = prices(
        "  currency: EUR\n  cpu_hour: 0.02\n  memory_gb_hour: 0.005\n  gpu_hour: {any: 1.2, mig-1g.10gb: 0}\n"
    )
    gpus = {"any": 1.2, "mig-1g.10gb": 0.0}
    assert found == Prices(currency="EUR", cpu_hour=0.02, memory_gb_hour=0.005, gpu_hour=gpus)


def test_one_price_of_all_gpus_needs_no_kinds() -> None:
    """A number is that of any kind."""
    assert prices("  {currency: EUR, gpu_hour: 2}\n").gpu_hour == {"any": 2.0}


def test_a_file_without_prices_has_none() -> None:
    """Then reports show hours alone."""
    assert parse_rulebook(PROFILES).prices == Prices()


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("  {currency: EUR, cpu_hour: -1}\n", "cpu_hour", "-1 is not a price. Write a number of 0 or more"),
        ("  {currency: EUR, cpu_hour: .nan}\n", "cpu_hour", "nan is not a price"),
        ("  {currency: EUR, cpu_hour: .inf}\n", "cpu_hour", "inf is not a price"),
        ("  {currency: EUR, cpu_hour: true}\n", "cpu_hour", "True is not a price"),
        ("  {currency: EUR, cpu_hour: '2'}\n", "cpu_hour", "'2' is not a price"),
        ("  {currency: EUR, memory_gb_hour: [1]}\n", "memory_gb_hour", "[1] is not a price"),
        ("  {currency: EUR, gpu_hour: {any: -2}}\n", "gpu_hour.any", "-2 is not a price"),
        ("  {currency: EUR, gpu_hour: {H100: 2}}\n", "gpu_hour.H100", "'H100' is not a kind of GPU"),
        ("  {currency: EUR, gpu_hour: much}\n", "gpu_hour", "'much' is not a price"),
        ("  {cpu_hour: 1}\n", "currency", "is missing. Write currency:"),
        ("  {currency: 7}\n", "currency", "7 is not a word"),
        ("  {currency: '=1+1'}\n", "currency", "'=1+1' is not a word"),
        ("  {currency: EUR, cpu_hours: 1}\n", "cpu_hours", "Did you mean 'cpu_hour'?"),
        ("  EUR\n", "prices", "'EUR' is not a mapping"),
    ],
)
def test_what_is_wrong_is_refused_with_line_field_and_remedy(text: str, field: str, words: str) -> None:
    """The whole file is refused, and the sentence says what to write."""
    with pytest.raises(ProfileError) as caught:
        prices(text)
    place, _, sentence = caught.value.message.partition(": ")
    assert place in ("f.yaml:6", "f.yaml:7")
    assert sentence.partition(": ")[0].endswith(field)
    assert words in sentence
