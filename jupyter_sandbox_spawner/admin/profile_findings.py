"""Do profiles ask for what their site cannot give: another runtime, a limit of the home? Looks only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigurationError
from ..launcher.homes import TOOLS
from ..rules.profiles import Profile, for_runtimes
from ..rules.rulebook_file import parse_rulebook
from ..settings import Site
from .finding import Finding
from .requirements import search_path

__all__ = ["profile_findings", "profiles_of"]

_LOOP = "/dev/loop-control"


def profiles_of(site: Site) -> tuple[Profile, ...]:
    """The site's profiles; none where the file is wrong, which `profile_findings` says."""
    try:
        return _read(site)
    except (ConfigurationError, OSError, UnicodeDecodeError):
        return ()


def _read(site: Site) -> tuple[Profile, ...]:
    if not site.profiles:
        return ()
    return parse_rulebook(Path(site.profiles).read_text(), site.profiles).profiles


def profile_findings(site: Site) -> Iterator[Finding]:
    """Findings about profiles that are not offered, or get less than they ask for."""
    try:
        profiles = _read(site)
    except (ConfigurationError, OSError, UnicodeDecodeError) as error:
        remedy = "The message has file, line and field: jupyter-sandbox-admin profiles check FILE"
        yield Finding(name="profiles", fine=False, seen=str(error), remedy=remedy)
        return
    yield _runtimes(profiles, site.runtimes)
    yield _claims(profiles) if site.backend == "kubernetes" else _home(profiles)


def _runtimes(profiles: tuple[Profile, ...], runtimes: tuple[str, ...]) -> Finding:
    others = {item.slug: item.runtime for item in for_runtimes(profiles, runtimes) if item.unavailable}
    ours = " and ".join(runtimes)
    asked = ", ".join(f"{slug} asks for {name}" for slug, name in others.items())
    return Finding(
        name="runtimes",
        fine=not others,
        needed=False,
        seen=f"{asked}; this site runs {ours}" if others else f"all profiles run under {ours}",
        remedy=f"setup_hub(c, further_runtimes={sorted({*others.values(), *runtimes[1:]})}), or another site;"
        " until then nobody gets these profiles.",
    )


def _claims(profiles: tuple[Profile, ...]) -> Finding:
    asking = ", ".join(profile.slug for profile in profiles if profile.resources.disk)
    seen = f"asked for by {asking}; a claim that is there grows if its storage class lets it"
    return Finding(name="home quota", fine=True, seen=seen if asking else "no profile asks for one")


def _home(profiles: tuple[Profile, ...]) -> Finding:
    """The launcher tries it at a start; this is what can be told without trying."""
    asking = [profile.slug for profile in profiles if profile.resources.disk]
    if not asking:
        return Finding(name="home quota", fine=True, seen="no profile asks for one")
    lacks = [
        *(["root"] if os.geteuid() != 0 else []),
        *([] if os.path.exists(_LOOP) else [_LOOP]),
        *(name for name in TOOLS if shutil.which(name, path=search_path()) is None),
    ]
    return Finding(
        name="home quota",
        fine=not lacks,
        needed=False,
        seen=f"asked for by {', '.join(asking)}" + (f"; there is no {', '.join(lacks)}" if lacks else ""),
        remedy="As root: modprobe loop; apt-get install e2fsprogs. Until then these profiles are refused.",
    )
