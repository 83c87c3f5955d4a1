"""Will this machine's program be known by the others, and for how long? Looks at its certificate only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from ..errors import SandboxError
from ..rules.certificates import SOON, program_trouble, words_of_time
from ..settings import Site
from ..wires.papers import Papers, read_papers
from .finding import Finding

__all__ = ["certificate_findings"]

_NAME = "certificate"
_ROTATE = "jupyter-sandbox-admin certificates rotate --directory D, and bring the files here"


def certificate_findings(site: Site, now: datetime | None = None) -> Iterator[Finding]:
    """Nothing where the site's programs share a machine."""
    if site.wires is None:
        return
    directory = Path(site.wires.certificates)
    try:
        papers = read_papers(directory)
    except SandboxError as error:
        yield Finding(name=_NAME, fine=False, seen=error.message, remedy=error.remedy)
        return
    yield _validity(papers, now or datetime.now(timezone.utc))
    host = site.wires.hosts.get(papers.own.program, "")
    if host and host not in papers.hosts:
        yield Finding(
            name="certificate's name",
            fine=False,
            seen=f"others dial {host}, and it is for {', '.join(papers.hosts)}",
            remedy="jupyter-sandbox-admin certificates make --directory D"
            f" --host {papers.own.program}={host}",
        )
    if (directory / "key.pem").stat().st_mode & 0o007:
        yield Finding(
            name="certificate's key",
            fine=False,
            needed=False,
            seen=f"{directory}/key.pem can be read by everybody here",
            remedy="chmod o= key.pem; for a Secret: defaultMode: 0440",
        )


def _validity(papers: Papers, now: datetime) -> Finding:
    if trouble := program_trouble(papers.own, papers.authorities, now):
        return Finding(name=_NAME, fine=False, seen=trouble.admin, remedy=trouble.remedy)
    ends = papers.ends
    return Finding(
        name=_NAME,
        fine=ends - now >= SOON,
        needed=False,
        seen=f"of {papers.own.program}, until {words_of_time(ends)}",
        remedy=_ROTATE if ends == papers.own.ends else f"{_ROTATE}; the authority ends, too: --authority",
    )
