"""Is a spec what the profile says for this user and these choices? Control's own reckoning of it.

Law: what the hub plugin sends is compared field by field, and nothing of it is believed because it was sent.
"""

from __future__ import annotations

from collections.abc import Collection

from ..errors import ProfileRefusedError
from .admission import AdmissionRequest, Against
from .profile_choices import resolve
from .profiles import Defaults, Profile, reason_against

__all__ = ["against", "own_profile"]

_FIELDS = (
    "resources",
    "ttl",
    "idle_timeout",
    "egress",
    "browser",
    "isolation",
    "runtime",
    "environment_name",
    "environment",
    "gpu_devices",
    "zone",
)


def own_profile(profile: Profile, request: AdmissionRequest) -> Profile:
    """The profile with the request's choices worked in. Raises ProfileRefusedError as `resolve` does."""
    return resolve(profile, request.options, request.spec.user, request.groups)


def against(profile: Profile, request: AdmissionRequest, defaults: Defaults) -> Against | None:
    """Why the spec is not the one to start, or None. `profile` is control's own, as it is written."""
    if profile.deprecated is not None:
        why = reason_against(profile, request.groups) or f"It leads to {profile.deprecated.use!r}."
        return Against(
            code="profile.deprecated",
            message=f"The profile {profile.display_name!r} starts no server any more. {why}",
        )
    try:
        found = own_profile(profile, request)
    except ProfileRefusedError as error:
        return Against(code=error.code, message=error.message, remedy=error.remedy)
    said = _said(found, defaults)
    wrong = [name for name in _FIELDS if getattr(request.spec, name) != said[name]]
    wrong += _foreign_mounts(request)
    if not wrong:
        return None
    return Against(
        code="admission.spec_mismatch",
        message=f"The spec's {wrong[0]} is not what the profile {profile.slug!r} says for these choices.",
        remedy="Tell your admin: hub and control differ in version or in settings.",
    )


def _said(profile: Profile, defaults: Defaults) -> dict[str, object]:
    return {
        "resources": profile.resources,
        "ttl": profile.ttl,
        "idle_timeout": profile.idle_timeout,
        "egress": profile.egress,
        "browser": profile.browser,
        "isolation": profile.isolation,
        "runtime": profile.runtime or defaults.runtime,
        "environment_name": profile.environment or defaults.environment,
        "environment": dict(profile.variables),
        # Control itself gives these, after it has admitted.
        "gpu_devices": (),
        "zone": "",
    }


def _foreign_mounts(request: AdmissionRequest) -> Collection[str]:
    kinds = [mount.kind for mount in request.spec.mounts]
    return [] if kinds == ["home"] else ["mounts"]
