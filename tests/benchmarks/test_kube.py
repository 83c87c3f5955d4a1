"""Do the rows of clusters measure what they say: the same pods, and a peer as it is used elsewhere?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubespawner import KubeSpawner
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from benchmarks import kube_house
from benchmarks.house import scratch
from benchmarks.kube_house import HOME_SIZE, MEMORY
from benchmarks.kube_pods import rows
from benchmarks.kube_spawn import plain_settings
from benchmarks.rounds import measure
from hub_config.demo.authenticator import write_users
from jupyter_sandbox_spawner.setup_hub import site_from_config


def test_the_rows_say_how_many_pods_there_are() -> None:
    """The number stands in the description and in every measure; it has a limit of rounds."""
    (row,) = rows(123)
    assert "123" in row.about
    assert all(item.name.startswith("123 pods: ") for item in row.measures)
    assert row.rounds


def test_the_peer_takes_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """KubeSpawner, as it is installed, knows each, and gives pods and homes the size that ours have."""
    for asked in ("load_config", "shared_client"):  # there is no cluster
        monkeypatch.setattr(f"kubespawner.spawner.{asked}", lambda *names, **where: None)
    c = Config()
    text = plain_settings("10.0.0.1", "docker.io/local/some:1")
    exec(compile(text, "config", "exec"), {"c": c})
    spawner: Any = KubeSpawner(config=c, _mock=True)
    unknown = set(c.KubeSpawner) - set(KubeSpawner.class_trait_names(config=True))
    assert not unknown
    assert (spawner.mem_limit, spawner.cpu_limit) == (MEMORY, 1)
    assert int(spawner.storage_capacity) == HOME_SIZE
    assert spawner.image == "docker.io/local/some:1"
    assert [profile["slug"] for profile in spawner.profile_list] == ["cpu-small"]  # which visitors choose


async def test_our_hub_takes_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """setup_hub knows each setting of the site that its programs read, and makes the same site of them."""
    cluster: Any = SimpleNamespace(layout=SimpleNamespace(host_address="127.0.0.1", kubeconfig="k"))
    images = {"user": "docker.io/local/u:1", "link": "docker.io/local/l:1"}
    async with scratch() as directory:
        site = kube_house._prepare(directory, cluster, images)
        write_users(directory / "users.json", {"alice": {"password": "a-password-of-hers"}})
        for name, value in kube_house._environment(directory, cluster, ("a" * 64, "b" * 64)).items():
            monkeypatch.setenv(name, value)
        c = PyFileConfigLoader("jupyterhub_config.py", str(directory)).load_config()
        told = site_from_config(c)
    assert (told["backend"], told["run_dir"]) == ("kubernetes", site.run_dir)
    assert told["environments"]["default"]["image"] == images["user"]


@pytest.mark.lane("cluster")
@pytest.mark.timeout(300)
async def test_both_know_the_very_same_pods() -> None:
    """Five sandboxes on a pretended node are all known by both, and everything is measured."""
    (row,) = rows(5, quiet=1.0)
    lines = {line.measure.name: line for line in await measure(row, 1, 1, lambda text: None)}
    assert set(lines) == {item.name for item in row.measures}
    assert all(list(line.medians)[:2] == list(row.contestants[:2]) for line in lines.values())
    assert all(
        value > 0 for name, line in lines.items() if "memory" not in name for value in line.medians.values()
    )
