"""How is the cluster asked? The few calls that the launcher needs, each with a time limit and its own error.

Configuration, certificates and the rotation of the account's token are kubernetes_asyncio's; objects stay
plain documents, since they are checked field by field. Not kubespawner's reflector: it tells nobody of a
change, lists everything anew every ten quiet seconds and gives up after half a minute without an answer.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config

from ...errors import BackendError
from .answers import Answers
from .insisting import insist
from .questions import Document, Kind, Listing, Question, path_of

__all__ = ["Cluster"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
PATIENCE = 20.0  # seconds for one call; measured 3-40 ms
_LEAST = 0.5  # seconds for one that is tried again
_WATCH = 60  # seconds of one watch; the next goes on where it ended
_LOG_PATIENCE = 5.0  # seconds; a node that is off answers nobody
_LOG_TOTAL = 16 << 20  # bytes that are read for the end of a log
_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


class Cluster:
    """One namespace of one cluster.

    Verbs about objects are tried again while nobody answers; a `create` that came true unheard is a conflict.

    Raises BackendError `kubernetes.unreachable`, `.timeout`, `.login`, `.rbac`, `.conflict`, `.failed` and
    what rules/pod_trouble.py makes of a refusal; its log line has the cluster's own words.
    """

    def __init__(
        self,
        namespace: str,
        kubeconfig: str = "",
        left: Callable[[], float] | None = None,
        insist: float = 0.0,
    ) -> None:
        """`left`: for how many seconds from now this launcher may still change anything; None: always.
        `insist`: seconds in which an object's verb is tried again."""
        self.namespace = namespace
        self._insist = insist
        self._answers = Answers()
        self._left = left
        self._kubeconfig = kubeconfig or os.environ.get("KUBECONFIG", "")
        self._client: client.ApiClient | None = None

    async def open(self) -> None:
        """Find the cluster: by a kubeconfig where one is named, else by the pod's own account."""
        settings = client.Configuration()
        try:
            if self._kubeconfig:
                await config.load_kube_config(self._kubeconfig, client_configuration=settings)
            else:
                load: Any = config.load_incluster_config  # untyped
                load(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise BackendError(
                f"The cluster's API cannot be found: {error}.",
                code="kubernetes.no_account",
                remedy="Run the launcher in a pod with its ServiceAccount, or name a file in KUBECONFIG.",
            ) from error
        settings.connection_pool_maxsize = 64
        self._client = client.ApiClient(settings)

    async def close(self) -> None:
        """Close the connections; everything in the cluster goes on."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def url(self) -> str:
        """Where the API is, once it is opened."""
        return str(self._client.configuration.host) if self._client is not None else ""

    async def version(self) -> tuple[int, int]:
        """The API server's own: (1, 34)."""
        answer = json.loads(await self._try("GET", "/version"))
        return int(answer["major"]), int("".join(c for c in answer["minor"] if c.isdigit()))

    async def create(self, kind: Kind, manifest: Document) -> Document:
        """Make an object; what the cluster made of it. Raises `kubernetes.conflict` for a taken name."""
        return _read(await self._call("POST", self._path(kind), body=manifest))

    async def get(self, kind: Kind, name: str) -> Document | None:
        """An object; None if there is none."""
        raw = await self._call("GET", self._path(kind, name), absent=True)
        return _read(raw) if raw else None

    async def list(self, kind: Kind, selector: str, metadata_only: bool = False) -> Listing:
        """All objects with these labels (`a=b,c=d`); `metadata_only` leaves out what they hold."""
        accept = _METADATA if metadata_only else "application/json"
        parameters = {"labelSelector": selector} if selector else {}
        answer = json.loads(await self._call("GET", self._path(kind), parameters, accept=accept))
        # What a list says once of all that is in it, kind and version, its items leave out.
        common = {"apiVersion": answer["apiVersion"], "kind": str(answer["kind"]).removesuffix("List")}
        return Listing(
            items=tuple({**common, **item} for item in answer["items"] or ()),
            version=answer["metadata"]["resourceVersion"],
        )

    async def events_about(self, name: str) -> tuple[Document, ...]:
        """What components of the cluster told about an object; () where we may not know."""
        parameters = {"fieldSelector": f"involvedObject.name={name}"}
        try:
            answer = json.loads(await self._try("GET", self._path("events"), parameters))
        except BackendError as error:
            if error.code != "kubernetes.rbac":
                raise
            return ()
        return tuple(answer["items"] or ())

    async def patch(self, kind: Kind, name: str, change: Document) -> Document | None:
        """Merge a change into an object (RFC 7386); None if there is none."""
        raw = await self._call("PATCH", self._path(kind, name), body=change, absent=True)
        return _read(raw) if raw else None

    async def replace(self, kind: Kind, name: str, manifest: Document) -> Document:
        """Put a whole object, of the version that it names. Raises `kubernetes.conflict` for an older one."""
        return _read(await self._call("PUT", self._path(kind, name), body=manifest))

    async def delete(
        self, kind: Kind, name: str, uid: str = "", grace: int | None = None, *, version: str = ""
    ) -> bool:
        """Let an object go; False if it was gone. With `uid` only that very one, with `version` as it was.

        `grace` in seconds; never 0, with which the cluster forgets a pod before anybody has seen it end.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        known = {key: text for key, text in (("uid", uid), ("resourceVersion", version)) if text}
        if known:
            options["preconditions"] = known
        if grace is not None:
            options["gracePeriodSeconds"] = max(1, grace)
        try:
            raw = await self._call("DELETE", self._path(kind, name), body=options, absent=True)
        except BackendError as error:
            if error.code == "kubernetes.conflict" and known:
                return False  # another one has the name by now, or it was changed
            raise
        return bool(raw)

    async def log_tail(self, pod: str, container: str, size: int) -> bytes:
        """The last `size` bytes of what a container wrote; b"" where there is no log."""
        tail = b""
        parameters = {"container": container, "tailLines": "2000", "limitBytes": str(_LOG_TOTAL)}
        try:
            async with self._answers.awaiting(f"the log of {pod}"):
                answer = await self._open("GET", f"{self._path('pods', pod)}/log", parameters, _LOG_PATIENCE)
                async with answer:
                    if answer.status != 200:
                        return b""
                    async for chunk in answer.content.iter_any():
                        tail = (tail + chunk)[-size:]
        except BackendError as error:
            if error.code not in ("kubernetes.timeout", "kubernetes.unreachable"):
                raise
        return tail

    async def memory_of_pods(self, selector: str, container: str) -> Mapping[str, str]:
        """By pod, what the metrics API measured last, as quantities; {} where the cluster has none."""
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{self.namespace}/pods"
        try:
            raw = await self._try("GET", path, {"labelSelector": selector}, absent=True)
        except BackendError as error:
            log.debug("The metrics API was asked in vain: %s", error)
            return {}
        return {
            pod["metadata"]["name"]: str(part["usage"]["memory"])
            for pod in json.loads(raw or b"{}").get("items", ())
            for part in pod.get("containers", ())
            if part.get("name") == container and "memory" in (part.get("usage") or {})
        }

    async def watch(self, kind: Kind, selector: str, version: str) -> AsyncIterator[tuple[str, Document]]:
        """Each change after `version` as (ADDED | MODIFIED | DELETED, object), for as long as nothing fails.

        The first item is ("", {}): from then on nothing is missed. Raises `kubernetes.expired` where the
        cluster does not remember that far back, so that everything must be listed anew.
        """
        limit = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=_WATCH + 15.0)
        while True:
            parameters = {
                "watch": "1",
                "labelSelector": selector,
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(_WATCH),
            }
            async with self._answers.awaiting(f"watching {kind}"):
                answer = await self._open("GET", self._path(kind), parameters, limit)
                async with answer:
                    if answer.status != 200:
                        raise self._answers.refused("GET", answer.status, await answer.read())
                    yield "", {}
                    async for line in answer.content:
                        what, thing = self._answers.change_in(line)
                        version = thing["metadata"]["resourceVersion"]
                        if what != "BOOKMARK":
                            yield what, thing

    def _path(self, kind: Kind, name: str = "") -> str:
        return path_of(self.namespace, kind, name)

    async def _call(self, method: str, path: str, *rest: Any, **more: Any) -> bytes:
        """As `_try`, again while nobody answers."""
        return await insist(
            lambda most: self._answer(Question(method, path, *rest, **more), most), self._insist
        )

    async def _try(self, method: str, path: str, *rest: Any, **more: Any) -> bytes:
        return await self._answer(Question(method, path, *rest, **more), PATIENCE)

    async def _answer(self, asked: Question, most: float) -> bytes:
        """The answer's body within `most` seconds; b"" for a missing object where `absent` is fine."""
        patience = max(min(PATIENCE, most), _LEAST)
        if asked.method != "GET" and self._left is not None:
            patience = min(patience, self._left())
        if patience <= 0:
            raise BackendError(
                "Another launcher may work by now, so this one changes nothing any more.",
                code="launcher.lease_lost",
                remedy="Try again: the one that works answers.",
                status=503,
            )
        async with self._answers.awaiting(f"{asked.method} {asked.path}"):
            more = (asked.parameters or {}, patience, asked.body, asked.accept)
            answer = await self._open(asked.method, asked.path, *more)
            async with answer:
                raw: bytes = await answer.read()
        if answer.status == 404 and asked.absent:
            return b""
        if not 200 <= answer.status <= 299:
            raise self._answers.refused(asked.method, answer.status, raw)
        return raw

    async def _open(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        patience: float | aiohttp.ClientTimeout,
        body: Document | None = None,
        accept: str = "application/json",
    ) -> Any:
        if self._client is None:
            await self.open()
        api: Any = self._client
        headers = {"Accept": accept}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        return await api.call_api(
            path,
            method,
            query_params=list(parameters.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=patience,
        )


def _read(raw: bytes) -> Document:
    found: dict[str, Any] = json.loads(raw)
    return found
