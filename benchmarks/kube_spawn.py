"""How long does a person on a cluster wait? The same click as on one machine, beside plain KubeSpawner.

Law: one cluster, one node, one image, one size of pod and of home; both hubs run on this machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from .figures import Goal, Measure
from .house import scratch
from .kube_cluster import give_images, make_namespaces, open_cluster
from .kube_house import HOME_SIZE, MEMORY, USER_PREFIX, open_kube_hub
from .peer_hub import open_peer_hub
from .row import Row, Take
from .spawn import one_start

__all__ = ["ROWS", "plain_settings"]

_OURS, _PEER = "sandbox-kubernetes", "KubeSpawner"
_READY = Measure("on a cluster: click to ready", "s", Goal("at most", 1.1))
_CELL = Measure("on a cluster: click to first cell done", "s", Goal("at most", 1.1))
_PLAIN = "bench-plain"
# As z2jh has it: a form with a profile, a claim for the home, a uid that is no root, events told to the user;
# nothing is closed.
_SETTINGS = """
c.JupyterHub.hub_ip = "{address}"
c.Spawner.cmd = ["{prefix}/bin/jupyterhub-singleuser"]
c.Spawner.args = []
c.Spawner.environment = {{"HOME": "/home/jovyan", "PATH": "{prefix}/bin:/usr/bin:/bin"}}
c.Spawner.start_timeout = 120
c.KubeSpawner.namespace = "{namespace}"
c.KubeSpawner.image = "{image}"
c.KubeSpawner.image_pull_policy = "Never"
c.KubeSpawner.working_dir = "/home/jovyan"
c.KubeSpawner.uid = c.KubeSpawner.gid = c.KubeSpawner.fs_gid = 1000
c.KubeSpawner.cpu_limit = 1
c.KubeSpawner.mem_limit = {memory}
c.KubeSpawner.profile_list = [{{"display_name": "CPU small", "slug": "cpu-small", "default": True}}]
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "{home}"
c.KubeSpawner.pvc_name_template = "home-{{username}}"
c.KubeSpawner.volumes = [{{"name": "home", "persistentVolumeClaim": {{"claimName": "home-{{username}}"}}}}]
c.KubeSpawner.volume_mounts = [{{"name": "home", "mountPath": "/home/jovyan"}}]
"""


def plain_settings(address: str, image: str) -> str:
    """Lines of the peer's configuration: pods find its hub at `address` of this machine."""
    return _SETTINGS.format(
        address=address,
        prefix=USER_PREFIX,
        namespace=_PLAIN,
        image=image,
        memory=MEMORY,
        home=HOME_SIZE,
    )


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with scratch() as directory, open_cluster(directory) as cluster:
        images = await give_images(cluster, ("link", "user"))
        await make_namespaces(cluster, {_PLAIN: {}})
        ours, peer = _directory(directory, "ours"), _directory(directory, "peer")
        variables = {"KUBECONFIG": str(cluster.layout.kubeconfig)}
        more = plain_settings(cluster.layout.host_address, images["user"])
        async with (
            open_peer_hub(peer, "alice", "kubespawner.KubeSpawner", more, variables) as plain,
            open_kube_hub(ours, cluster, images, "alice") as sandboxed,
        ):
            people = {_OURS: sandboxed, _PEER: plain}

            async def take(contestant: str) -> Mapping[str, float]:
                took = await one_start(people[contestant])
                return dict(zip((_READY.name, _CELL.name), took, strict=True))

            yield take


def _directory(parent: Path, name: str) -> Path:
    (parent / name).mkdir(mode=0o700)
    return parent / name


ROWS = (
    Row(
        "kube-spawn",
        "a server's start on a real cluster: form sent to page shown, and to the first cell done",
        (_OURS, _PEER),
        (_READY, _CELL),
        _opened,
    ),
)
