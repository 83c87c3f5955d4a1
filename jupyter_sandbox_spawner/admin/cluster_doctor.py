"""What can be told of a site on a cluster from the place where `doctor` runs: one of its pods, or elsewhere?

Law: what cannot be seen from here is said to be unseen, with the command that sees it; it is no fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..settings import Site
from .certificate_findings import certificate_findings
from .cluster_findings import cluster_findings, programs_namespace
from .database_findings import database_finding
from .finding import Finding
from .installation import Installation
from .profile_findings import profile_findings
from .site_findings import disk, origin_findings, other_cullers, secrets_finding
from .versions import own_version_findings

__all__ = ["examine_cluster"]

_ADMIN = "/opt/jupyter-sandbox/hub/bin/jupyter-sandbox-admin"  # in each pod of hub_config/kubernetes
_SITE = "/etc/jupyter-sandbox/site.json"
_ASK_LAUNCHER = ("control", "hub", "launcher")  # whose pods have its socket


def examine_cluster(installation: Installation) -> Iterator[Finding]:
    """Of the cluster what its launcher has seen; of this pod what is in it."""
    site = installation.site
    program = _program(site)
    yield _here(site, program)
    yield from origin_findings(site)
    yield from other_cullers(installation.cullers)
    yield from _launcher(site, program)
    yield from _certificate(site)
    yield from _profiles(site)
    yield _database(site, program)
    if program:
        yield from own_version_findings()
        if Path(site.state_dir).is_dir():
            yield disk("state_dir", site.state_dir)


def _here(site: Site, program: str) -> Finding:
    seen = f"a pod of {program}" if program else "no pod of this site, so this machine is not looked at"
    if program != "control":
        seen += f"; more is seen in control's: {_in_control(site, 'control', f'doctor --site {_SITE}')}"
    return Finding(name="here", fine=True, seen=seen)


def _program(site: Site) -> str:
    """Whose pod this is; "" for another machine, whatever uid somebody has there."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:  # which a kubelet gives to each container
        return ""
    return next((name for name, uid in site.program_uids.items() if uid == os.geteuid()), "")


def _launcher(site: Site, program: str) -> Iterator[Finding]:
    if program not in _ASK_LAUNCHER:
        yield _unseen("launcher", "only the pods of control, hub and launcher may ask it")
    elif program == "launcher" and not Path(site.launcher_socket).exists():
        yield _unseen(
            "launcher", "of two launchers one works, and this pod's does not; control's pod asks both"
        )
    else:
        yield from cluster_findings(site)


def _certificate(site: Site) -> Iterator[Finding]:
    directory = site.wires.certificates if site.wires is not None else ""
    if Path(directory, "certificate.pem").exists():
        yield from certificate_findings(site)
        return
    shows = _in_control(site, "wires", f"certificates show --directory {directory}")
    yield _unseen("certificate", f"it is in the container wires of each program's pod: {shows}")


def _profiles(site: Site) -> Iterator[Finding]:
    if site.profiles and not Path(site.profiles).exists():
        yield _unseen(
            "profiles", f"there is no {site.profiles}; yours: jupyter-sandbox-admin profiles check FILE"
        )
        return
    yield from profile_findings(site)
    yield secrets_finding(site)


def _database(site: Site, program: str) -> Finding:
    if program == "control" and Path(site.state_dir).is_dir():
        return database_finding(site)
    return _unseen("database", "only control, in the container of this name, may reach it")


def _unseen(name: str, why: str) -> Finding:
    return Finding(name=name, fine=True, seen=f"not looked at here: {why}")


def _in_control(site: Site, container: str, words: str) -> str:
    return f"kubectl -n {programs_namespace(site)} exec deployment/control -c {container} -- {_ADMIN} {words}"
