"""Which guards must be missed when they are gone? where each is, how to switch it off, who notices."""

from __future__ import annotations

from . import (
    admin_page,
    browser,
    data,
    delivery,
    docker,
    endings,
    gpus,
    homes,
    isolation,
    ledger,
    leftovers,
    lifetime_clock,
    mlflow,
    network,
    notices,
    people,
    policy,
    profiles,
    relief,
    runtimes,
    secrets,
    store,
    times,
    usage,
    vault,
)
from .guard import Guard

__all__ = ["GUARDS", "Guard"]

GUARDS: tuple[Guard, ...] = (
    *admin_page.GUARDS,
    *network.GUARDS,
    *data.GUARDS,
    *browser.GUARDS,
    *homes.GUARDS,
    *isolation.GUARDS,
    *docker.GUARDS,
    *endings.GUARDS,
    *gpus.GUARDS,
    *runtimes.GUARDS,
    *people.GUARDS,
    *ledger.GUARDS,
    *leftovers.GUARDS,
    *lifetime_clock.GUARDS,
    *notices.GUARDS,
    *profiles.GUARDS,
    *relief.GUARDS,
    *mlflow.GUARDS,
    *policy.GUARDS,
    *secrets.GUARDS,
    *store.GUARDS,
    *times.GUARDS,
    *delivery.GUARDS,
    *vault.GUARDS,
    *usage.GUARDS,
)
