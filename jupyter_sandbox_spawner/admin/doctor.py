"""Can this machine run sandboxes well, and if not, what helps? `jupyter-sandbox-admin doctor`"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from ..errors import SandboxError
from ..settings import load_site
from .certificate_findings import certificate_findings
from .cluster_doctor import examine_cluster
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

    On a cluster the nodes are the machines, so this one is not looked at; see cluster_doctor.py.
    """
    if installation is None:
        return [*machine_findings(("runc",)), *site_findings(None), *version_findings({})]
    site = installation.site
    if site.backend == "kubernetes":
        return list(examine_cluster(installation))
    local = site.backend == "local"
    return [
        *machine_findings(site.runtimes if local else ("runc",)),
        *site_findings(installation),
        *certificate_findings(site),
        *docker_findings(site),
        *(gpu_findings(site) if local else ()),
        *version_findings(site.environments),
    ]


def diagnose(arguments: argparse.Namespace) -> int:
    """Print every finding; status 3 when something is missing, whatever is only weak."""
    findings: Sequence[Finding]
    try:
        findings = examine(_installation(arguments))
    except SandboxError as error:
        broken = Finding(name="configuration", fine=False, seen=error.message, remedy=error.remedy)
        # Where a site.json is there already this may be a pod, whose machine is of no interest.
        findings = [broken] if arguments.site else [broken, *examine()]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    missing = any(finding.needed and not finding.fine for finding in findings)
    return ExitStatus.PROGRAM_MISSING if missing else ExitStatus.OK


def _installation(arguments: argparse.Namespace) -> Installation | None:
    if arguments.site:
        return Installation(config_file=arguments.site, site=load_site(arguments.site))
    return load_installation(arguments.config) if arguments.config else None


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        word = "ok" if finding.fine else "MISSING" if finding.needed else "WEAK"
        print(f"{word:<7} {finding.name:<{width}} {finding.seen}")
        if not finding.fine:
            print(f"{'':<7} {'':<{width}} -> {finding.remedy}")
