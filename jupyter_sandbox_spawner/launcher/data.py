"""Which datasets does the admin's file list, by the launcher's own reading? The hub is not believed.

Law: a file that is wrong changes nothing: what was read last holds, and the log says what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from ..errors import ConfigurationError, RefusedError
from ..models import SandboxSpec
from ..rules.catalogue import Dataset, misplaced
from ..rules.rulebook_file import parse_rulebook
from ..settings import Site
from .manifests import Manifests

__all__ = ["DataPlaces"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")


class DataPlaces:
    """The file's datasets by `id@version`, read again when the file changes. Verbs: listed, verify."""

    def __init__(self, site: Site) -> None:
        self._file = Path(site.profiles) if site.profiles else None
        # A dataset is at its real path, or refused; so are these.
        self._own = tuple(os.path.realpath(path) for path in (site.state_dir, site.run_dir))
        self._read: tuple[int, int, int] | None = None
        self._datasets: dict[str, Dataset] = {}
        self._manifests = Manifests()

    async def listed(self) -> dict[str, Dataset]:
        """All of them, as the file has them now."""
        await asyncio.to_thread(self._refresh)
        return self._datasets

    async def verify(self, spec: SandboxSpec) -> None:
        """Raises RefusedError `dataset.*` where one of an admitted spec is not what its manifest says."""
        for mount in spec.mounts:
            if mount.kind == "dataset":
                await self._verify(self._datasets[mount.dataset])

    async def _verify(self, dataset: Dataset) -> None:
        inside = misplaced(dataset.path, self._own)
        if inside:
            raise RefusedError(
                f"The dataset {dataset.name} lies at {dataset.path}, which would show {inside} of this site.",
                code="dataset.misplaced",
                field="mounts",
                remedy="Move it to a directory of its own, such as one below /srv.",
            )
        await self._manifests.verify(dataset)

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._read:
                return
            book = parse_rulebook(self._file.read_text(encoding="utf-8"), str(self._file))
        except (ConfigurationError, OSError, UnicodeDecodeError) as error:
            log.error("The catalogue stays as it was: %s", error)
            return
        self._read, self._datasets = stamp, {item.name: item for item in book.datasets}
