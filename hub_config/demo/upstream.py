"""What does the demo's notebook reach when it is allowed to? A package index and a page, both on loopback.

The index follows PEP 503 and serves one small wheel, built here on the fly; nothing leaves the machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

__all__ = ["GREETING", "INDEX_HOST", "MIRROR_HOST", "PACKAGE", "Upstreams", "build_wheel", "serve_upstreams"]

PACKAGE = "sandbox-demo-greeting"
INDEX_HOST = "pkg.sandbox.internal"
MIRROR_HOST = "mirror.sandbox.internal"
GREETING = "hello from the allowed host"
_MODULE = "sandbox_demo_greeting"


def build_wheel(version: str = "1.0") -> tuple[str, bytes]:
    """File name and bytes of a pure Python wheel whose module has one function, `greet()`."""
    info = f"{_MODULE}-{version}.dist-info"
    files = {
        f"{_MODULE}.py": f'"""A greeting."""\n\n\ndef greet():\n    return "installed {version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},{_digest(text)},{len(text)}\n" for name, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return f"{_MODULE}-{version}-py3-none-any.whl", stream.getvalue()


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Upstreams:
    """Where they listen, and every request that reached them: method, host header and path."""

    index_port: int = 0
    mirror_port: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def internal_services(self) -> dict[str, str]:
        """For the site: the name a notebook asks for, and the loopback port that answers."""
        return {
            f"{INDEX_HOST}:80": f"127.0.0.1:{self.index_port}",
            f"{MIRROR_HOST}:80": f"127.0.0.1:{self.mirror_port}",
        }


def _index(upstreams: Upstreams) -> web.Application:
    name, wheel = build_wheel()
    digest = hashlib.sha256(wheel).hexdigest()

    async def page(request: web.Request) -> web.Response:
        upstreams.requests.append(f"{request.method} {request.host}{request.path}")
        link = f'<a href="/files/{name}#sha256={digest}">{name}</a>'
        return web.Response(text=f"<!DOCTYPE html><html><body>{link}</body></html>", content_type="text/html")

    async def file(request: web.Request) -> web.Response:
        upstreams.requests.append(f"{request.method} {request.host}{request.path}")
        return web.Response(body=wheel, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get(f"/simple/{PACKAGE}/", page)
    app.router.add_get(f"/files/{name}", file)
    return app


def _mirror(upstreams: Upstreams) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        upstreams.requests.append(f"{request.method} {request.host}{request.path}")
        return web.Response(text=GREETING)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def _serve(app: web.Application) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, int(runner.addresses[0][1])


@asynccontextmanager
async def serve_upstreams() -> AsyncIterator[Upstreams]:
    """Serve both on loopback ports from the operating system until the block ends."""
    upstreams = Upstreams()
    index, upstreams.index_port = await _serve(_index(upstreams))
    mirror, upstreams.mirror_port = await _serve(_mirror(upstreams))
    try:
        yield upstreams
    finally:
        await index.cleanup()
        await mirror.cleanup()
