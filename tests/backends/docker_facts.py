"""Which fixed place do the pure tests of the Docker backend use? Spec and doors are everybody's."""

from __future__ import annotations

import json

from jupyter_sandbox_spawner.backends.docker.layout import Place
from jupyter_sandbox_spawner.backends.oci.host import load_seccomp
from tests.backends.facts import DOORS, SPEC

__all__ = ["DOORS", "PLACE", "SPEC"]

BUNDLE = f"/run/jupyter-sandbox/launcher/sandboxes/{SPEC.id}"
PLACE = Place(
    image="sha256:" + "0" * 64,
    inside="/opt/hub/inside",
    command=("/opt/jupyter/bin/python", "-I", "-S", "-B", "/run/sandbox/inside"),
    etc={"/etc/passwd": f"{BUNDLE}/etc/passwd", "/etc/resolv.conf": f"{BUNDLE}/etc/resolv.conf"},
    shared={"/srv/data": "/data/reference"},
    runtime="runc",
    site="abcdefghijkl",
    seccomp=json.dumps(load_seccomp(), sort_keys=True),
)
