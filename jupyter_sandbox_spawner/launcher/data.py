"""Which datasets does the admin's file list, by the launcher's own reading? The hub is not believed.

Law: a file that is wrong changes nothing: what was read last holds.
"""

from __future__ import annotations

import asyncio
import os

from ..errors import RefusedError
from ..kept_book import KeptBook
from ..models import SandboxSpec
from ..rules.catalogue import Dataset, misplaced
from ..settings import Site
from .manifests import Manifests

__all__ = ["DataPlaces"]


class DataPlaces:
    """The file's datasets by `id@version`, read again when the file changes. Verbs: listed, verify."""

    def __init__(self, site: Site) -> None:
        self._book = KeptBook(site.profiles) if site.profiles else None
        # A dataset is at its real path, or refused; so are these.
        self._own = tuple(os.path.realpath(path) for path in (site.state_dir, site.run_dir))
        self._datasets: dict[str, Dataset] = {}
        self._manifests = Manifests()

    async def listed(self) -> dict[str, Dataset]:
        """All of them, as the file has them now."""
        if self._book is not None:
            book = (await asyncio.to_thread(self._book.current)).book
            self._datasets = {item.name: item for item in book.datasets} if book else {}
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
