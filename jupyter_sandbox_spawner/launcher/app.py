"""How is the launcher put together? Site, premises, backend and routes on one unix socket."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

from ..backends.base import Backend
from ..backends.docker.backend import DockerBackend
from ..backends.docker.host import DockerSite
from ..backends.oci.backend import OciBackend
from ..backends.oci.host import OciSite
from ..backends.oci.orphans import end_recorded
from ..backends.oci.runtime import runtime_identity
from ..errors import ConfigurationError
from ..ordinary import end_namespace, has_namespace, has_own_namespace, inside_namespace
from ..serving import application, listening_socket, private_directory, serve_until_signal
from ..settings import Site
from .canary import Canary
from .gpus import HostGpus
from .homes import HomeImages
from .premises import HostUsers, Premises
from .routes import LauncherRoutes
from .users import UserRegistry

__all__ = ["become_root_of_own_namespace", "run_launcher"]

_INSIDE = Path(__file__).resolve().parent.parent / "singleuser" / "inside"


def become_root_of_own_namespace(site: Site) -> NoReturn:
    """An ordinary user's launcher starts again, as this command, where it may make sandboxes."""
    _directories(site)
    if not has_namespace(site.launcher_dir):
        # From a new namespace they could be neither watched nor ended.
        end_recorded(site.launcher_dir)
    command = inside_namespace(site.launcher_dir, sys.orig_argv)
    os.execv(command[0], command)  # noqa: S606 - as itself, without a shell


async def run_launcher(site: Site, descriptor: int | None = None) -> None:
    """Serve until SIGTERM; sandboxes go on. `descriptor` is the supervisor's listening socket."""
    if site.backend == "kubernetes":
        from .cluster_app import run_on_cluster  # its client takes a second to import

        private_directory(site.run_dir, site.shared_mode)
        private_directory(site.launcher_dir)
        await run_on_cluster(site, descriptor)
        return
    _directories(site)
    with _only_one(site.launcher_dir):
        users = UserRegistry(site.homes_dir, site.uid_base, site.uid_count)
        listener = listening_socket(site.launcher_socket, descriptor)
        gpus = HostGpus(site.cdi_directories)
        async with _backend(site, users, gpus) as backend:
            canary = Canary(site, backend, users.canary_uid, lambda: _surroundings(site, backend))
            homes = HomeImages(site.homes_dir)
            running = [users.find(item.user, item.zone) for item in await backend.inventory()]
            await homes.release_all_but([place.home for place in running if place is not None])
            premises = Premises(users=HostUsers(users), homes=homes, devices=gpus, prover=canary)
            async with canary.at_work():
                app = application(site.callers_of("launcher"))
                LauncherRoutes(site, backend, premises).add_to(app)
                await serve_until_signal(app, listener)
            left = await backend.inventory()
        if has_own_namespace() and not left:
            end_namespace(site.launcher_dir)


def _directories(site: Site) -> None:
    private_directory(site.run_dir, site.shared_mode)
    private_directory(site.launcher_dir)
    private_directory(site.state_dir, site.shared_mode)


def _backend(site: Site, users: UserRegistry, gpus: HostGpus) -> AbstractAsyncContextManager[Backend]:
    """The one that the site names."""
    if site.backend == "docker":
        if os.geteuid() != 0 or has_own_namespace():
            raise ConfigurationError(
                "The launcher is not root; homes of containers belong to other uids of this host.",
                code="docker.needs_root",
                field="backend",
                remedy='Run as root, or take backend="local".',
            )
        return DockerBackend.opened(_docker_site(site, gpus))
    return OciBackend.opened(_oci_site(site, users, gpus))


def _surroundings(site: Site, backend: Backend) -> str:
    """What a proof was made of besides the site: another runtime or daemon has to be proved again."""
    if isinstance(backend, DockerBackend):
        return backend.identity
    return " ".join(runtime_identity(name) for name in site.runtimes)


def _docker_site(site: Site, gpus: HostGpus) -> DockerSite:
    return DockerSite(
        state=site.launcher_dir,
        inside=str(_INSIDE),
        environments=site.environments,
        socket=site.docker_socket,
        runtimes=site.runtimes,
        shared=site.shared_directories,
        gpus=gpus,
    )


def _oci_site(site: Site, users: UserRegistry, gpus: HostGpus) -> OciSite:
    return OciSite(
        state=site.launcher_dir,
        inside=str(_INSIDE),
        environments=site.environments,
        root_uid=users.root_uid,
        runtimes=site.runtimes,
        gpus=gpus,
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
