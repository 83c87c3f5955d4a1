"""What is the admin page made of? The files of one directory, read once; no other path leads anywhere."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from ..errors import RefusedError

__all__ = ["PAGES", "PageFiles"]

PAGES = str(Path(__file__).resolve().parent / "pages")
_SHELL = "index.html"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.[a-z0-9]{2,5}")
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "json": "application/json",
    "woff2": "font/woff2",
}


@dataclass(frozen=True)
class _File:
    body: bytes
    kind: str
    tag: str


class PageFiles:
    """Files by name, as they were when control started."""

    def __init__(self, directory: str = PAGES) -> None:
        self._files: dict[str, _File] = {}
        for path in sorted(Path(directory).glob("*.*")):
            kind = _TYPES.get(path.suffix.removeprefix("."))
            if kind is not None and _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                body = path.read_bytes()
                self._files[path.name] = _File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def shell(self, request: web.Request) -> web.Response:
        """The page itself. Raises RefusedError `page.missing`."""
        return self._answer(request, _SHELL)

    def static(self, request: web.Request) -> web.Response:
        """The file that the path names. Raises RefusedError `page.missing`."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        found = self._files.get(name)
        if found is None:
            raise RefusedError(
                f"The page has no file {name[:60]!r}.",
                code="page.missing",
                status=404,
                remedy="Install the package anew." if name == _SHELL else "Reload the page.",
            )
        # Asked for again each time: after an update no browser mixes old files with new ones.
        headers = {"ETag": found.tag, "Cache-Control": "no-cache", "Content-Type": found.kind}
        asked = [
            tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")
        ]
        if found.tag in asked:
            return web.Response(status=304, headers=headers)
        return web.Response(body=found.body, headers=headers)
