"""With which tokens do our programs show the hub that they are its services?

Law: made once, since the hub keeps a service's tokens for good; each is written for its program alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..settings import Site
from ..setup_services import CONTROL_TOKEN, TRACKING_TOKEN
from .accounts import accounts_of
from .directories import lasting_token, write_private

__all__ = ["give_service_tokens"]


def give_service_tokens(site: Site) -> Mapping[str, str]:
    """Write each program its token; returns them for the hub, by the variable that `setup_hub` reads."""
    programs = {"control": ("control.token", CONTROL_TOKEN)}
    if site.tracking:
        programs["tracking"] = ("mlflow.token", TRACKING_TOKEN)
    found = {}
    for program, (file, variable) in programs.items():
        found[variable] = lasting_token(Path(site.state_dir, file))
        write_private(Path(site.run_dir, file), found[variable], accounts_of(site).get(program))
    return found
