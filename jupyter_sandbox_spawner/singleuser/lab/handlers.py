"""Which routes has JupyterLab below `sandbox/`? One that shows everything, and one for each wish.

Law: every route is for who may use this server, with jupyter_server's own login and XSRF checks, and every
answer is JSON, refusals too. What is wished is control's to grant; here it is only carried.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from http.client import responses
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ...errors import ProgramError, SandboxError

if TYPE_CHECKING:
    from .gathering import Gathering

__all__ = ["ViewHandler", "WishHandler", "add_to"]

_RESOURCE = "sandbox"
_WISHES = "extend|keep|stop|egress/ask|egress/withdraw"


def add_to(application: Any, log: Any) -> None:
    """Add the routes to jupyter_server's application."""
    base = str(application.settings["base_url"]).rstrip("/")
    shared = {"known": _Known()}
    application.add_handlers(
        ".*$",
        [
            (f"{base}/sandbox/view", ViewHandler, shared),
            (f"{base}/sandbox/({_WISHES})", WishHandler, shared),
        ],
    )
    log.debug("jupyter_sandbox_spawner: routes below %s/sandbox/", base)


class _Known:
    """What all pages are told, made when the first one asks: its imports would slow the server's start."""

    @cached_property
    def gathering(self) -> Gathering:
        """The only one of this server."""
        from .gathering import Gathering

        return Gathering()


class _Handler(APIHandler):  # type: ignore[misc]
    auth_resource = _RESOURCE

    def initialize(self, known: _Known) -> None:
        self.known = known

    def answer(self, document: Mapping[str, Any], status: int = 200) -> None:
        """Finish with JSON that nobody keeps."""
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(document))

    def refuse(self, error: SandboxError) -> None:
        """Finish with an error's own words."""
        status = 404 if error.code == "sandbox.outside" else error.status
        self.answer(error.as_document(), 503 if isinstance(error, ProgramError) else status)

    def write_error(self, status_code: int, **more: Any) -> None:
        """What jupyter_server refuses, as our own refusals look."""
        self.answer(_refusal(status_code, self.current_user is not None, more), status_code)


class ViewHandler(_Handler):
    """`GET view`. An open page asks it again and again, so it is no use of the server."""

    _track_activity = False

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Everything that is known, in one document."""
        try:
            self.answer(await self.known.gathering.view(anew=bool(self.get_argument("anew", ""))))
        except SandboxError as error:
            self.refuse(error)


class WishHandler(_Handler):
    """`POST` of what a person wishes."""

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def post(self, wish: str) -> None:
        """Carry it to control; the answer is control's own."""
        from .bodies import read_body
        from .parts import in_thread

        try:
            body = read_body(wish, self.request.body)
            answer = await in_thread(_question(wish, body))
        except SandboxError as error:
            self.refuse(error)
            return
        finally:
            # Also where no answer came: it may have been done.
            self.known.gathering.forget()
        self.answer(answer, 202 if wish == "stop" else 200)


def _question(wish: str, body: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    from secrets import token_hex

    from ..door import ask
    from ..questions import wished

    if wish == "extend":
        # The same wish twice is one, for an answer that was lost is asked for again; a page has its own key.
        return lambda: wished("/extend", {"key": token_hex(16), **body})
    if wish in ("keep", "egress/ask"):
        return lambda: wished(f"/{wish}", body)
    return lambda: ask(f"/{wish}", body)


def _refusal(status: int, known: bool, more: Mapping[str, Any]) -> dict[str, Any]:
    error = (more.get("exc_info") or (None, None))[1]
    said = str(getattr(error, "log_message", "") or responses.get(status, "It failed."))
    if status in (401, 403) and "xsrf" in said.lower():
        refused = SandboxError(
            "The request does not come from a page of this server.",
            code="lab.cross_site",
            remedy="Reload the page.",
        )
    elif status in (401, 403) and not known:
        refused = SandboxError(
            "Nobody is logged in here, or somebody who may not use this server.",
            code="lab.not_logged_in",
            remedy="Reload the page.",
        )
    elif status in (401, 403):
        refused = SandboxError(
            "You may not do this on this server.", code="lab.forbidden", remedy="Ask its owner."
        )
    elif status < 500:
        refused = SandboxError(f"There is no such call ({said}).", code="lab.no_route")
    else:
        refused = SandboxError("The server failed; its log says why.", code="lab.failed")
    return refused.as_document()
