"""What do user and admin read when a cluster is not set up rightly, and is anything half done left?

Everything is real but the gateway: hub, control, launcher under its Role, API server, scheduler, kubelet.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import CHECKOUT
from tests.support.cluster import Cluster

from .images import LINK_IMAGE, make_root
from .rehearsal import Rehearsal, rehearsal

pytestmark = [pytest.mark.lane("cluster"), pytest.mark.lane("hub6"), pytest.mark.timeout(600)]
Control = Callable[[str, bool], None]
CODES = (CHECKOUT / "docs/reference/errors.md").read_text()
RIGHTS = "Servers cannot be started: the launcher lacks a right in the cluster."
HOME = "Your home's disk is not ready yet."
FULL = "The cluster's quota for servers is used up. Stop one of yours, or try again later."
NO_HOMES = "The cluster has no room for another home. Tell your admin."
ABSENT = "The software of this profile does not exist."
NO_ROOM = "No machine has enough room for this server now."


@pytest.fixture(scope="module")
def place(
    cluster: Cluster, venvs: Path, tmp_path_factory: pytest.TempPathFactory, evidence: Any
) -> Iterator[Rehearsal]:
    """One site for all of these tests; each breaks one thing and mends it."""
    directory = tmp_path_factory.mktemp("site")
    root = directory / "root.tar"
    make_root(root, real_link=True)
    cluster.import_root(root, LINK_IMAGE)
    root.unlink()
    name = f"site-{secrets.token_hex(3)}"
    with rehearsal(cluster, venvs / "hub/bin/python", directory, name) as running:
        forget = evidence("launcher.log", lambda: running.launcher.said[-6000:])
        yield running
        forget()


def ledger(place: Rehearsal, user: str) -> list[tuple[str, str]]:
    """Status and reason of the user's records at control."""
    with sqlite3.connect(place.hub.directory / "control/control.sqlite") as database:
        query = "select status, coalesce(stop_code, '') from sandboxes where user = ? order by admitted_at"
        return list(database.execute(query, (user,)))


def nothing_left(place: Rehearsal, user: str, *codes: str, homes: int = 1) -> None:
    """No pod, Secret or policy; homes as expected; at control the start is over, with one of these codes."""
    place.hub.wait_for("it is taken away", lambda: place.left(user) == homes, 120)
    place.hub.wait_for("the hub knows", lambda: place.hub.servers(user) == {}, 120)
    assert set(ledger(place, user)) <= {("released", code) for code in codes}
    assert place.hub.pods.tickets == {}
    assert place.hub.gateway.entries == {}
    assert all(f"`{code}`" in CODES for code in codes)


def failed(place: Rehearsal, user: str, sentence: str, options: Any = None) -> None:
    """The start comes to nothing, and its user reads this."""
    place.begin(user, options)
    said = place.told(user)[-1]
    assert said.startswith(f"Spawn failed: {sentence}"), said


def test_a_rightly_set_up_cluster(place: Rehearsal) -> None:
    """The control of all the others: the pod runs, and its end leaves the home alone."""
    place.begin("good")
    place.hub.wait_for("it runs", lambda: "of good: running" in place.admins_read, 120)
    place.hub.api("DELETE", "users/good/server")
    place.hub.wait_for("it is taken away", lambda: place.left("good") == 1, 120)


@contextmanager
def without(place: Rehearsal, verb: str, resource: str) -> Iterator[None]:
    """The Role lacks one right."""
    role = json.loads(place.kubectl("get", "role", "launcher", "-o", "json"))
    meta = {"name": "launcher", "namespace": place.pods}
    rules = [
        {**rule, "verbs": [word for word in rule["verbs"] if word != verb]}
        if rule["resources"] == [resource]
        else rule
        for rule in role["rules"]
    ]
    place.cluster.apply({**role, "metadata": meta, "rules": rules})
    may = ("auth", "can-i", verb, resource, f"--as=system:serviceaccount:{place.programs}:launcher")
    try:
        place.cluster.until(
            lambda: place.cluster.kubectl(*may, "-n", place.pods, check=False).stdout.strip() == "no"
        )
        yield
    finally:
        place.cluster.apply({**role, "metadata": meta})


@pytest.mark.parametrize(
    ("verb", "resource", "homes"),
    [("create", "pods", 1), ("create", "secrets", 1), ("create", "persistentvolumeclaims", 0)],
)
def test_no_right(place: Rehearsal, verb: str, resource: str, homes: int) -> None:
    """The admin reads which verb of which kind is missing, and what gives it."""
    user = f"right-{resource[:7]}"
    with without(place, verb, resource):
        failed(place, user, RIGHTS)
    words = f"kubernetes.rbac: The launcher's account may not {verb} {resource}."
    assert f"{words} Apply hub_config/kubernetes/base/rights.yaml." in place.admins_read
    nothing_left(place, user, "kubernetes.rbac", homes=homes)


@contextmanager
def no_class(place: Rehearsal) -> Iterator[None]:
    """The cluster has no StorageClass."""
    found = json.loads(place.cluster.kubectl("get", "storageclass", "-o", "json").stdout)["items"]
    for item in found:
        place.cluster.kubectl("delete", "storageclass", item["metadata"]["name"])
    try:
        yield
    finally:
        for item in found:
            kept = {key: item["metadata"].get(key, {}) for key in ("name", "annotations")}
            place.cluster.apply({**item, "metadata": kept})


def test_no_storage_class(place: Rehearsal) -> None:
    """The user reads on the start page what is waited for, the admin which claim; cancelled, it leaves no
    claim that would wait for ever, so that with a class again the same user's server runs."""
    with no_class(place):
        place.begin("classless")
        place.hub.wait_for("why is told", lambda: "kubernetes.volume_pending" in place.admins_read, 120)
        (claim,) = (name for name in place.names("classless") if name.startswith("persistentvolumeclaim/"))
        words = "kubernetes.volume_pending: The claim of the home is not bound: a StorageClass, or what makes"
        assert f"{words} its volumes, is missing." in place.admins_read
        assert claim.partition("/")[2] in place.admins_read
        place.hub.api("DELETE", "users/classless/server")
        nothing_left(place, "classless", "start.cancelled", homes=0)
        assert f"`{'kubernetes.volume_pending'}`" in CODES
    place.begin("classless")
    place.hub.wait_for("it runs", lambda: "of classless: running" in place.admins_read, 120)
    place.hub.api("DELETE", "users/classless/server")


@contextmanager
def quota(place: Rehearsal, **hard: str) -> Iterator[None]:
    """A ResourceQuota that the cluster has taken in."""
    meta = {"name": "sandboxes", "namespace": place.pods}
    limits = {"hard": {key.replace("_", "."): value for key, value in hard.items()}}
    place.cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": limits})
    try:
        place.cluster.until(
            lambda: "hard" in json.loads(place.kubectl("get", "quota", "sandboxes", "-o", "json"))["status"]
        )
        yield
    finally:
        place.kubectl("delete", "resourcequota", "sandboxes")


def test_a_full_quota(place: Rehearsal) -> None:
    """A pod too many: the admin reads the quota's name and numbers; isolation is as proved as before."""
    with quota(place, pods="0"):
        failed(place, "crowd", FULL)
    words = "kubernetes.quota: ResourceQuota sandboxes is exceeded; it should hold what control admits."
    assert words in place.admins_read
    assert "requested: pods=1, used: pods=" in place.admins_read
    nothing_left(place, "crowd", "kubernetes.quota")


def test_no_room_for_a_home(place: Rehearsal) -> None:
    """A home too many is told as such, and not as a server too many."""
    with quota(place, requests_storage="1Mi"):
        failed(place, "homeless", NO_HOMES)
    assert (
        "kubernetes.home_quota: ResourceQuota sandboxes has no room for the claim of a home"
        in place.admins_read
    )
    nothing_left(place, "homeless", "kubernetes.home_quota", homes=0)


def test_an_absent_image(place: Rehearsal) -> None:
    """Waiting would not help, so the start fails at once; the admin reads which image."""
    failed(place, "imageless", ABSENT, {"profile": "absent"})
    words = (
        "kubernetes.image_missing: The image is not there. Correct environments, or load it onto the nodes."
    )
    assert f"{words} docker.io/local/absent:1" in place.admins_read
    nothing_left(place, "imageless", "kubernetes.image_missing")


def test_no_node_fits_and_it_is_cancelled(place: Rehearsal) -> None:
    """The user reads what the pod waits for; a cancelled start leaves nothing."""
    place.begin("giant", {"profile": "huge"})
    place.hub.wait_for("why is told", lambda: "kubernetes.no_room" in place.admins_read, 120)
    place.hub.wait_for("it is on the page", lambda: NO_ROOM in place.launcher.said)
    assert (
        "kubernetes.no_room: No node has enough cpu free. Add nodes, or lower requests" in place.admins_read
    )
    assert "Insufficient cpu" in place.admins_read
    place.hub.api("DELETE", "users/giant/server")
    nothing_left(place, "giant", "start.cancelled")


@pytest.mark.parametrize(
    ("made", "code", "sentence"),
    [
        (timedelta(days=2), "clock", "the clocks of its machines differ"),
        (timedelta(days=-500), "expired", "a certificate of theirs has expired"),
        (timedelta(days=-2000), "authority_expired", "the authority of their certificates has expired"),
    ],
)
def test_a_gateway_that_cannot_be_trusted(
    place: Rehearsal, made: timedelta, code: str, sentence: str
) -> None:
    """A wrong clock, an ended certificate or authority: the start fails at once, and says which."""
    user = f"pod-{code.replace('_', '-')}"
    with place.certificates(datetime.now(timezone.utc) + made):
        failed(place, user, f"The site's programs cannot reach one another, because {sentence}.")
    assert f"certificates.{code}: " in place.admins_read
    # Whether the pod's program had begun to wait by then, a record may tell.
    nothing_left(place, user, f"certificates.{code}", "boot.ended")


def test_a_network_without_policies(place: Rehearsal, control: Control) -> None:
    """Nothing starts where policies are not enforced: the user reads it, the admin what the probe reached."""
    place.prove()
    control("with policies it is proved", place.proved)
    place.cluster.enforce(False)
    try:
        place.prove()
        assert not place.proved
        failed(place, "open", "A probe")
        assert "No sandbox is started under runc on" in place.launcher.said
        assert "it reached" in place.launcher.said
        nothing_left(place, "open", "isolation.unproved")
    finally:
        place.cluster.enforce(True)
        place.prove()
    assert place.proved
