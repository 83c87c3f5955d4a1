"""Is a Kubernetes quantity read exactly, and written so that the cluster reads the same?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.quantities import cores, quantity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1Gi", 1 << 30),
        ("1500m", "1.5"),
        ("1e3", 1000),
        ("1k", 1000),
        ("0.5Ki", 512),
        (".5", "500m"),
        ("1E", 10**18),
    ],
)
def test_the_same_quantity(one: str, other: object) -> None:
    """Two ways to write one quantity are equal, without rounding."""
    assert quantity(one) == quantity(other)


@pytest.mark.parametrize("text", ["", "much", "1GiB", "1 Gi", None, True, 1.5, "1e99", "--1", "NaN"])
def test_no_quantity(text: object) -> None:
    """What Kubernetes would not read is refused, and so is a number that would take a minute to compute."""
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


@pytest.mark.parametrize(("cpu", "text"), [(1.5, "1500m"), (0.0001, "1m"), (4096, "4096000m")])
def test_cores(cpu: float, text: str) -> None:
    """In thousandths, never none."""
    assert cores(cpu) == text
