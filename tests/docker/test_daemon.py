"""What happens when launcher or daemon go away, and when somebody else meddles with containers?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend
from jupyter_sandbox_spawner.backends.records import Records
from jupyter_sandbox_spawner.errors import BackendError, IsolationError, SandboxError
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.settings import Environment

from .bench import DockerBench
from .daemon import IMAGE, PREFIX

Control = Callable[[str, bool], None]


def name_of(spec: SandboxSpec) -> str:
    """The name of its container."""
    return f"jupyter-sandbox-spawner-{spec.id}"


@asynccontextmanager
async def launcher(docker: DockerBench, **changes: Any) -> AsyncIterator[DockerBackend]:
    """A launcher's backend on a state of its own, in place of the bench's; entered again it is a restart."""
    changes.setdefault("state", f"{docker.directory}/other")
    before = docker.backend
    async with DockerBackend.opened(replace(docker.docker_site, **changes)) as backend:
        docker.backend = backend
        try:
            yield backend
        finally:
            docker.backend = before


async def removed(backend: DockerBackend, *specs: SandboxSpec) -> None:
    """All of these are erased."""
    for spec in specs:
        await backend.remove(spec.id)
    assert await backend.inventory() == ()


async def test_adopted_after_a_restart(docker: DockerBench) -> None:
    """A launcher that starts again knows what runs and what is only made, and hears of ends as before."""
    async with launcher(docker):
        runs, created = await docker.running(), await docker.create(docker.spec())
    async with launcher(docker) as again:
        values = {item.id: item.status.value for item in await again.inventory()}
        assert values == {runs.id: "running", created.id: "pending"}
        assert (await again.usage(runs.id)).pids == 1
        await docker.end(runs, 4)
        found = await again.ended(runs.id, 20)
        assert found is not None
        assert (found.value, found.exit_code) == ("stopped", 4)
        await again.start(created.id)
        await removed(again, runs, created)
    assert docker.containers() == []


async def test_end_while_away(docker: DockerBench) -> None:
    """What ended while no launcher ran is known afterwards, with its exit status."""
    async with launcher(docker):
        spec = await docker.running()
    await docker.end(spec, 5)
    docker.daemon.ask("wait", name_of(spec))
    async with launcher(docker) as again:
        status = await again.status(spec.id)
        assert status is not None
        assert (status.value, status.exit_code) == ("stopped", 5)
        await removed(again, spec)


async def test_killed_while_it_started(docker: DockerBench) -> None:
    """A launcher that was killed in the middle of a start ends what was half made, or takes up what runs."""
    async with launcher(docker):
        runs, waits = await docker.running(), await docker.create(docker.spec())
    records = Records(f"{docker.directory}/other/sandboxes")
    for spec in (runs, waits):
        record = records.read_all()[spec.id]
        assert record is not None
        records.write(replace(record, phase="starting", started_at=None))
    async with launcher(docker) as again:
        values = {item.id: item.status.value for item in await again.inventory()}
        assert values == {runs.id: "running", waits.id: "failed"}
        await removed(again, runs, waits)


async def test_leftovers_are_swept(docker: DockerBench, control: Control) -> None:
    """A container with our labels and no record is removed; one of another site on this daemon stays."""
    spec = await docker.running()
    labels = docker.inspect(spec)["Config"]["Labels"]
    words = [f"--label={name}={text}" for name, text in labels.items() if not name.endswith(".sandbox")]
    place = "jupyter-sandbox-spawner.sandbox=sb-" + "z" * 20
    docker.daemon.ask("create", *words, f"--label={place}", "--network=none", IMAGE, "/bin/true")
    others = [word.replace(labels["jupyter-sandbox-spawner.site"], "elsewhere") for word in words]
    foreign = docker.daemon.ask("create", *others, f"--label={place}", "--network=none", IMAGE, "/bin/true")
    assert len(docker.containers()) == 3
    # The bench's own backend looks again, as it does whenever the daemon's stream is opened anew.
    assert isinstance(docker.backend, DockerBackend)
    await docker.backend._compare()
    left = docker.daemon.ask("ps", "--all", "--quiet", "--no-trunc").split()
    control("the running sandbox stays", docker.inspect(spec)["Id"] in left)
    assert foreign.strip() in left
    assert len(left) == 2
    docker.daemon.ask("rm", foreign.strip())


async def test_foreign_container_of_our_name(docker: DockerBench) -> None:
    """A container that has a sandbox's name and not our labels is neither taken up nor removed."""
    spec = docker.spec()
    docker.daemon.ask("create", f"--name={name_of(spec)}", "--network=none", IMAGE, "/bin/true")
    with pytest.raises(BackendError) as refused:
        await docker.create(spec)
    assert refused.value.code == "docker.foreign"
    assert docker.containers() == [name_of(spec)]
    assert await docker.backend.inventory() == ()
    docker.daemon.ask("rm", name_of(spec))


async def test_removed_by_somebody_else(docker: DockerBench) -> None:
    """A container that an admin removes by hand is over, with the reason, and can be removed here."""
    spec = await docker.running()
    docker.daemon.ask("rm", "--force", name_of(spec))
    status = await docker.backend.ended(spec.id, 20)
    assert status is not None
    assert status.value == "stopped"
    await docker.backend.remove(spec.id)
    assert await docker.backend.inventory() == ()


async def test_missing_image(docker: DockerBench) -> None:
    """An image that is not on the host is refused with the command that gets it; nothing is left."""
    environments = {"tiny": Environment(prefix=PREFIX, image="no-such/image:1")}
    site = replace(docker.docker_site, state=f"{docker.directory}/l3", environments=environments)
    spec = docker.spec()
    async with DockerBackend.opened(site) as backend:
        with pytest.raises(BackendError, match="docker pull no-such/image:1") as refused:
            await backend.create(spec, docker.doors(spec), {})
        assert refused.value.code == "docker.image_missing"
        assert await backend.inventory() == ()


async def test_image_with_a_volume(docker: DockerBench) -> None:
    """An image that declares a volume is refused: Docker would make it writable and of any size."""
    container = docker.daemon.ask("create", "--network=none", IMAGE, "/bin/true").strip()
    docker.daemon.ask("commit", "--change", "VOLUME /data", container, "with-volume:test")
    docker.daemon.ask("rm", container)
    environments = {"tiny": Environment(prefix=PREFIX, image="with-volume:test")}
    site = replace(docker.docker_site, state=f"{docker.directory}/l4", environments=environments)
    spec = docker.spec()
    async with DockerBackend.opened(site) as backend:
        with pytest.raises(IsolationError) as refused:
            await backend.create(spec, docker.doors(spec), {})
    assert refused.value.code == "docker.image_volumes"
    docker.daemon.ask("rmi", "with-volume:test")


async def test_overlay_that_opens(docker: DockerBench, control: Control) -> None:
    """An overlay with a network is refused before the daemon hears of it; a weight reaches the container."""
    spec = docker.spec()
    with pytest.raises(IsolationError) as refused:
        await docker.backend.create(spec, docker.doors(spec), {"HostConfig": {"NetworkMode": "bridge"}})
    assert refused.value.code == "isolation.network"
    assert docker.containers() == []
    await docker.backend.create(spec, docker.doors(spec), {"HostConfig": {"CpuShares": 77}})
    control("a weight is taken", docker.inspect(spec)["HostConfig"]["CpuShares"] == 77)


async def test_wrong_python(docker: DockerBench) -> None:
    """An image without a Python at its prefix fails with the setting that names it; the status says so."""
    environments = {"tiny": Environment(prefix="/no/such", image=IMAGE)}
    site = replace(docker.docker_site, state=f"{docker.directory}/l5", environments=environments)
    spec = docker.spec()
    async with DockerBackend.opened(site) as backend:
        await backend.create(spec, docker.doors(spec), {})
        with pytest.raises(SandboxError, match="prefix="):
            await backend.start(spec.id)
        status = await backend.status(spec.id)
        assert status is not None
        assert status.value == "failed"
        await backend.remove(spec.id)
    assert docker.containers() == []


async def test_shared_directory_is_read_only(docker: DockerBench, control: Control) -> None:
    """A directory that the admin shares is seen by all and written by none."""
    source = docker.directory / "shared"
    source.mkdir(mode=0o777)
    source.chmod(0o777)
    (source / "data").write_text("for all")
    body = """
import json
answer = {"read": open("/srv/data/data").read()}
try:
    open("/srv/data/new", "w")
except OSError as error:
    answer["write"] = error.errno
print(json.dumps(answer))
"""
    async with launcher(docker, shared={"/srv/data": str(source)}) as backend:
        found = await docker.ask(body)
        for item in await backend.inventory():
            await backend.remove(item.id)
    control("its files can be read", found["read"] == "for all")
    assert found["write"] == 30


async def test_daemon_goes_away_and_comes_back(docker: DockerBench) -> None:
    """A daemon that is killed and started again: nothing starts meanwhile; then all is known as it is."""
    spec = await docker.running()
    docker.daemon.end(kill=True)
    with pytest.raises(SandboxError) as refused:
        await docker.create(docker.spec())
    assert refused.value.code in {"docker.unreachable", "isolation.unavailable"}
    status = await docker.backend.status(spec.id)
    assert status is not None
    docker.daemon.begin()
    ended = await docker.backend.ended(spec.id, 30)  # without live-restore the daemon ends what still ran
    assert ended is not None
    assert ended.value == "stopped"
    await docker.running()
    assert (await docker.backend.capabilities()).missing == ()
