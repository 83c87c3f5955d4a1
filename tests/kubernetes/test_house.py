"""Does the whole product live on a real cluster? A person, her server: from login to nothing left over.

Everything is as shipped: manifests, images, Pod Security `restricted`, NetworkPolicies, which are enforced.
"""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from hub_config.demo.endings import ending
from hub_config.demo.tracking import CELL
from hub_config.demo.working import insist, until_page_answers

from .house import LANES, ClusterHouse
from .house_outside import NAME, OTHER_NAME, SECRET
from .house_overlay import NAMESPACE

pytestmark = [pytest.mark.lane(*LANES), pytest.mark.timeout(1200)]

_FETCH = """
import urllib.error, urllib.request
def fetch(host):
    try:
        return urllib.request.urlopen(f"http://{host}/from-a-cell", timeout=20).read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
"""
_RUNS = """
import json, sqlite3, sys
query = "select workspace, runs.user_id from runs join experiments using (experiment_id) where run_uuid = ?"
print(json.dumps(sqlite3.connect(sys.argv[1]).execute(query, [sys.argv[2]]).fetchall()))
"""


def events_of_start(house: ClusterHouse, name: str, profile: str = "small") -> list[dict[str, Any]]:
    """What the page says while the server of this person starts, which does not run yet."""
    return house.wait(house.visitor(name).start(profile), 240)


def restart(house: ClusterHouse, *programs: str) -> None:
    """As an admin does after a change, or for new images."""
    names = [f"deployment/{name}" for name in programs]
    house.cluster.kubectl("rollout", "restart", "-n", NAMESPACE, *names)


def wait_until_rolled(house: ClusterHouse, *programs: str) -> None:
    """Until every pod of these programs is a new one and ready, and no old one is left."""
    for name in programs:
        house.cluster.kubectl("rollout", "status", "-n", NAMESPACE, f"deployment/{name}", "--timeout=480s")


@pytest.fixture(scope="module")
def idle(cluster_house: ClusterHouse) -> Future[str]:
    """bob's server, which nobody uses: what the hub's page will say about its end."""

    async def begin_and_wait() -> str:
        await visitor.start("idle")
        return await ending(visitor, 240)

    visitor = cluster_house.visitor("bob")
    return cluster_house.wait_later(begin_and_wait())


def test_a_person_logs_in_and_sees_each_step_of_her_start(
    cluster_house: ClusterHouse, idle: Future[str]
) -> None:
    """The hub's page names every stage; then her server answers, and a cell runs."""
    stages = [event.get("stage") for event in events_of_start(cluster_house, "alice")]
    wanted = ["profile", "place", "admission", "doors", "create", "start", "server"]
    assert [stage for stage in dict.fromkeys(stages) if stage] == wanted
    assert cluster_house.run("alice", "print(6 * 7)").stdout == "42\n"


def test_her_container_holds_no_identity_and_no_network(cluster_house: ClusterHouse) -> None:
    """No token of the cluster or the link is in it, and no interface leads anywhere."""
    seen = cluster_house.attack(
        "alice",
        """
attempt("account", lambda: os.listdir("/var/run/secrets/kubernetes.io"))
attempt("ticket", lambda: open("/run/sandbox/secret/ticket").read())
attempt("api server", lambda: socket.create_connection(("10.96.0.1", 443), 3))
attempt("uid", os.getuid)
""",
    )
    assert [name for name, found in seen.items() if found["ok"]] == ["uid"]
    assert seen["uid"]["value"] >= 10000


def test_a_run_of_her_notebook_is_in_her_own_workspace_of_mlflow(cluster_house: ClusterHouse) -> None:
    """`import mlflow` and a run, nothing set up: MLflow's database has it under her name."""
    said = cluster_house.run("alice", CELL, 120)
    assert said.ok, said
    run = json.loads(said.stdout.strip().splitlines()[-1])
    assert run["artifact"] == "hello"
    python = "/opt/jupyter-sandbox/tracking/bin/python"
    place = "/var/lib/jupyter-sandbox/state/tracking/mlflow.db"
    told = cluster_house.inside("tracking", python, "-c", _RUNS, place, run["run"])
    [[workspace, user]] = json.loads(told)
    assert user == "alice"
    assert workspace.startswith("u-alice-")


def test_she_reads_a_secret_of_vault_to_which_the_broker_came_by_its_account(
    cluster_house: ClusterHouse,
) -> None:
    """The API server told Vault who the broker is; the value is in her cell, and shown nowhere."""
    code = f"""
import hashlib, jupyter_sandbox
with jupyter_sandbox.secrets({SECRET!r}) as secret:
    print(secret["password"])
    print(secret["password"].reveal() == {cluster_house.password!r})
"""
    said = cluster_house.run("alice", code)
    assert said.stdout.splitlines()[-1:] == ["True"], said
    assert cluster_house.password not in said.stdout
    assert SECRET in cluster_house.admin("broker", "secrets", "list")
    lines = [json.loads(line) for line in cluster_house.outside.vault.read_audit().splitlines()]
    logins = [
        line
        for line in lines
        if line["type"] == "response" and line["request"]["path"] == "auth/kubernetes/login"
    ]
    assert logins
    assert not logins[-1].get("error")


def test_an_allowed_host_answers_and_a_denied_one_is_explained(cluster_house: ClusterHouse) -> None:
    """Through the gateway's pod, by the cluster's DNS; the refusal says what to do."""
    said = cluster_house.run("alice", f"{_FETCH}\nprint(fetch({NAME!r}))\nprint(fetch({OTHER_NAME!r}))")
    allowed, refused = said.stdout.splitlines()[:2]
    assert allowed == "hello", said
    assert refused == f"403 {OTHER_NAME} is not on the allowlist of this sandbox. (egress.not_allowed)"
    assert cluster_house.outside.world.heard == ["/from-a-cell"]


def test_a_rolling_upgrade_of_launcher_and_control_loses_no_admission(cluster_house: ClusterHouse) -> None:
    """carol starts a server again and again meanwhile, and no start fails; alice's kernel goes on."""
    house, carol = cluster_house, cluster_house.visitor("carol")
    assert house.run("alice", "kept = 41").ok
    before = {name: set(house.pods_of(name)) for name in ("launcher", "control")}
    restart(house, "launcher", "control")
    with ThreadPoolExecutor(1) as other:
        rolled = other.submit(wait_until_rolled, house, "launcher", "control")
        starts = 0
        while not rolled.done() or starts < 2:
            house.wait(carol.start("small"), 240)
            house.wait(carol.stop())
            starts += 1
        rolled.result()
    assert all(before[name].isdisjoint(house.pods_of(name)) for name in before)
    kernel = house.kernel_as_it_is("alice")
    house.wait(insist(kernel.reconnect), 120)  # a page does so when a busy machine was silent for long
    assert house.wait(kernel.execute("print(kept + 1)"), 120).stdout == "42\n"


def test_a_new_gateway_takes_over_every_session(cluster_house: ClusterHouse) -> None:
    """Pages are away while it changes and then work as they are, without a login; the kernel has lived on."""
    house = cluster_house
    assert house.run("alice", "kept = 41").ok
    kernel = house.kernel_as_it_is("alice")
    restart(house, "gateway")
    wait_until_rolled(house, "gateway")
    house.wait(until_page_answers(kernel), 120)
    house.wait(insist(kernel.reconnect), 120)
    assert house.wait(kernel.execute("print(kept + 1)"), 120).stdout == "42\n"
    assert house.run("alice", f"{_FETCH}\nprint(fetch({NAME!r}))").stdout == "hello\n"


def test_an_unused_server_is_stopped_and_its_owner_is_told_why(
    cluster_house: ClusterHouse, idle: Future[str]
) -> None:
    """bob's was not used for a minute; the hub's page says so."""
    assert "not used" in idle.result(300)


def test_nothing_of_a_stopped_server_is_left_over(cluster_house: ClusterHouse) -> None:
    """No pod, policy or Secret; no door; no login at Vault; nothing held in control's ledger."""
    house = cluster_house
    found = house.sandbox("alice")
    assert found is not None
    assert [name for name in house.objects() if name.endswith(found.id)] != []
    assert found.id in house.doors()
    assert house.logins_at_vault() != []
    house.stop("alice")
    house.cluster.until(lambda: not house.objects(), 60)
    house.cluster.until(lambda: not house.doors(), 60)
    assert house.records("select sandbox from holdings where until is null") == []
    assert house.records("select id from sandboxes where released_at is null") == []
    house.cluster.until(lambda: not house.logins_at_vault(), 60)
