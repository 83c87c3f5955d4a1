"""What is free for this user at this moment? Control's offers for the form, or nothing while it is away.

Law: the form never waits for control longer than a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from ..clients.control import ControlClient, Offer, control_socket
from ..errors import SandboxError
from ..settings import Site

__all__ = ["current_offers"]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
_PATIENCE = 1.0  # seconds


async def current_offers(
    site: Site, user: str, groups: Collection[str], server: str, patience: float = _PATIENCE
) -> Mapping[str, Offer]:
    """Offers by slug; empty where control does not answer in time, which is then said in the log only."""
    control = ControlClient(control_socket(site, "hub"), timeout=patience)
    try:
        return {offer.slug: offer for offer in await control.offers(user, groups, server)}
    except SandboxError as error:
        log.warning("The form of %s is shown without what is free: %s", user, error)
        return {}
    finally:
        await control.close()
