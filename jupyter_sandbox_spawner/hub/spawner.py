"""What does the hub call? Start, poll and stop of one server, by asking control, launcher and gateway.

Law: a profile never changes this object; whatever was started is ended on every way out of `start`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from jupyterhub.spawner import Spawner

from ..clients.control import Released
from ..errors import BackendError, SandboxError
from ..models import SandboxSpec, Status
from ..names import canonical_username
from ..rules.choosing import Choice, decide
from ..rules.user_options import saved_options
from .choice import asked_now
from .deaths import follow_deaths, is_replaced, is_running
from .environment import ServerPlan, unknown_image
from .form_page import form_of
from .lifecycle import Lifecycle, to_its_end
from .planning import start_plan
from .refusals import reason_of_death, reason_of_failure, start_error
from .stages import Stages
from .traits import SandboxTraits

__all__ = ["SandboxSpawner"]

_STOPPED = Released(code="stop.at_hub", why="It was stopped at the hub.")


class SandboxSpawner(SandboxTraits, Spawner):  # type: ignore[misc]  # JupyterHub has no type hints
    """Policy and life of one sandboxed server, the same on every backend.

    A backend's class may give `overlay`. The state in the hub's database is the sandbox's id
    and its profile; no token and no secret.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.sandbox_id = self.profile_slug = ""
        self.stages = Stages()
        self._stop_failed = self._starting = False
        self._undoing: asyncio.Future[None] | None = None
        super().__init__(**kwargs)

    @property
    def groups(self) -> frozenset[str]:
        """Names of the user's groups now."""
        return frozenset(group.name for group in self.user.orm_user.groups)

    async def overlay(self, spec: SandboxSpec) -> dict[str, Any]:
        """A fragment of the backend's native request, merged and checked by the launcher; here nothing."""
        return {}

    def server_plan(self, spec: SandboxSpec) -> ServerPlan:
        """`jupyterhub-singleuser` of the user image that the profile names."""
        image = self.site.environments.get(spec.environment_name)
        if image is None:
            raise unknown_image(spec.environment_name)
        return ServerPlan(
            environment=self.get_env(),
            user=spec.user,
            hub_prefix=self.hub.base_url,
            prefix=self.server.base_url,
            python_prefix=image.prefix,
            command=self.cmd[0],
            arguments=(*self.cmd[1:], *self.get_args()),
            tracking=bool(self.site.tracking),
        )

    async def render_form(self) -> str:
        """The form, with the saved choice or the default checked and why the server ended the last time.
        HTML, everything escaped."""
        return await form_of(self)

    async def start(self) -> str:
        """Decide, prepare, start, wait for the answer; the URL of the one front.

        Raises RefusedStart or FailedStart, both with a sentence for the user.
        """
        if self.stages.closed:
            self.stages = Stages()
        began = time.monotonic()
        self._starting = True
        try:
            async with Lifecycle(self.site) as lifecycle:
                await self._start(lifecycle, began)
        except SandboxError as error:
            self.log.warning("%s: not started: %s %s", self._log_name, error.code, error)
            raise start_error(error, self) from error
        finally:
            self._starting = False
            self.stages.close()
        self.log.info("%s: %s started: %s", self._log_name, self.sandbox_id, self.stages.summary())
        return self.site.front_url

    async def _start(self, lifecycle: Lifecycle, began: float) -> None:
        user = canonical_username(self.user.name)
        with self.stages.stage("profile"):
            choice = await self._decide(lifecycle, user)
        with self.stages.stage("place"):
            await self._undone()
            if self.farewells.has(user):
                await self._say_farewell(lifecycle, user)
            await lifecycle.clear(user, self.name)
            self._stop_failed, self.sandbox_id = False, ""
            place = await lifecycle.place(user)
        plan = start_plan(self, choice, place, began)
        self.sandbox_id, self.profile_slug = plan.request.spec.id, choice.profile.slug
        try:
            await lifecycle.start(plan, self.stages)
        except BaseException as error:
            # Cancelled by start_timeout or by a stop as well: nothing may be left running. The hub gives a
            # cancelled start one second to end; `stop`, which it calls then, waits for the rest.
            news = reason_of_failure(error, time.monotonic() - began, self.start_timeout)
            self._undoing = asyncio.ensure_future(self._undo(self.sandbox_id, news))
            if not isinstance(error, asyncio.CancelledError):
                await asyncio.shield(self._undoing)
            raise
        follow_deaths(self)
        self.stages.finish()

    async def _decide(self, lifecycle: Lifecycle, user: str) -> Choice:
        explicit = asked_now(self.handler)
        try:
            choice = decide(self.offered, self.user_options, explicit, user, self.groups)
        except SandboxError as error:
            # The hub saved the choice before it was checked; it must not come back by itself.
            self.orm_spawner.user_options = {}
            await lifecycle.refused(user, self.name, error)
            raise
        if choice.notice:
            self.log.warning("%s: %s", self._log_name, choice.notice)
            self.stages.note(choice.notice)
        self.user_options = saved_options(choice.profile.slug, choice.options)
        return choice

    async def _undo(self, started: str, news: Released) -> None:
        try:
            async with Lifecycle(self.site) as lifecycle:
                await lifecycle.end(started, 0)
                await lifecycle.released(started, news)
        except Exception as error:  # the first is the one to tell; the next start ends what is left
            trace = None if isinstance(error, SandboxError) else error
            self.log.critical("%s: %s is not undone: %s", self._log_name, started, error, exc_info=trace)
            self._stop_failed = True
            return
        if self.sandbox_id == started:
            self.sandbox_id = self.profile_slug = ""

    async def _undone(self) -> None:
        """A start that came to nothing has left nothing, or the log says what it left."""
        if self._undoing is not None:
            await asyncio.shield(self._undoing)

    async def poll(self) -> int | None:
        """None while it starts or runs, and while nobody can tell; else its exit status, after cleaning up.

        The hub never calls `stop` for a server that ended by itself, so that is done here. That it runs is
        known from one list for all servers; that it is over is asked about this one.
        """
        asked = self.sandbox_id
        if not asked and not self._starting:
            return 0
        undoing = self._undoing is not None and not self._undoing.done()
        if self._starting or undoing or is_replaced(self):
            # How a start ends is told by start itself; for a replaced object the hub would stop the next.
            return None
        try:
            if await is_running(self):
                return None
            async with Lifecycle(self.site) as lifecycle:
                status = await lifecycle.status(asked)
                if self._starting or self.sandbox_id != asked:
                    # A start has cleared the one that was asked about and has another on its way.
                    return None
                if status is not None and status.value not in ("stopped", "failed"):
                    return None
                return await self._bury(lifecycle, status)
        except SandboxError as error:
            # For all servers at once it is said by the list that they share.
            self.log.debug("%s: the state of %s is unknown: %s", self._log_name, asked, error)
            return None

    async def _bury(self, lifecycle: Lifecycle, status: Status | None) -> int:
        dead, reason = self.sandbox_id, reason_of_death(status)
        self.log.warning("%s: %s is over: %s", self._log_name, dead, reason)
        exit_code = status.exit_code if status else None
        lines = await lifecycle.last_lines(dead, (self.api_token,)) if exit_code else ""
        news = Released(code="ended.died", why=reason, exit_code=exit_code, lines=lines)
        try:
            await to_its_end(self._end(lifecycle, 0, news))
        except SandboxError as error:
            # It is dead all the same; the next poll or start tries the clean-up again.
            self.log.critical("%s: %s is not cleaned up: %s", self._log_name, dead, error)
            self._stop_failed = self.sandbox_id == dead
        else:
            if self.sandbox_id == dead:
                self.sandbox_id = self.profile_slug = ""
                self._stop_failed = False
        return 1 if exit_code is None else exit_code

    async def _end(self, lifecycle: Lifecycle, grace: float, news: Released) -> None:
        ending = self.sandbox_id  # a new start may have another by the time this one is gone
        await lifecycle.end(ending, grace, news.why)
        await lifecycle.released(ending, news)

    async def stop(self, now: bool = False) -> None:
        """End the server; returns when its death is verified.

        Raises BackendError `stop.failed` otherwise. JupyterHub loses that exception, so it is logged here,
        its id stays in the state (poll tells the truth), and the next start ends it first.
        """
        await self._undone()
        if not self.sandbox_id:
            return
        try:
            async with Lifecycle(self.site) as lifecycle:
                grace = 0 if now else self.stop_grace
                await to_its_end(self._end(lifecycle, grace, _STOPPED))
        except SandboxError as error:
            self._stop_failed = True
            self.log.critical("%s: %s may still run: %s", self._log_name, self.sandbox_id, error)
            if isinstance(error, BackendError):
                raise
            raise BackendError(str(error), code="stop.failed") from error
        self._stop_failed = False
        self.sandbox_id = self.profile_slug = ""

    async def delete_forever(self) -> None:
        """The user is deleted: the home goes into quarantine and the records are closed.

        Named servers share the user's home, so for them there is nothing to do. Raises SandboxError; then
        the deletion is done before a user of this name gets a server again.
        """
        if self.name or any(other.active for other in self.user.spawners.values()):
            return  # the hub does not delete a user with a running server
        user = canonical_username(self.user.name)
        self.farewells.add(user)
        async with Lifecycle(self.site) as lifecycle:
            await self._say_farewell(lifecycle, user)

    async def _say_farewell(self, lifecycle: Lifecycle, user: str) -> None:
        try:
            await lifecycle.forget(user)
        except SandboxError as error:
            self.log.critical("%s: the home of the deleted user is not in quarantine yet: %s", user, error)
            raise
        self.farewells.remove(user)
        self.log.info("%s was deleted; the home is in quarantine", user)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The stages of the start as they come; the last event has the seconds and share of each."""
        async for event in self.stages.follow():
            yield event

    async def get_url(self) -> str:
        """Where the server answers now; the front's port may differ after a restart of everything."""
        return f"{self.site.front_url}{self.server.base_url}"

    def get_env(self) -> dict[str, str]:
        """The hub's and the admin's variables as texts; `environment.py` adds what the sandbox relies on."""
        return {name: str(text) for name, text in super().get_env().items() if text is not None}

    def get_state(self) -> dict[str, Any]:
        """Id and profile; the token is in the boot document only."""
        state: dict[str, Any] = super().get_state()
        if self.sandbox_id:
            state |= {"sandbox": self.sandbox_id, "profile": self.profile_slug}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a sandbox that ran on while the hub was away."""
        super().load_state(state)
        self.sandbox_id = state.get("sandbox", "")
        self.profile_slug = state.get("profile", "")

    def clear_state(self) -> None:
        """Forget the sandbox, unless it could not be stopped."""
        super().clear_state()
        if not self._stop_failed:
            self.sandbox_id = self.profile_slug = ""
