"""Does each DockerSpawner setting keep working, or get refused with its name and the safe way?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.rules.docker_settings import (
    DockerSettings,
    docker_overlay,
    docker_settings,
    socket_path,
)

PRIVATE = ("/run/jupyter-sandbox", "/srv/hub")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "network": ({"network_name": "bridge"}, "egress"),
    "host's network": ({"network_name": "host"}, "egress"),
    "links": ({"links": {"db": "db"}}, "egress"),
    "a command afterwards": ({"post_start_cmd": "chown -R"}, "image"),
    "privileged": ({"extra_host_config": {"privileged": True}}, "closed"),
    "network mode": ({"extra_host_config": {"network_mode": "host"}}, "egress"),
    "capability": ({"extra_host_config": {"cap_add": ["SYS_ADMIN"]}}, "capability"),
    "device": ({"extra_host_config": {"devices": ["/dev/sda"]}}, "device"),
    "every GPU": ({"extra_host_config": {"device_requests": [{}]}}, "closed"),
    "host's processes": ({"extra_host_config": {"pid_mode": "host"}}, "closed"),
    "security options": ({"extra_host_config": {"security_opt": ["seccomp=unconfined"]}}, "closed"),
    "host's users": ({"extra_host_config": {"userns_mode": "host"}}, "closed"),
    "Docker's socket": (
        {"extra_host_config": {"binds": ["/run/docker.sock:/run/docker.sock"]}},
        "read_only_volumes",
    ),
    "name server": ({"extra_host_config": {"dns": ["8.8.8.8"]}}, "egress"),
    "memory": ({"extra_host_config": {"mem_limit": "8g"}}, "profile"),
    "oom score": ({"extra_host_config": {"oom_score_adj": -1000}}, "0 or more"),
    "something new": ({"extra_host_config": {"of_tomorrow": 1}}, "closed"),
    "root": ({"extra_create_kwargs": {"user": "root"}}, "uid"),
    "environment": ({"extra_create_kwargs": {"environment": {"A": "b"}}}, "Spawner.environment"),
    "our labels": ({"extra_create_kwargs": {"labels": {"jupyter-sandbox-spawner.site": "x"}}}, "not"),
    "a volume a user": ({"volumes": {"jupyterhub-user-{username}": "/home/jovyan/work"}}, "state_dir"),
    "a writable directory": ({"volumes": {"/srv/data": "/srv/data"}}, "read_only_volumes"),
    "a directory a user": ({"read_only_volumes": {"/srv/{username}": "/srv/mine"}}, "same for everybody"),
    "host's root": ({"read_only_volumes": {"/": "/host"}}, "data alone"),
    "host's /etc": ({"read_only_volumes": {"/etc/pki": "/srv/pki"}}, "data alone"),
    "all of /var": ({"read_only_volumes": {"/var": "/srv/var"}}, "data alone"),
    "the socket": ({"read_only_volumes": {"/run/docker.sock": "/srv/docker.sock"}}, "data alone"),
    "a socket elsewhere": ({"read_only_volumes": {"/opt/d/docker.sock": "/srv/s"}}, "data alone"),
    "all homes": ({"read_only_volumes": {"/srv/hub/homes": "/srv/homes"}}, "data alone"),
    "what holds all homes": ({"read_only_volumes": {"/srv": "/srv/all"}}, "data alone"),
    "dots": ({"read_only_volumes": {"/srv/../etc": "/srv/etc"}}, "plain paths"),
    "over a program": ({"read_only_volumes": {"/opt/bin": "/usr/bin"}}, "another place"),
    "in the home": ({"read_only_volumes": {"/opt/data": "/home/jovyan/data"}}, "another place"),
    "over the doors": ({"read_only_volumes": {"/opt/data": "/run/sandbox/doors"}}, "another place"),
    "twice": ({"read_only_volumes": {"/opt/a": "/srv/x", "/opt/b": "/srv/x/y"}}, "of its own"),
    "a writable mount": ({"mounts": [{"type": "bind", "source": "/opt/a", "target": "/srv/a"}]}, "read_only"),
    "a mount of a volume": (
        {"mounts": [{"type": "volume", "source": "a", "target": "/srv/a", "read_only": True}]},
        "read_only",
    ),
    "mounts of nothing": ({"mounts": ["x"]}, "list"),
    "images by function": ({"allowed_images": lambda spawner: []}, "environments"),
    "TLS": ({"tls_verify": True}, "Kubernetes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A setting that opens the sandbox is refused with its name, its value and the safe way."""
    given, way = REFUSED[name]
    control("a hub without it starts", docker_settings({}, "", PRIVATE) == DockerSettings())
    with pytest.raises(ConfigurationError) as refused:
        docker_settings(given, "", PRIVATE)
    assert refused.value.code == "docker.setting_refused"
    assert refused.value.field.startswith(next(iter(given)))
    assert f"c.DockerSpawner.{refused.value.field}" in refused.value.message
    assert way in refused.value.remedy


def test_harmless_settings_are_taken_over() -> None:
    """Images, read-only data, weights, pinning and labels go on working; what has no effect is let be."""
    given = {
        "image": "quay.io/jupyter/base-notebook",
        "allowed_images": {"r": "quay.io/jupyter/r-notebook"},
        "read_only_volumes": {"/data/reference": "/srv/reference"},
        "volumes": {"/data/more": {"bind": "/srv/more", "mode": "ro"}},
        "mounts": [{"type": "bind", "source": "/data/x", "target": "/srv/x", "read_only": True}],
        "extra_host_config": {"cpu_shares": 512, "cpuset_cpus": "0-3"},
        "network_name": "none",
        "remove": True,
        "prefix": "lab",
        "mem_limit": "2G",
        "client_kwargs": {"base_url": "unix:///opt/docker.sock"},
    }
    found = docker_settings(given, "", PRIVATE)
    assert found.images == {
        "default": "quay.io/jupyter/base-notebook",
        "r": "quay.io/jupyter/r-notebook",
    }
    assert found.shared == {
        "/srv/reference": "/data/reference",
        "/srv/more": "/data/more",
        "/srv/x": "/data/x",
    }
    assert found.socket == "/opt/docker.sock"


def test_overlay() -> None:
    """Harmless keyword arguments of docker-py become fields of Docker's own request."""
    overlay = docker_overlay({"cpu_shares": 512, "oom_score_adj": 0}, {"labels": {"centre": 42}})
    assert overlay == {"HostConfig": {"CpuShares": 512, "OomScoreAdj": 0}, "Labels": {"centre": "42"}}
    assert docker_overlay() == {}


@pytest.mark.parametrize(
    "address",
    [
        "tcp://docker.example:2376",
        "ssh://ada@docker.example",
        "npipe:////./pipe/docker",
        "docker.example:2375",
    ],
)
def test_a_daemon_elsewhere(address: str, control: Callable[[str, bool], None]) -> None:
    """A daemon on another host is refused, wherever it is named, and Kubernetes is the way out."""
    control("a socket of this host is taken", socket_path("unix:///run/x.sock") == "/run/x.sock")
    for given, variable in (({"client_kwargs": {"base_url": address}}, ""), ({}, address)):
        with pytest.raises(ConfigurationError, match="not the path of a unix socket") as refused:
            docker_settings(given, variable)
        assert refused.value.code == "docker.remote"
        assert "Kubernetes" in refused.value.remedy


def test_default_socket() -> None:
    """Without any name it is the daemon's own default."""
    assert socket_path("") == "/run/docker.sock"
