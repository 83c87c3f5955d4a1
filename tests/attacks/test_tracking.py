"""Can a cell get at another person's runs, or pose as somebody else to MLflow? Attack C09, from a sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable

import aiohttp
import pytest

from hub_config.demo.tracking import CELL, wait_until_ready
from hub_config.demo.visitor import Visitor
from jupyter_sandbox_spawner.rules.tracking import workspace_of
from tests.support.house import House

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("tracking")

# One request through the relay exactly as written; the answer's status and text.
ASK = """
def ask(head, body=b""):
    with socket.create_connection(("127.0.0.1", 3128), 20) as relay:
        relay.sendall(head.replace("\\n", "\\r\\n").encode() + b"\\r\\n" + body)
        answer = b"".join(iter(lambda: relay.recv(65536), b""))
    return answer.decode("latin-1")

token = "Authorization: Bearer " + os.environ["JUPYTERHUB_API_TOKEN"] + "\\n"
site = "http://mlflow.sandbox.internal"
"""


def run_of(house: House, name: str) -> str:
    """A run that this person's notebook made with nothing set up."""
    house.server(name)
    house.wait(wait_until_ready(house.running), 180)
    output = house.wait(house.kernel(name).execute(CELL, timeout=120), 180)
    assert output.ok, str(output)
    return str(json.loads(output.stdout.strip().splitlines()[-1])["run"])


@pytest.mark.proves("C09")
def test_c09_a_cell_cannot_pose_as_another(house: House, control: Control) -> None:
    """Headers of the door, however spelled, a workspace, and alice's own token give bob nothing of hers."""
    run = run_of(house, "alice")
    token = house.attack("alice", 'attempt("t", lambda: os.environ["JUPYTERHUB_API_TOKEN"])')["t"]["value"]
    own = house.attack(
        "alice",
        f"""{ASK}
get = f"GET {{site}}/api/2.0/mlflow/runs/get?run_id={run} HTTP/1.1\\nHost: x\\n"
attempt("own", lambda: ask(get + token))
""",
    )
    control("alice reads her run by hand", run in own["own"].get("value", ""))
    seen = house.attack(
        "bob",
        f"""{ASK}
get = f"GET {{site}}/api/2.0/mlflow/runs/get?run_id={run} HTTP/1.1\\nHost: x\\n"
alice = "Authorization: Bearer {token}\\n"
attempt("own self", lambda: ask(f"GET {{site}}/sandbox/self HTTP/1.1\\nHost: x\\n" + token))
attempt("plain", lambda: ask(get + token))
attempt("her token", lambda: ask(get + alice))
attempt("no token", lambda: ask(get))
for name in ("X-Sandbox-User", "x-sandbox_user", "X_Sandbox_User", "X-SANDBOX-USER"):
    attempt(name, lambda: ask(get + alice + name + ": alice\\nX-Sandbox-Server: \\n"))
    attempt(name + " own", lambda: ask(get + token + name + ": alice\\n"))
attempt("connection", lambda: ask(get + alice + "Connection: x-sandbox-user\\nX-Sandbox-User: alice\\n"))
attempt("workspace", lambda: ask(get + token + "X-MLFLOW-WORKSPACE: {workspace_of("alice")}\\n"))
attempt("upper", lambda: ask(get.replace("mlflow.sandbox", "MLFLOW.SANDBOX") + alice))
attempt("dot", lambda: ask(get.replace("internal/", "internal./") + alice))
attempt("port", lambda: ask(get.replace("internal/", "internal:080/") + alice))
""",
    )
    control("bob is himself", workspace_of("bob") in seen.pop("own self").get("value", ""))
    for name, found in seen.items():
        text = found.get("value", "")
        assert not text.startswith("HTTP/1.1 200"), (name, text)
        assert '"run_name"' not in text, (name, text)
    for name in ("her token", "X-Sandbox-User", "upper"):
        assert "(identity.mismatch)" in seen[name]["value"], (name, seen[name])


@pytest.mark.proves("C09")
def test_c09_no_tunnel_leads_to_mlflow(house: House, control: Control) -> None:
    """CONNECT, which would carry headers unseen, is refused; so are MLflow's sockets and ports by address."""
    house.server("bob")
    house.wait(wait_until_ready(house.running), 180)
    seen = house.attack(
        "bob",
        f"""{ASK}
attempt("plain", lambda: ask(f"GET {{site}}/sandbox/self HTTP/1.1\\nHost: x\\n" + token))
attempt("connect", lambda: ask("CONNECT mlflow.sandbox.internal:80 HTTP/1.1\\nHost: x\\n"))
attempt("connect tls", lambda: ask("CONNECT mlflow.sandbox.internal:443 HTTP/1.1\\nHost: x\\n"))
attempt("other port", lambda: ask("GET http://mlflow.sandbox.internal:5000/ HTTP/1.1\\nHost: x\\n"))
attempt("other name", lambda: ask("GET http://tracking.sandbox.internal/ HTTP/1.1\\nHost: x\\n"))
attempt("socket", lambda: os.path.exists("{house.site.tracking_socket}"))
attempt("files", lambda: os.path.exists("{house.site.tracking_dir}"))
""",
    )
    control("plain HTTP is answered", seen["plain"].get("value", "").startswith("HTTP/1.1 200"))
    for name, code in {
        "connect": "egress.http_only",
        "connect tls": "egress.not_allowed",
        "other port": "egress.not_allowed",
        "other name": "egress.not_allowed",
    }.items():
        text = seen[name].get("value", "")
        assert text.startswith("HTTP/1.1 403"), (name, text)
        assert code in text, (name, text)
    assert (seen["socket"]["value"], seen["files"]["value"]) in ((False, False), ("False", "False"))


@pytest.mark.proves("C09")
def test_c09_a_browser_sees_its_own_persons_runs(house: House, control: Control) -> None:
    """By the real hub's login: alice's pages find her run, bob's do not; a token opens nothing."""
    run = run_of(house, "alice")
    alice, bob = house.visitor("alice"), house.visitor("bob")

    async def runs(visitor: Visitor) -> str:
        page = await visitor.open(visitor.service("mlflow/"))
        assert (page.status, page.path) == (200, "/services/mlflow/"), page
        search = visitor.service("mlflow/ajax-api/2.0/mlflow/experiments/search")
        found = await visitor.call("POST", search, {"max_results": 100})
        wanted = {"experiment_ids": [item["experiment_id"] for item in found.get("experiments", ())]}
        search = visitor.service("mlflow/ajax-api/2.0/mlflow/runs/search")
        return json.dumps(await visitor.call("POST", search, wanted))

    async def with_a_token() -> int:
        token = await alice.token(scopes=("access:services!service=mlflow",))
        async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
            address = alice.service(f"mlflow/ajax-api/2.0/mlflow/runs/get?run_id={run}")
            async with session.get(address, allow_redirects=False) as answer:
                return answer.status

    control("her pages find it", run in house.wait(runs(alice)))
    assert run not in house.wait(runs(bob))
    assert house.wait(with_a_token()) == 401
