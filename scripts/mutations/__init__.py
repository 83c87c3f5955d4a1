"""Which guards must be missed when they are gone? where each is, how to switch it off, who notices."""

from __future__ import annotations

from . import (
    browser,
    delivery,
    docker,
    homes,
    isolation,
    ledger,
    mlflow,
    network,
    people,
    policy,
    runtimes,
    secrets,
    usage,
    vault,
)
from .guard import Guard

__all__ = ["GUARDS", "Guard"]

GUARDS: tuple[Guard, ...] = (
    *network.GUARDS,
    *browser.GUARDS,
    *homes.GUARDS,
    *isolation.GUARDS,
    *docker.GUARDS,
    *runtimes.GUARDS,
    *people.GUARDS,
    *ledger.GUARDS,
    *mlflow.GUARDS,
    *policy.GUARDS,
    *secrets.GUARDS,
    *delivery.GUARDS,
    *vault.GUARDS,
    *usage.GUARDS,
)
