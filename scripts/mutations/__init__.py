"""Which guards must be missed when they are gone? where each is, how to switch it off, who notices."""

from __future__ import annotations

from . import (
    browser,
    data,
    delivery,
    docker,
    homes,
    isolation,
    mlflow,
    network,
    people,
    runtimes,
    secrets,
    vault,
)
from .guard import Guard

__all__ = ["GUARDS", "Guard"]

GUARDS: tuple[Guard, ...] = (
    *network.GUARDS,
    *data.GUARDS,
    *browser.GUARDS,
    *homes.GUARDS,
    *isolation.GUARDS,
    *docker.GUARDS,
    *runtimes.GUARDS,
    *people.GUARDS,
    *mlflow.GUARDS,
    *secrets.GUARDS,
    *delivery.GUARDS,
    *vault.GUARDS,
)
