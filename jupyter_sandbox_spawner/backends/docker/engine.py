"""How is the Docker daemon asked? Its HTTP API on a unix socket, a dozen calls, each with a time limit.

Not through a Docker library: the launcher is the one program with root, aiohttp is in it already, and
these calls are all that it needs. docker-py would hold a thread for the event stream, with no way to end it.
ref: https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from ...errors import BackendError, IsolationError
from ...rules.docker_settings import OTHER_ENGINE, is_podman

__all__ = ["PATIENCE", "Document", "Engine"]

_OLDEST = (1, 41)  # Docker 20.10; what we ask is in it
PATIENCE = 60.0  # seconds for one call; measured 10-300 ms
_SIGNAL_PATIENCE = 5.0  # seconds for a signal; who waits longer asks the kernel
_AT_ONCE = 16  # calls; the event stream has a connection of its own besides
_LONGEST_LINE = 1 << 20  # bytes of one event
Document = Mapping[str, Any]


class Engine:
    """One daemon. Raises BackendError `docker.unreachable`, `docker.timeout` or `docker.failed`."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._prefix = ""
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections; containers go on."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def choose_version(self) -> str:
        """Agree on a version of the API; the daemon's own version.

        Raises IsolationError `docker.too_old` or `docker.podman`.
        """
        self._prefix = ""
        answer = await self._json("GET", "/version")
        if is_podman(answer):
            raise IsolationError(
                f"The daemon at {self.socket} is Podman {answer['Version']}, which leaves out parts of what"
                " closes a sandbox.",
                code="docker.podman",
                field="docker_socket",
                remedy=OTHER_ENGINE,
            )
        newest, least = _number(answer["ApiVersion"]), _number(answer.get("MinAPIVersion", "1.12"))
        if newest < _OLDEST:
            raise IsolationError(
                f"The Docker daemon is {answer['Version']}, with API {answer['ApiVersion']}.",
                code="docker.too_old",
                remedy="Install Docker 20.10 or newer.",
            )
        chosen = max(_OLDEST, least)
        self._prefix = f"/v{chosen[0]}.{chosen[1]}"
        return str(answer["Version"])

    async def info(self) -> Document:
        """What the daemon says of itself and its host."""
        return await self._json("GET", "/info")

    async def image(self, name: str) -> Document | None:
        """An image of this host; None if it is not here."""
        return await self._find(f"/images/{name}/json")

    async def create(self, name: str, request: Document) -> str:
        """Make a container; its id."""
        answer = await self._json("POST", "/containers/create", body=request, params={"name": name})
        return str(answer["Id"])

    async def start(self, container: str) -> None:
        """Run its first process; no-op if it runs."""
        await self._call("POST", f"/containers/{container}/start", fine=(204, 304))

    async def inspect(self, container: str, patience: float = PATIENCE) -> Document | None:
        """All that the daemon knows of a container; None if there is none."""
        return await self._find(f"/containers/{container}/json", patience)

    async def kill(self, container: str, signal: str) -> None:
        """Signal its first process; no-op if it has ended or is gone."""
        path, fine = f"/containers/{container}/kill", (204, 404, 409)
        await self._call("POST", path, {"signal": signal}, fine=fine, patience=_SIGNAL_PATIENCE)

    async def remove(self, container: str) -> None:
        """Kill and erase it with its anonymous volumes; no-op if gone."""
        # 409: it is being removed already.
        await self._call("DELETE", f"/containers/{container}", {"force": "1", "v": "1"}, fine=(204, 404, 409))

    async def containers(self, *labels: str) -> list[Document]:
        """Every container, whatever its state, that carries all of these labels."""
        raw = await self._call("GET", "/containers/json", {"all": "1", **_filters(labels)})
        found: list[Document] = json.loads(raw)
        return found

    async def networks(self, *labels: str) -> list[Document]:
        """Every network that carries all of these labels."""
        found: list[Document] = json.loads(await self._call("GET", "/networks", _filters(labels)))
        return found

    async def volumes(self, *labels: str) -> list[Document]:
        """Every volume that carries all of these labels."""
        answer = json.loads(await self._call("GET", "/volumes", _filters(labels)))
        found: list[Document] = answer.get("Volumes") or []
        return found

    async def remove_network(self, network: str) -> None:
        """Erase it; no-op if gone. Raises `docker.failed` while a container is in it."""
        await self._call("DELETE", f"/networks/{network}", fine=(204, 404))

    async def logs(self, container: str) -> bytes:
        """What it wrote, both streams in the order of arrival; bounded by its log driver; b"" if gone."""
        parameters = {"stdout": "1", "stderr": "1"}
        raw = await self._call("GET", f"/containers/{container}/logs", parameters, fine=(200, 404, 409))
        return b"" if raw.startswith(b'{"message"') else _without_frames(raw)

    async def events(self, *labels: str) -> AsyncIterator[Document]:
        """Each change of containers with these labels from now on; ends with the connection.

        The first item is {}: from then on nothing is missed.
        """
        filters = json.dumps({"type": ["container"], "label": list(labels)})
        limit = aiohttp.ClientTimeout(total=None, sock_connect=2.0)
        try:
            async with self._opened().get(
                f"{self._prefix}/events", params={"filters": filters}, timeout=limit
            ) as answer:
                if answer.status != 200:
                    raise _refused(answer.status, await answer.read())
                yield {}
                async for line in answer.content:
                    yield json.loads(line)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise self._unreachable(error) from error

    async def _find(self, path: str, patience: float = PATIENCE) -> Document | None:
        raw = await self._call("GET", path, fine=(200, 404), patience=patience)
        answer: dict[str, Any] = json.loads(raw)
        return answer if "Id" in answer else None

    async def _json(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> Document:
        answer: dict[str, Any] = json.loads(await self._call(method, path, params, body, fine=(200, 201)))
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        fine: tuple[int, ...] = (200,),
        patience: float = PATIENCE,
    ) -> bytes:
        limit = aiohttp.ClientTimeout(total=patience, sock_connect=2.0)
        try:
            async with self._opened().request(
                method, self._prefix + path, params=params, json=body, timeout=limit
            ) as answer:
                raw, status = await answer.read(), answer.status
        except asyncio.TimeoutError as error:
            raise BackendError(
                f"Docker did not answer {method} {path} within {patience:g} s.", code="docker.timeout"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        if status not in fine:
            raise _refused(status, raw)
        return raw

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Connections are not kept: one to a daemon that was restarted would fail its next call.
            connector = aiohttp.UnixConnector(path=self.socket, limit=_AT_ONCE + 1, force_close=True)
            self._session = aiohttp.ClientSession(
                "http://docker", connector=connector, read_bufsize=_LONGEST_LINE
            )
        return self._session

    def _unreachable(self, error: Exception) -> BackendError:
        return BackendError(
            f"The Docker daemon at {self.socket} does not answer ({type(error).__name__}).",
            code="docker.unreachable",
            remedy="Start it (systemctl start docker), or name its socket: setup_hub(c, docker_socket=...).",
            status=503,
        )


def _number(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _refused(status: int, raw: bytes) -> BackendError:
    try:
        message = str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        message = raw[:300].decode(errors="replace")
    return BackendError(f"Docker answered {status}: {message}", code="docker.failed", remedy=_remedy(message))


def _remedy(message: str) -> str:
    if "exec:" in message and "no such file" in message:
        return "Name the Python of the image: Environment(image=..., prefix=...) in environments."
    if "no space left" in message.lower():
        return "Free space on the file system of Docker's data-root."
    if any(word in message for word in ("containerd.sock", ": unavailable", "ttrpc", "shim")):
        return "Docker's containerd was ended; Docker starts it again within seconds. Try again."
    return "The log of the Docker daemon says more: journalctl -u docker"


def _without_frames(raw: bytes) -> bytes:
    """The streams of a log without their headers: a byte for the stream, three of zero, four of length."""
    parts, place = [], 0
    while place + 8 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, place + 4)
        parts.append(raw[place + 8 : place + 8 + length])
        place += 8 + length
    return b"".join(parts)


def _filters(labels: tuple[str, ...]) -> dict[str, str]:
    return {"filters": json.dumps({"label": list(labels)})}
