"""What does the extension cost JupyterLab? Its start with and without it, and the bytes of its scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Error as BrowserError

from .figures import Goal, Measure
from .house import scratch
from .lab_server import EXTENSION, SHARE, VIEW, answer, chromium, open_lab, until_restored
from .row import BenchmarkError, Row, Take

__all__ = ["ROWS"]

_WITH, _WITHOUT = "with the extension", "without it"
_OURS, _WIDGETS = "ours", "ipywidgets' extension"
_FOLDERS = {_OURS: EXTENSION, _WIDGETS: "@jupyter-widgets/jupyterlab-manager"}
# What a person can feel is more than a tenth of a second in a page that takes some; less is noise here.
_START = Measure("JupyterLab's page until it can be used", "ms", Goal("at most", 1.05))
_BYTES = Measure("scripts, as they lie on the disk", "KiB", Goal("at most", 150), compare="ours")


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with (
        scratch() as directory,
        open_lab(directory, True) as ours,
        open_lab(directory, False) as bare,
        chromium() as browser,
    ):
        urls = {_WITH: ours, _WITHOUT: bare}

        async def take(contestant: str) -> Mapping[str, float]:
            # A browser that was never there: nothing is cached.
            async with await browser.new_context() as context:
                await context.route(VIEW, answer)
                page = await context.new_page()
                try:
                    took = await until_restored(page, urls[contestant])
                except BrowserError as error:
                    raise BenchmarkError(f"{contestant}: {error}") from error
                there = await page.evaluate(f"window.jupyterapp.hasPlugin('{EXTENSION}:model')")
                if there != (contestant == _WITH):
                    raise BenchmarkError(f"{contestant}: JupyterLab has the extension: {there}")
                return {_START.name: took}

        yield take


def _kibibytes(folder: Path) -> float:
    scripts = list(folder.glob("static/**/*.js"))
    if not scripts:
        raise BenchmarkError(f"There are no scripts in {folder}; run: scripts/prepare browser")
    return sum(path.stat().st_size for path in scripts) / 1024


@asynccontextmanager
async def _weighed() -> AsyncIterator[Take]:
    async def take(contestant: str) -> Mapping[str, float]:
        return {_BYTES.name: await asyncio.to_thread(_kibibytes, SHARE / _FOLDERS[contestant])}

    yield take


ROWS = (
    Row(
        "lab-start",
        "JupyterLab in Chromium, with the extension and without, nothing cached",
        (_WITH, _WITHOUT),
        (_START,),
        _opened,
    ),
    Row(
        "lab-bundle", "the bytes of the extension's scripts", (_OURS, _WIDGETS), (_BYTES,), _weighed, rounds=1
    ),
)
