"""How is the launcher put together? Site, registry, backend and routes on one unix socket."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..backends.oci.backend import OciBackend
from ..backends.oci.host import OciSite
from ..backends.oci.runtime import runtime_identity
from ..errors import ConfigurationError
from ..serving import application, listening_socket, private_directory, serve_until_signal
from ..settings import Site
from .canary import Canary
from .routes import LauncherRoutes
from .users import UserRegistry

__all__ = ["run_launcher"]

_INSIDE = Path(__file__).resolve().parent.parent / "singleuser" / "inside"


async def run_launcher(site: Site, descriptor: int | None = None) -> None:
    """Serve until SIGTERM; sandboxes go on. `descriptor` is the supervisor's listening socket."""
    private_directory(site.run_dir, site.shared_mode)
    private_directory(site.launcher_dir)
    private_directory(site.state_dir, site.shared_mode)
    with _only_one(site.launcher_dir):
        users = UserRegistry(site.homes_dir, site.uid_base, site.uid_count)
        listener = listening_socket(site.launcher_socket, descriptor)
        async with OciBackend.opened(_oci_site(site, users)) as backend:
            canary = Canary(site, backend, users.canary_uid, lambda: runtime_identity(site.runtime))
            async with canary.at_work():
                app = application(site.callers_of("launcher"))
                LauncherRoutes(site, backend, users, canary).add_to(app)
                await serve_until_signal(app, listener)


def _oci_site(site: Site, users: UserRegistry) -> OciSite:
    return OciSite(
        state=site.launcher_dir,
        inside=str(_INSIDE),
        environments=site.environments,
        root_uid=users.root_uid,
        runtime=site.runtime,
    )


@contextmanager
def _only_one(directory: str) -> Iterator[None]:
    """Two launchers on one state would each sweep up what the other makes."""
    descriptor = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(
            f"Another launcher uses {directory}.", code="launcher.running", remedy="Stop it first."
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)
