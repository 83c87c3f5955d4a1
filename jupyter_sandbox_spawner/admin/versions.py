"""Which installed programs are older than the fix of a known hole? Files are read, and runc is asked."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..settings import Environment
from .finding import Finding
from .requirements import search_path

__all__ = ["FIXES", "Fix", "judge", "numbers", "own_version_findings", "version_findings"]

_CHANGELOG = Path("/usr/share/doc/runc/changelog.Debian.gz")


@dataclass(frozen=True, kw_only=True)
class Fix:
    """The first versions without some holes: one for each line of releases, oldest first."""

    fixed: tuple[str, ...]
    holes: tuple[str, ...]

    def has(self, version: str) -> bool:
        """Is this version free of them?"""
        found = numbers(version)
        lines = [numbers(text) for text in self.fixed]
        same_line = [line for line in lines if line[:2] == found[:2]]
        return found >= (same_line or lines)[-1]


FIXES: Mapping[str, Fix] = {
    "jupyterhub": Fix(
        fixed=("5.5.0",),
        holes=("CVE-2024-28233", "CVE-2024-41942", "CVE-2026-33709", "CVE-2026-40864", "CVE-2026-54338"),
    ),
    "jupyter_server": Fix(fixed=("2.20.0",), holes=("CVE-2026-44727",)),
    "jupyter_server_proxy": Fix(fixed=("4.2.0",), holes=("GHSA-w3vc-fx9p-wp4v", "CVE-2024-35225")),
    "configurable-http-proxy": Fix(fixed=("5.3.0",), holes=("CVE-2026-29057",)),
    "oauthenticator": Fix(fixed=("17.4.0",), holes=("CVE-2026-33175",)),
    "docker": Fix(fixed=("23.0.11", "25.0.5", "26.0.0"), holes=("CVE-2024-29018",)),
    "runc": Fix(fixed=("1.2.8", "1.3.3"), holes=("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881")),
}


def numbers(version: str) -> tuple[int, ...]:
    """(1, 1, 5) of "1.1.5+ds1": the numbers that order releases."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def version_findings(environments: Mapping[str, Environment]) -> Iterator[Finding]:
    """A finding for each program of the table that is installed, on the hub's side and in user images."""
    yield judge("jupyterhub", "jupyterhub", _own("jupyterhub"), "pip install -U 'jupyterhub>=5.5,<7'")
    yield judge(
        "configurable-http-proxy",
        "configurable-http-proxy",
        _proxy(),
        "npm install -g 'configurable-http-proxy@^5.3'",
    )
    yield from _oauthenticator()
    yield _runc()
    for name, environment in environments.items():
        if environment.image:
            continue  # only a container could tell
        for package in ("jupyterhub", "jupyter_server", "jupyter_server_proxy"):
            version = _installed(environment.prefix, package)
            if version or package != "jupyter_server_proxy":
                remedy = f"{environment.prefix}/bin/pip install -U {package}"
                yield judge(package, f"{package} in {name}", version, remedy)


def own_version_findings() -> Iterator[Finding]:
    """What is installed beside this package, such as in the image of a pod."""
    if version := _own("jupyterhub"):
        yield judge("jupyterhub", "jupyterhub", version, "Build the image again: jupyterhub>=5.5,<7")
    yield from _oauthenticator()


def _oauthenticator() -> Iterator[Finding]:
    if version := _own("oauthenticator"):
        yield judge("oauthenticator", "oauthenticator", version, "pip install -U 'oauthenticator>=17.4'")


def judge(package: str, name: str, version: str, remedy: str) -> Finding:
    """Is this version of a package of the table free of its holes?"""
    fix = FIXES[package]
    if not version:
        return Finding(name=name, fine=False, seen="version not found", remedy=remedy, needed=False)
    fine = fix.has(version)
    seen = version if fine else f"{version}, older than {' or '.join(fix.fixed)}: {', '.join(fix.holes)}"
    return Finding(name=name, fine=fine, seen=seen, remedy=remedy, needed=False)


def _runc() -> Finding:
    """A distribution keeps the number and patches: its changelog then names the holes."""
    path = shutil.which("runc", path=search_path())
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False) if path else None
    version = said.stdout.partition("\n")[0].rpartition(" ")[2] if said else ""
    finding = judge("runc", "runc holes", version, "apt-get update && apt-get install --only-upgrade runc")
    if finding.fine or not _CHANGELOG.exists():
        return finding
    text = gzip.decompress(_CHANGELOG.read_bytes()).decode(errors="replace")
    if all(hole in text for hole in FIXES["runc"].holes):
        return Finding(name="runc holes", fine=True, seen=f"{version}, patched by its distribution")
    return finding


def _own(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _installed(prefix: str, package: str) -> str:
    """The version of a package in another environment, by the name of its metadata directory."""
    for path in sorted(Path(prefix).glob(f"lib/python3*/site-packages/{package}-*.dist-info")):
        return path.name.removesuffix(".dist-info").partition("-")[2]
    return ""


def _proxy() -> str:
    path = shutil.which("configurable-http-proxy", path=search_path())
    if path is None:
        return ""
    for above in Path(path).resolve().parents:
        manifest = above / "package.json"
        if manifest.exists():
            document = json.loads(manifest.read_text())
            if document.get("name") == "configurable-http-proxy":
                return str(document.get("version", ""))
    return ""
