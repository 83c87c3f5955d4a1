"""What is in a sandbox's pod, and by which names and labels is it known?

Law: `render` writes by this page and `check` compares with it; places inside are those of the local backend.
A label is a hash or an id, never an escape of what a user typed; what people read stands in annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...kubernetes_site import KubernetesSite
from ...models import Mount, SandboxSpec
from ...names import LABEL_OWNER, stable_hash
from ..given import VISIBLE
from ..oci.layout import DOORS, HOME, INSIDE, RUNTIME_DIR

__all__ = [
    "API_VARIABLES",
    "GRACE",
    "LAST_WORDS",
    "LINK",
    "LINK_MEMORY",
    "LINK_READY",
    "LINK_RESOURCES",
    "LINK_SECRET",
    "LINK_UID",
    "MOST_UID",
    "OWNER_LABEL",
    "PATH",
    "POLICY",
    "RECORD",
    "SANDBOX_LABEL",
    "SITE_LABEL",
    "SPACE",
    "TICKET",
    "TRUSTS",
    "USER",
    "GpuRequest",
    "Place",
    "Seen",
    "claim_of",
    "digest_of",
    "environment",
    "identity",
    "labels",
    "link_command",
    "link_sees",
    "notes",
    "site_label",
    "user_sees",
    "volumes_in_memory",
    "wait_for_link",
]

OWNER_LABEL = f"{LABEL_OWNER}/owner"
SITE_LABEL = f"{LABEL_OWNER}/site"
SANDBOX_LABEL = f"{LABEL_OWNER}/sandbox"
RECORD = f"{LABEL_OWNER}/record"  # the annotation that holds what the launcher knows
TRUSTS = f"{LABEL_OWNER}/trusts"  # the one that says which authority the link was given, by its digest
POLICY = f"{LABEL_OWNER}/policy"  # the one that says what policy it was given, by its digest
TICKET = "ticket"
USER = "sandbox"  # the container that is the user's
LINK = "link"
LINK_UID = 64_000
MOST_UID = 65_535  # a pod's own user namespace has no more
LINK_SECRET = "/run/link/secret"  # noqa: S105 - a place inside the link
LINK_MEMORY = "/run/link/memory"
LINK_READY = "ready"  # a pipe there; wires/link/files.py knows it by the same name
GRACE = 30  # seconds, where nobody says how long
SPACE = 256 << 20  # bytes a node's disk gives each container, for its log; nothing else is written there
PATH = "/usr/bin:/bin"
# A kubelet shows every container a file of the node's disk for its last words, which everybody may write and
# nobody counts. Here it lies where the user's uid does not come.
_CLOSED = f"{DOORS}/closed"
LAST_WORDS = f"{_CLOSED}/end"
# Kubelets tell every container where the API is; these stand over what they would say.
API_VARIABLES = (
    "KUBERNETES_PORT",
    "KUBERNETES_PORT_443_TCP",
    "KUBERNETES_PORT_443_TCP_ADDR",
    "KUBERNETES_PORT_443_TCP_PORT",
    "KUBERNETES_PORT_443_TCP_PROTO",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "KUBERNETES_SERVICE_PORT_HTTPS",
)
LINK_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "limits": {"cpu": "1", "memory": str(128 << 20), "ephemeral-storage": str(SPACE)},
    "requests": {"cpu": "10m", "memory": str(48 << 20), "ephemeral-storage": str(8 << 20)},
}
_OWN_MEMORY = {"doors": 1 << 20, "inside": 8 << 20, "memory": 1 << 20, "runtime": 16 << 20}
_READY = f"{DOORS}/boot.sock", f"{DOORS}/egress.sock", f"{DOORS}/api.sock", f"{DOORS}/ingress.sock"
# The link says so in a pipe when all are there. Twice a second they are looked at as well: an older link of
# a pod whose image is another says nothing.
_WAIT = (
    "import os,select,time\n"
    f"os.makedirs({_CLOSED!r},0o700,True)\n"
    f"open({LAST_WORDS!r},'a').close()\n"
    f"places={(f'{INSIDE}/__main__.py', *_READY)!r}\n"
    f"pipe={f'{LINK_MEMORY}/{LINK_READY}'!r}\n"
    "try: os.mkfifo(pipe,0o600)\n"
    "except FileExistsError: pass\n"
    "told=os.open(pipe,os.O_RDWR|os.O_NONBLOCK)\n"
    "ear=select.poll()\n"
    "ear.register(told,select.POLLIN)\n"
    "end=time.monotonic()+60\n"
    "while not all(map(os.path.exists,places)):\n"
    " if time.monotonic()>end: raise SystemExit('the link has no doors')\n"
    " if ear.poll(500): os.read(told,1)\n"
)


@dataclass(frozen=True, kw_only=True)
class GpuRequest:
    """Devices as a scheduler understands them: how many of which resource, and labels of the node."""

    resources: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the cluster gives one pod.

    `image` is the user image, `python` the interpreter in it; `etc` maps a file of the sandbox's own /etc to
    its text; `authority` are the certificates by which the link knows the gateway, which answers at
    `pods_port`; `site` tells our objects from those of another installation in the same namespace.
    `runtime_class` "": the cluster's own runtime.
    """

    cluster: KubernetesSite
    pods_port: int
    image: str
    python: str
    etc: Mapping[str, str]
    authority: str
    site: str
    runtime_class: str = ""
    gpus: GpuRequest = field(default_factory=GpuRequest)

    @property
    def address(self) -> str:
        """Where the link finds the gateway."""
        host = self.cluster.gateway_address
        return f"[{host}]:{self.pods_port}" if ":" in host else f"{host}:{self.pods_port}"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A volume as a container sees it; `part` is what of the volume, "" all of it."""

    volume: str
    at: str
    read_only: bool
    part: str = ""


def site_label(cluster: KubernetesSite) -> str:
    """One installation: its sandboxes' namespace and its gateway's."""
    return stable_hash("site", cluster.namespace, cluster.gateway_namespace, length=12)


def identity(sandbox_id: str, site: str) -> dict[str, str]:
    """The labels that are asked for before anything of a sandbox is taken up, changed or removed."""
    return {OWNER_LABEL: LABEL_OWNER, SITE_LABEL: site, SANDBOX_LABEL: sandbox_id}


def labels(spec: SandboxSpec, site: str) -> dict[str, str]:
    """Whose an object is."""
    return {
        **identity(spec.id, site),
        f"{LABEL_OWNER}/user": stable_hash("user", spec.user),
        f"{LABEL_OWNER}/server": stable_hash("server", spec.user, spec.server),
        f"{LABEL_OWNER}/profile": stable_hash("profile", spec.profile),
    }


def notes(spec: SandboxSpec) -> dict[str, str]:
    """The annotations by which people see whose an object is."""
    told = {"user": spec.user, "server": spec.server, "profile": spec.profile}
    return {f"{LABEL_OWNER}/{name}": text for name, text in told.items()}


def environment(place: Place) -> dict[str, str]:
    """The environment of the user's first process: no secret, no address of the API, no GPU unasked."""
    # A device plugin says itself which devices these are.
    none = {} if place.gpus.resources else {VISIBLE: "void"}
    return {"PATH": PATH, **none, **dict.fromkeys(API_VARIABLES, "")}


def digest_of(authority: str) -> str:
    """By which one authority is told from another, without showing either."""
    return stable_hash("authority", authority)


def claim_of(mount: Mount) -> tuple[str, str]:
    """The PersistentVolumeClaim of a mount and the path in it; a dataset's is `/CLAIM/PATH`."""
    claim, _, part = mount.source.lstrip("/").partition("/")
    return claim, part.strip("/")


def volumes_in_memory(spec: SandboxSpec) -> dict[str, int]:
    """Bytes of each volume that dies with the pod. All lie in memory: a node's disk has no quota for them."""
    return {**_OWN_MEMORY, "tmp": spec.resources.tmpfs, "shm": spec.resources.shm}


def user_sees(spec: SandboxSpec, place: Place) -> tuple[Seen, ...]:
    """What is mounted in the user's container. Neither ticket nor key is in any of it."""
    seen = [
        Seen(volume="doors", at=DOORS, read_only=True),
        Seen(volume="inside", at=INSIDE, read_only=True),
        Seen(volume="tmp", at="/tmp", read_only=False),  # noqa: S108 - inside the sandbox
        Seen(volume="shm", at="/dev/shm", read_only=False),  # noqa: S108 - inside the sandbox
        Seen(volume="runtime", at=RUNTIME_DIR, read_only=False),
    ]
    seen += [Seen(volume="etc", at=f"/etc/{name}", read_only=True, part=name) for name in sorted(place.etc)]
    for number, mount in enumerate(spec.mounts):
        volume = "home" if mount.target == HOME else f"data-{number}"
        seen.append(Seen(volume=volume, at=mount.target, read_only=mount.read_only, part=claim_of(mount)[1]))
    return tuple(seen)


def link_sees() -> tuple[Seen, ...]:
    """What is mounted in the link."""
    return (
        Seen(volume="doors", at=DOORS, read_only=False),
        Seen(volume="inside", at=INSIDE, read_only=False),
        Seen(volume="secret", at=LINK_SECRET, read_only=True),
        Seen(volume="memory", at=LINK_MEMORY, read_only=False),
    )


def link_command(spec: SandboxSpec, place: Place) -> list[str]:
    """What runs in the link."""
    words = {
        "--sandbox": spec.id,
        "--user-uid": str(spec.host_uid),
        "--gateway": place.cluster.gateway_name,
        "--address": place.address,
        "--doors": DOORS,
        "--inside": INSIDE,
        "--secret": LINK_SECRET,
        "--memory": LINK_MEMORY,
    }
    program = [place.cluster.link_python, "-I", "-B", "-m", "jupyter_sandbox_spawner.wires.link"]
    return program + [part for pair in words.items() for part in pair]


def wait_for_link(place: Place) -> list[str]:
    """Ends when the link has its doors; until then the kubelet does not start the user's container."""
    return [place.cluster.link_python, "-I", "-S", "-B", "-c", _WAIT]
