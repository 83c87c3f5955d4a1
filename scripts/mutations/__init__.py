"""Which guards must be missed when they are gone? where each is, how to switch it off, who notices."""

from __future__ import annotations

from . import (
    browser,
    data,
    delivery,
    docker,
    gpus,
    homes,
    isolation,
    ledger,
    leftovers,
    mlflow,
    network,
    people,
    policy,
    profiles,
    runtimes,
    secrets,
    store,
    usage,
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
    *gpus.GUARDS,
    *runtimes.GUARDS,
    *people.GUARDS,
    *ledger.GUARDS,
    *leftovers.GUARDS,
    *profiles.GUARDS,
    *mlflow.GUARDS,
    *policy.GUARDS,
    *secrets.GUARDS,
    *store.GUARDS,
    *delivery.GUARDS,
    *vault.GUARDS,
    *usage.GUARDS,
)
