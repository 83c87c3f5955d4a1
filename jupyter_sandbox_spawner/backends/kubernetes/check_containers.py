"""Are the two containers of a pod, and its volumes, the ones that belong there? Pure; a part of `check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...models import SandboxSpec
from ..oci.layout import INSIDE
from ..refusing import only_known, refuse
from .layout import (
    LAST_WORDS,
    LINK,
    LINK_RESOURCES,
    LINK_UID,
    SPACE,
    TICKET,
    USER,
    Place,
    Seen,
    claim_of,
    environment,
    link_command,
    link_sees,
    user_sees,
    volumes_in_memory,
    wait_for_link,
)
from .quantities import cores, quantity

__all__ = ["check_link", "check_user", "check_volumes"]

Document = Mapping[str, Any]
_CONTAINER = {
    *("name", "image", "imagePullPolicy", "command", "workingDir", "env", "securityContext", "resources"),
    "volumeMounts",
    *("terminationMessagePath", "terminationMessagePolicy"),
}
_LINKS_WORDS = "/dev/termination-log"  # the cluster's default
_OPENS = {
    "args": ("command", "the first process must be the one that the launcher names."),
    "envFrom": ("environment", "identity comes by a door, and the link's is a file."),
    "lifecycle": ("command", "further programs would run."),
    "livenessProbe": ("command", "further programs would run, or somebody would connect to it."),
    "readinessProbe": ("command", "further programs would run, or somebody would connect to it."),
    "startupProbe": ("command", "further programs would run, or somebody would connect to it."),
    "ports": ("network", "nobody connects to a sandbox."),
    "resizePolicy": ("limit", "limits stay."),
    "restartPolicy": ("life", "the launcher alone starts and ends it."),
    "restartPolicyRules": ("life", "the launcher alone starts and ends it."),
    "stdin": ("terminal", "it has no terminal and no input of anybody."),
    "tty": ("terminal", "it has no terminal and no input of anybody."),
    "volumeDevices": ("devices", "no device enters a sandbox but those it was given."),
}
_CODES = {
    "capabilities": "capabilities",
    "privileged": "capabilities",
    "allowPrivilegeEscalation": "new_privileges",
    "readOnlyRootFilesystem": "root",
    "seccompProfile": "seccomp",
}
_MOUNT = {"name", "mountPath", "readOnly", "subPath", "recursiveReadOnly", "mountPropagation"}


def check_user(container: Document, spec: SandboxSpec, place: Place) -> None:
    """The container that is the user's. Raises IsolationError."""
    where = "spec.containers[0]"
    _shape(container, where, USER, place.image, place)
    if container.get("command") != [place.python, "-I", "-S", "-B", INSIDE]:
        text = "the first process must be the one that the launcher names."
        raise refuse("command", f"{where}.command", text)
    found = [(item["name"], item.get("value", "")) for item in container.get("env") or []]
    for item in container.get("env") or []:
        only_known(item, {"name", "value"}, f"{where}.env.")
    if found != list(environment(place).items()):
        raise refuse("environment", f"{where}.env", "identity comes by a door, never by a variable.")
    _security(container, where, spec.host_uid)
    _mounts(container, where, user_sees(spec, place))
    limits = {
        "cpu": cores(spec.resources.cpu),
        "memory": str(spec.resources.memory),
        "ephemeral-storage": str(SPACE),
    }
    _resources(container, where, limits, {name: str(n) for name, n in place.gpus.resources.items()})


def check_link(container: Document, spec: SandboxSpec, place: Place) -> None:
    """The sidecar that knows the way to the gateway. Raises IsolationError."""
    where = "spec.initContainers[0]"
    own = {"lifecycle": {"postStart": {"exec": {"command": wait_for_link(place)}}}, "restartPolicy": "Always"}
    for name, expected in own.items():
        if container.get(name) != expected:
            raise refuse(
                "command", f"{where}.{name}", "it must run beside the user's container, from before."
            )
    rest = {name: value for name, value in container.items() if name not in own}
    _shape(rest, where, LINK, place.cluster.link_image, place)
    if rest.get("command") != link_command(spec, place) or rest.get("env"):
        raise refuse("command", f"{where}.command", "it must be the link of this package, as rendered.")
    _security(rest, where, LINK_UID)
    _mounts(rest, where, link_sees())
    _resources(rest, where, LINK_RESOURCES["limits"], {})


def check_volumes(found: Sequence[Document], spec: SandboxSpec, place: Place) -> None:
    """Exactly the volumes that belong there. Raises IsolationError."""
    volumes = {str(item["name"]): {k: v for k, v in item.items() if k != "name"} for item in found}
    claims = _claims(spec, place)
    sizes = volumes_in_memory(spec)
    secrets = {"secret": (TICKET, "ca.pem"), "etc": tuple(sorted(place.etc))}
    expected = {*claims, *sizes, *secrets}
    if len(volumes) != len(found):
        raise refuse("mount_source", "spec.volumes", "two volumes have one name.")
    if more := sorted(volumes.keys() - expected):
        kind = next(iter(volumes[more[0]]), "nothing")
        text = f"{more[0]!r} ({kind}) belongs to no sandbox."
        raise refuse("mount_source", "spec.volumes", text)
    if absent := sorted(expected - volumes.keys()):
        raise refuse("mount_missing", "spec.volumes", f"{absent[0]} is missing.")
    for name, size in sizes.items():
        _memory(volumes[name], name, size)
    for name, files in secrets.items():
        _secret(volumes[name], name, spec.id, files)
    for name, claim in claims.items():
        source = dict(volumes[name].get("persistentVolumeClaim") or {})
        source.setdefault("readOnly", False)
        if set(volumes[name]) != {"persistentVolumeClaim"} or source != claim:
            raise refuse("mount_source", f"spec.volumes.{name}", "it is not what the spec says.")


def _claims(spec: SandboxSpec, place: Place) -> dict[str, Document]:
    by_place = {seen.at: seen.volume for seen in user_sees(spec, place)}
    return {
        by_place[mount.target]: {"claimName": claim_of(mount)[0], "readOnly": mount.read_only}
        for mount in spec.mounts
    }


def _memory(volume: Document, name: str, size: int) -> None:
    source = volume.get("emptyDir") or {}
    if set(volume) != {"emptyDir"} or source.get("medium") != "Memory" or len(source) != 2:
        raise refuse("mount_source", f"spec.volumes.{name}", "it must lie in memory.")
    if not 0 < quantity(source.get("sizeLimit", "0")) <= size:
        raise refuse("mount_unlimited", f"spec.volumes.{name}", f"it may have {size} bytes.")


def _secret(volume: Document, name: str, secret: str, files: tuple[str, ...]) -> None:
    expected = {
        "secretName": secret,
        "items": [{"key": file, "path": file} for file in files],
        "defaultMode": 0o440 if name == "secret" else 0o444,
    }
    if dict(volume) != {"secret": expected}:
        text = f"it must show {', '.join(files)} of the sandbox's own Secret and nothing else."
        raise refuse("mount_source", f"spec.volumes.{name}", text)


def _shape(container: Document, where: str, name: str, image: str, place: Place) -> None:
    for field, (code, why) in _OPENS.items():
        if container.get(field):
            raise refuse(code, f"{where}.{field}", why)
    only_known(container, _CONTAINER | set(_OPENS), f"{where}.")
    if container.get("name") != name:
        raise refuse("containers", f"{where}.name", f"it must be {name!r}.")
    if container.get("image") != image:
        raise refuse("image", f"{where}.image", f"it must be {image}.")
    if container.get("imagePullPolicy") != place.cluster.pull_policy:
        raise refuse("image", f"{where}.imagePullPolicy", f"it must be {place.cluster.pull_policy}.")
    if container.get("workingDir") != "/":
        raise refuse("command", f"{where}.workingDir", "it must be /.")
    words = LAST_WORDS if name == USER else _LINKS_WORDS
    if container.get("terminationMessagePath", _LINKS_WORDS) != words:
        text = f"it must be {words}: elsewhere it is a part of the node's disk without a bound."
        raise refuse("log", f"{where}.terminationMessagePath", text)
    if container.get("terminationMessagePolicy", "File") != "File":
        raise refuse("log", f"{where}.terminationMessagePolicy", "what a user printed would be shown.")


def _security(container: Document, where: str, uid: int) -> None:
    expected = {
        "runAsUser": uid,
        "runAsGroup": uid,
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    found: Document = container.get("securityContext") or {}
    for name in sorted({*expected, *found}):
        if found.get(name) != expected.get(name):
            text = f"it must be {expected.get(name, 'absent')}."
            raise refuse(_CODES.get(name, "user"), f"{where}.securityContext.{name}", text)


def _mounts(container: Document, where: str, sees: tuple[Seen, ...]) -> None:
    expected = {seen.at: seen for seen in sees}
    found: Sequence[Document] = container.get("volumeMounts") or []
    if sorted(str(item["mountPath"]) for item in found) != sorted(expected):
        have = {str(item["mountPath"]) for item in found}
        odd = sorted(have ^ expected.keys()) or sorted(have)
        code = "mount_missing" if odd[0] in expected and odd[0] not in have else "mount_target"
        raise refuse(code, f"{where}.volumeMounts", f"{odd[0]} is missing, twice there, or does not belong.")
    for item in found:
        only_known(item, _MOUNT, f"{where}.volumeMounts.")
        seen = expected[str(item["mountPath"])]
        if (item.get("name"), item.get("subPath", "")) != (seen.volume, seen.part):
            raise refuse("mount_source", f"{where}.volumeMounts", f"{seen.at} shows another thing.")
        if seen.read_only and item.get("readOnly") is not True:
            raise refuse("mount_writable", f"{where}.volumeMounts", f"{seen.at} must be read-only.")
        if item.get("mountPropagation", "None") != "None":
            raise refuse("mount_options", f"{where}.volumeMounts", f"{seen.at} would pass on mounts.")


def _resources(container: Document, where: str, most: Mapping[str, str], exact: Mapping[str, str]) -> None:
    found: Document = container.get("resources") or {}
    only_known(found, {"limits", "requests"}, f"{where}.resources.")
    limits: Document = found.get("limits") or {}
    for name in sorted({*limits, *most, *exact}):
        ceiling = most.get(name, exact.get(name))
        if ceiling is None:
            raise refuse("devices", f"{where}.resources.limits.{name}", "it was not given that.")
        value = quantity(limits.get(name, "0"))
        if not 0 < value <= quantity(ceiling) or (name in exact and value != quantity(ceiling)):
            text = f"{limits.get(name)} is not above 0 and at most {ceiling}."
            raise refuse("limit", f"{where}.resources.limits.{name}", text)
    for name, value in (found.get("requests") or {}).items():
        if name not in limits or not 0 <= quantity(value) <= quantity(limits[name]):
            text = f"{value} is not within its limit."
            raise refuse("limit", f"{where}.resources.requests.{name}", text)
