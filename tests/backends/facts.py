"""Which fixed spec, doors and place do the pure tests use?"""

from __future__ import annotations

from jupyter_sandbox_spawner.backends.oci.host import load_seccomp
from jupyter_sandbox_spawner.backends.oci.layout import Place
from jupyter_sandbox_spawner.models import Doors, Mount, Resources, SandboxSpec

__all__ = ["DOORS", "PLACE", "SPEC"]

SPEC = SandboxSpec(
    id="sb-" + "a" * 20,
    user="alice",
    server="lab",
    profile="small",
    profile_digest="0123",
    environment_name="data-science",
    host_uid=3_000_001,
    resources=Resources(cpu=1.5, memory=1 << 30, pids=256),
    mounts=(Mount(kind="home", source="/srv/homes/alice-x", target="/home/jovyan", read_only=False),),
)
DOORS = Doors(directory=f"/run/jupyter-sandbox/doors/{SPEC.id}")
PLACE = Place(
    rootfs="/run/jupyter-sandbox-root-x",
    inside="/opt/hub/inside",
    read_only=("/usr", "/etc/ssl/certs", "/opt/environments/data-science"),
    command=("/opt/environments/data-science/bin/python", "-I", "-S", "-B", "/run/sandbox/inside"),
    root_uid=3_000_000,
    user_namespace=f"/run/jupyter-sandbox/launcher/sandboxes/{SPEC.id}/userns",
    cgroup=f"/jupyter-sandbox-spawner-{SPEC.id}",
    limit_swap=True,
    seccomp=load_seccomp(),
)
