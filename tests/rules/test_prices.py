"""What does an hour of a profile cost by the admin's prices?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_sandbox_spawner.gpus import GpuWish
from jupyter_sandbox_spawner.models import Resources
from jupyter_sandbox_spawner.rules.prices import Prices, hourly
from jupyter_sandbox_spawner.rules.profiles import Profile

PLAIN = Profile(slug="a", display_name="A", resources=Resources(cpu=2, memory=8 << 30))
PRICES = Prices(
    currency="EUR", cpu_hour=0.1, memory_gb_hour=0.01, gpu_hour={"any": 1.0, "mig-1g.10gb": 0.3, "big": 4.0}
)


def test_without_prices_nothing_is_said() -> None:
    """No section `prices`: no price, which is not the same as a price of 0."""
    assert hourly(Prices(), PLAIN) is None
    assert hourly(Prices(currency="EUR"), PLAIN) == 0.0


@pytest.mark.parametrize(
    ("wish", "price"),
    [
        (None, 0.28),
        (GpuWish(count=2, kind="mig-1g.10gb"), 0.88),
        (GpuWish(count=1, kind="unheard-of"), 1.28),
        (GpuWish(count=1), 4.28),
    ],
)
def test_an_hour_is_cores_memory_and_gpus(wish: GpuWish | None, price: float) -> None:
    """Each GPU by its kind or the price of all others; where any kind will do, the dearest."""
    assert hourly(PRICES, replace(PLAIN, gpu=wish)) == pytest.approx(price)
