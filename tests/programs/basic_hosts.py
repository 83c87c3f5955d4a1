"""Who lives behind the proxy in these tests? git's own server and a package index, both with Basic auth.

Law: they serve only who shows the one right user and password, and keep what they were shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import zipfile
from pathlib import Path

from aiohttp import web

__all__ = ["GitHost", "Index", "wheel"]


def _unknown() -> web.Response:
    return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="the host"'})


class GitHost:
    """`git http-backend` over a directory of repositories."""

    def __init__(self, root: Path, credential: str) -> None:
        self._root = root
        self.credential = credential
        self.shown: set[str] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One CGI request, its body streamed in and its answer out."""
        self.shown.add(request.headers.get("Authorization", ""))
        if request.headers.get("Authorization") != self.credential:
            return _unknown()
        if not request.path.partition("/info")[0].partition("/git-")[0].endswith(".git"):
            # As many servers do where the user left `.git` out.
            path, mark, rest = request.raw_path.partition("/info/refs")
            return web.Response(status=301, headers={"Location": f"{path}.git{mark}{rest}"})
        body = await request.read()
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment(request, len(body)),
        )
        found, _ = await process.communicate(body)
        head, _, rest = found.partition(b"\r\n\r\n")
        lines = [line.decode().partition(": ") for line in head.split(b"\r\n")]
        headers = {name: value for name, _, value in lines}
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=rest)

    def _environment(self, request: web.Request, length: int) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "robot",
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self._root),
        }


def wheel(name: str, version: str) -> tuple[str, bytes]:
    """File name and bytes of a small package whose module says its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


class Index:
    """A simple index (PEP 503) with one package; `link` is how a page writes the way to a file."""

    def __init__(self, credential: str, link: str) -> None:
        self.credential = credential
        self.link = link
        self.name, self.packed = wheel("sandboxprobe", "1.2.3")

    async def answer(self, request: web.Request) -> web.Response:
        """A page or a file."""
        if request.headers.get("Authorization") != self.credential:
            return _unknown()
        if request.path == "/simple/sandboxprobe/":
            digest = hashlib.sha256(self.packed).hexdigest()
            anchor = f'<a href="{self.link}packages/{self.name}#sha256={digest}">{self.name}</a>'
            return web.Response(
                text=f"<!DOCTYPE html><html><body>{anchor}</body></html>", content_type="text/html"
            )
        if request.path == f"/packages/{self.name}":
            return web.Response(body=self.packed, content_type="application/octet-stream")
        return web.Response(status=404)
