"""What do systemd units need that `run` gives its programs itself? `jupyter-sandbox-admin site write`

Law: a token is in a file of mode 0600 that only its program's uid, or root for systemd, can read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import ConfigurationError
from ..settings import Site, write_site
from .accounts import accounts_of, with_uids
from .directories import give_directories, lasting_token, prepare_directories, write_private
from .installation import Installation
from .ports import inner_ports
from .profiles import with_profiles_file
from .programs import PROXY_TOKEN
from .reach import check_reach
from .service_tokens import give_service_tokens

__all__ = ["write_for_units"]


def write_for_units(installation: Installation) -> Site:
    """Everything that programs read at their start; returns the site as they will know it.

    Raises ConfigurationError: `site.port_unset` where a port is left to chance, and what `run` raises.
    """
    site = with_uids(installation.site)
    for name in ("public_port", *inner_ports(site)):
        if getattr(site, name) == 0:
            raise ConfigurationError(
                f"{name}: 0 leaves it to chance, and units have to know it.",
                code="site.port_unset",
                field=name,
                remedy=f"Write {name}=18000 or another free one in setup_hub, and the same in the units.",
            )
    accounts = accounts_of(site)
    prepare_directories(site)
    site = with_profiles_file(replace(installation, site=site)).site
    # systemd hands the proxy its certificate, so that no uid but root's needs to read the key.
    check_reach(replace(installation, site=site, tls=()), accounts)
    give_directories(site, accounts)
    write_site(f"{site.run_dir}/site.json", site)
    tokens = give_service_tokens(site)
    # The same until it is removed: hub and proxy may be restarted one without the other.
    proxy = lasting_token(Path(site.state_dir, "proxy.token"))
    for_hub = {**tokens, PROXY_TOKEN: proxy}
    write_private(
        Path(site.run_dir, "hub.env"), "".join(f"{name}={text}\n" for name, text in for_hub.items())
    )
    write_private(Path(site.run_dir, "proxy.env"), f"{PROXY_TOKEN}={proxy}\n")
    return site
