"""Does a real API server take what is shipped, refuse it weakened, and give the rights that are listed?"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster

from .shipped import OVERLAYS, Manifest, found, pod_templates, rendered
from .test_rights import granted, reasons

pytestmark = [pytest.mark.lane("cluster"), pytest.mark.timeout(300)]
OURS, PODS = "jupyter-sandbox", "jupyter-sandbox-pods"
ELSEWHERE = ("default", "kube-system")
PROGRAMS = ("broker", "control", "gateway", "hub", "launcher", "proxy", "tracking")
OTHERS = ((PODS, "default"), *((OURS, name) for name in PROGRAMS if name != "launcher"))


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with our namespaces, accounts and rights, which nothing else has to be there for."""
    kinds = ("Namespace", "ServiceAccount", "Role", "RoleBinding")
    made = [item for item in rendered("example") if item["kind"] in kinds]
    try:
        apply(cluster, *[item for item in made if item["kind"] == "Namespace"])
        apply(cluster, *[item for item in made if item["kind"] != "Namespace"])
        yield cluster
    finally:
        for name in (OURS, PODS):
            cluster.drop_namespace(name)


def apply(
    cluster: Cluster, *objects: Manifest, more: tuple[str, ...] = (), check: bool = True
) -> tuple[int, str]:
    """As the how-to says, on the server's side. Exit status and all words."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    words = ("apply", "--server-side", "--force-conflicts", *more, "-f", "-")
    done = cluster.kubectl(*words, stdin=listed, check=check)
    return done.returncode, done.stdout + done.stderr


def dry_run(cluster: Cluster, *objects: Manifest, check: bool = True) -> tuple[int, str]:
    """The same, and nothing is kept."""
    return apply(cluster, *objects, more=("--dry-run=server",), check=check)


def weakened(manifest: Manifest) -> Manifest:
    """The same with one container that may gain privileges."""
    changed = copy.deepcopy(manifest)
    spec = changed["spec"].get("template", changed)["spec"]
    spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    return changed


def as_pod(name: str, template: Manifest) -> Manifest:
    """A pod of a template, as its Deployment makes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": f"{name}-try", "namespace": OURS},
        "spec": template["spec"],
    }


def of_any_cluster(manifest: Manifest) -> Manifest:
    """Without the fixed address of a Service, which is of the site's own range."""
    changed = copy.deepcopy(manifest)
    if changed["kind"] == "Service" and changed["spec"].get("clusterIP") != "None":
        changed["spec"].pop("clusterIP", None)
    return changed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_everything(
    place: Cluster, overlay: str, control: Callable[[str, bool], None]
) -> None:
    """A server-side dry run of each object passes, with no word of Pod Security about any of them."""
    objects = [of_any_cluster(item) for item in rendered(overlay) if item["kind"] != "Namespace"]
    status, said = dry_run(place, *objects)
    assert status == 0
    assert said.count("serverside-applied") == len(objects)
    assert "Warning" not in said, said
    _, warned = dry_run(place, weakened(found(overlay, "Deployment", "control")[0]))
    control("a weakened one is warned of", "would violate PodSecurity" in warned)


@pytest.mark.proves("I14")
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_pod_passes_pod_security_and_a_weakened_one_does_not(
    place: Cluster, name: str, control: Callable[[str, bool], None]
) -> None:
    """The namespace enforces "restricted": the pod of each Deployment is let in, the weakened one refused."""
    pod = as_pod(name, pod_templates("example")[name])
    status, said = dry_run(place, pod, check=False)
    control("the pod as it is shipped is let in", status == 0)
    assert status == 0, said
    status, said = dry_run(place, weakened(pod), check=False)
    assert status != 0
    assert "violates PodSecurity" in said


def rules(cluster: Cluster, account: tuple[str, str], namespace: str) -> set[tuple[str, str, str]]:
    """What an account may do in a namespace, by the API server's own word: resource, name or "", verb."""
    user = f"system:serviceaccount:{account[0]}:{account[1]}"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}", "system:authenticated")
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    as_groups = [f"--as-group={group}" for group in groups]
    done = cluster.kubectl(
        "create",
        "--validate=false",
        "-o",
        "json",
        "-f",
        "-",
        f"--as={user}",
        *as_groups,
        stdin=json.dumps(asked),
    )
    answer: dict[str, Any] = json.loads(done.stdout)["status"]
    assert not answer["incomplete"]
    return {
        (f"{resource}.{group}".rstrip("."), name, verb)
        for rule in answer["resourceRules"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for name in rule.get("resourceNames") or [""]
        for verb in rule["verbs"]
    }


def test_no_program_and_no_account_is_left_out() -> None:
    """What these tests go through is what is shipped."""
    accounts = {
        (item["metadata"]["namespace"], item["metadata"]["name"])
        for item in found("example", "ServiceAccount")
    }
    assert accounts == {*OTHERS, (OURS, "launcher")}
    assert set(pod_templates("example")) == set(PROGRAMS)


def everybodys(cluster: Cluster) -> set[tuple[str, str, str]]:
    """What an account that is bound to nothing may do: ask about itself."""
    return rules(cluster, ("default", "default"), "default")


def test_an_account_without_a_role_may_ask_about_itself_alone(place: Cluster) -> None:
    """What every account has in this cluster are questions about itself."""
    assert all(
        resource.startswith("selfsubject") and verb == "create" for resource, _, verb in everybodys(place)
    )


def test_the_launcher_may_do_what_is_listed_and_nothing_else(place: Cluster) -> None:
    """The API server's own list of its rights is the table of the docs, in each namespace."""
    launcher = (OURS, "launcher")
    more = {
        (namespace, resource, verb)
        for namespace in (OURS, PODS, *ELSEWHERE)
        for resource, _, verb in rules(place, launcher, namespace) - everybodys(place)
    }
    assert more == granted() == set(reasons())


def test_its_lease_is_one_alone(place: Cluster) -> None:
    """It may read and change the Lease `launcher`, and no other program's."""
    found_rules = rules(place, (OURS, "launcher"), OURS) - everybodys(place)
    lease = "leases.coordination.k8s.io"
    assert found_rules == {(lease, "launcher", "get"), (lease, "launcher", "update"), (lease, "", "create")}


@pytest.mark.proves("I13")
@pytest.mark.parametrize("account", OTHERS)
def test_no_other_account_may_do_anything(
    place: Cluster, account: tuple[str, str], control: Callable[[str, bool], None]
) -> None:
    """Hub, control, gateway, broker, tracking, proxy and users' pods have no right in any namespace."""
    control("the launcher has some", bool(rules(place, (OURS, "launcher"), PODS) - everybodys(place)))
    for namespace in (OURS, PODS, *ELSEWHERE):
        assert rules(place, account, namespace) == everybodys(place), namespace


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "nodes"),
        ("list", "namespaces"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("list", "secrets"),
        ("create", "pods"),
        ("impersonate", "users"),
    ],
)
def test_the_launcher_has_no_right_in_the_whole_cluster(place: Cluster, verb: str, resource: str) -> None:
    """Asked for all namespaces at once, the API server says no."""
    user = f"--as=system:serviceaccount:{OURS}:launcher"
    done = place.kubectl("auth", "can-i", verb, resource, user, "--all-namespaces", check=False)
    assert done.stdout.strip() == "no"


def test_the_quota_leaves_no_room_for_anything_else(place: Cluster) -> None:
    """A Service in the sandboxes' namespace is refused once the quota is there."""
    apply(place, *found("example", "ResourceQuota"))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "way-in", "namespace": PODS},
        "spec": {"ports": [{"port": 80}]},
    }

    def refused() -> bool:
        status, said = dry_run(place, service, check=False)
        return status != 0 and "exceeded quota" in said

    place.until(refused)
