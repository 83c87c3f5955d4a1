"""Does the Docker backend find what carries our labels and nobody has, and leave alone what is others'?"""

from __future__ import annotations

import shutil
from pathlib import Path

from jupyter_sandbox_spawner.backends.docker.host import DockerHost
from jupyter_sandbox_spawner.backends.docker.layout import OWNER_LABEL, SANDBOX_LABEL, SITE_LABEL
from jupyter_sandbox_spawner.names import LABEL_OWNER, sandbox_id

from .bench import DockerBench
from .daemon import IMAGE

STRAY = sandbox_id("nobody", "", "1")


def labels(site: str) -> list[str]:
    """Options that label what a docker command makes."""
    words = {OWNER_LABEL: LABEL_OWNER, SITE_LABEL: site, SANDBOX_LABEL: STRAY}
    return [word for name, text in words.items() for word in ("--label", f"{name}={text}")]


async def test_a_bundle_deleted_by_hand_keeps_nobody_alive(docker: DockerBench) -> None:
    """A container whose record was deleted is stopped and removed like any other, and leaves nothing."""
    spec = await docker.running()
    shutil.rmtree(Path(docker.directory, "l/sandboxes", spec.id))
    assert (await docker.backend.stop(spec.id, 0)).value == "stopped"
    await docker.backend.remove(spec.id)
    assert await docker.backend.inventory() == ()
    assert await docker.backend.leftovers() == ()
    assert docker.containers() == []


async def test_only_this_installations_strays_are_found_and_taken(docker: DockerBench) -> None:
    """A container and a volume with our labels are found; those of another installation and a container
    that somebody has are not."""
    mine = DockerHost(docker.docker_site).label
    spec = await docker.running()
    ask = docker.daemon.ask
    ours = ask("create", *labels(mine), "--entrypoint", "/bin/true", IMAGE).strip()
    theirs = ask("create", *labels("another"), "--entrypoint", "/bin/true", IMAGE).strip()
    volume = ask("volume", "create", *labels(mine)).strip()
    try:
        found = {(item.kind, item.name) for item in await docker.backend.leftovers()}
        assert found == {("container", ours), ("volume", volume)}
        assert await docker.backend.clear("container", ours)
        assert not await docker.backend.clear("container", theirs)
        assert not await docker.backend.clear("container", docker.inspect(spec)["Id"])
        assert ours not in ask("ps", "--all", "--quiet", "--no-trunc").split()
        assert theirs in ask("ps", "--all", "--quiet", "--no-trunc").split()
    finally:
        ask("rm", "--force", theirs)
        ask("volume", "rm", volume)
