"""Can this machine run sandboxes well, and if not, what helps? `jupyter-sandbox-admin doctor`"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from ..errors import SandboxError
from .certificate_findings import certificate_findings
from .cluster_findings import cluster_findings
from .docker_findings import docker_findings
from .exits import ExitStatus
from .finding import Finding
from .gpu_findings import gpu_findings
from .installation import Installation, load_installation
from .machine import machine_findings
from .site_findings import site_findings
from .versions import version_findings

__all__ = ["diagnose", "examine"]


def examine(installation: Installation | None = None) -> Sequence[Finding]:
    """Every finding: the machine, then the site (or what the defaults would meet), then known holes.

    On a cluster the nodes are the machines, which the launcher's probes look at.
    """
    environments = installation.site.environments if installation else {}
    docker = docker_findings(installation.site) if installation else ()
    cluster = cluster_findings(installation.site) if installation else ()
    certificates = certificate_findings(installation.site) if installation else ()
    gpus = gpu_findings(installation.site) if installation and installation.site.backend == "local" else ()
    local = installation is not None and installation.site.backend == "local"
    on_cluster = installation is not None and installation.site.backend == "kubernetes"
    runtimes = installation.site.runtimes if installation and local else ("runc",)
    return [
        *(() if on_cluster else machine_findings(runtimes)),
        *site_findings(installation),
        *certificates,
        *cluster,
        *docker,
        *gpus,
        *version_findings(environments),
    ]


def diagnose(arguments: argparse.Namespace) -> int:
    """Print every finding; status 3 when something is missing, whatever is only weak."""
    findings: Sequence[Finding]
    try:
        installation = load_installation(arguments.config) if arguments.config else None
        findings = examine(installation)
    except SandboxError as error:
        broken = Finding(name="configuration", fine=False, seen=error.message, remedy=error.remedy)
        findings = [broken, *examine()]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    missing = any(finding.needed and not finding.fine for finding in findings)
    return ExitStatus.PROGRAM_MISSING if missing else ExitStatus.OK


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        word = "ok" if finding.fine else "MISSING" if finding.needed else "WEAK"
        print(f"{word:<7} {finding.name:<{width}} {finding.seen}")
        if not finding.fine:
            print(f"{'':<7} {'':<{width}} -> {finding.remedy}")
