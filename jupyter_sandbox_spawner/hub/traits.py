"""What can an admin configure on the spawner, and what does absent or empty mean?"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Float, HasTraits, List, Unicode, Union, default

from ..rules.profiles import Profile, for_runtimes
from ..settings import SITE_VARIABLE, Site
from .catalogue import offered_profiles, site_of
from .farewells import Farewells
from .form_fields import options_from_form

__all__ = ["SandboxTraits"]


class SandboxTraits(HasTraits):
    """Settings of every sandbox spawner, to stand before a JupyterHub Spawner among the bases."""

    profiles = Union(
        [Unicode(), List(), Dict()],
        default_value="",
        help="""
        Path of profiles.yaml, or the same list or dictionary in Python.

        Empty (the default): the file that `setup_hub` wrote into the site. It is checked when the hub
        starts, and read again when it changes; an edit with an error changes nothing. A profile
        without `allowed_groups` is for everyone, with an empty list for nobody.
        """,
    ).tag(config=True)

    site_file = Unicode(
        help=f"""
        Path of the site.json that the supervisor wrote.

        Empty: no server starts. The default is the value of {SITE_VARIABLE}, which
        `jupyter-sandbox-admin run` sets.
        """,
    ).tag(config=True)

    stop_grace = Float(
        10.0,
        min=0.0,
        help="""
        Time (in seconds) that a server gets to end by itself when it is stopped.

        0: it is killed at once. There is no value for "for ever".
        """,
    ).tag(config=True)

    env_keep = List(
        Unicode(),
        default_value=[],
        help="""
        Names of variables of the hub's own environment that servers get.

        Empty (the default): none. There are no patterns. Everything named here is readable by users.
        """,
    ).tag(config=True)

    disable_user_config = Bool(
        True,
        help="""
        Ignore Jupyter configuration in the user's home when the server starts.

        Servers of this spawner always do; False has no effect.
        """,
    ).tag(config=True)

    # Raw and untrusted: JupyterHub 5.x stores whatever JSON the API got, and its own Dict trait would turn
    # a list into a counted failure before our check can refuse it.
    user_options = AnyTrait()

    @default("user_options")
    def _default_user_options(self) -> dict[str, Any]:
        return {}

    @default("site_file")
    def _default_site_file(self) -> str:
        return os.environ.get(SITE_VARIABLE, "")

    @default("options_form")
    def _default_options_form(self) -> Callable[[Any], Awaitable[str]]:
        return lambda spawner: spawner.render_form()

    @default("options_from_form")
    def _default_options_from_form(self) -> Callable[[dict[str, list[Any]]], dict[str, Any]]:
        return options_from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Callable[[Any, Any], None]:
        return _leave_to_start

    @property
    def site(self) -> Site:
        """The site, read once a process."""
        return site_of(self.site_file)

    @property
    def farewells(self) -> Farewells:
        """Deleted users whose homes are not in quarantine yet."""
        return Farewells(Path(self.site.hub_dir, "farewells"))

    @property
    def offered(self) -> tuple[Profile, ...]:
        """The profiles of this hub as its file says now, or said before an edit with an error."""
        found = offered_profiles(self.profiles or self.site.profiles, self.site.environments)
        return for_runtimes(found, self.site.runtimes)


def _leave_to_start(spawner: Any, user_options: Any) -> None:
    """Options are checked in `start`; without this the hub logs them as unhandled."""
