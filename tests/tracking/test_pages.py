"""Do MLflow's pages open for who is logged in to the hub, and show each her own? Attack C09, by browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jupyter_sandbox_spawner.rules.tracking import workspace_of
from tests.tracking.browser import PREFIX, Browser
from tests.tracking.server import MlflowServer

Control = Callable[[str, bool], None]
AJAX = "/ajax-api/2.0/mlflow"
SECRET = "value-of-alice-alone"
QUERY = """query q($data: MlflowGetRunInput!) {
  mlflowGetRun(input: $data) { run { data { tags { key value } } } }
}"""


@pytest.fixture(scope="module")
def alice(mlflow: MlflowServer) -> Browser:
    """Alice, logged in."""
    return Browser(mlflow, "alice").login()


@pytest.fixture(scope="module")
def bob(mlflow: MlflowServer) -> Browser:
    """Bob, logged in."""
    return Browser(mlflow, "bob").login()


@pytest.fixture(scope="module")
def run(mlflow: MlflowServer) -> str:
    """A run of alice's notebook with a tag and a file."""
    made, place = mlflow.run_of("alice", "pages")
    tag = {"run_id": made, "key": "note", "value": SECRET}
    assert mlflow.call("alice", "POST", "/api/2.0/mlflow/runs/set-tag", tag).status == 200
    route = f"/api/2.0/mlflow-artifacts/artifacts/{place}/page.html"
    assert mlflow.call("alice", "PUT", route, data=f"<script>{SECRET}</script>".encode()).status == 200
    return made


def test_who_is_not_logged_in_goes_by_the_hub_and_comes_back(mlflow: MlflowServer) -> None:
    """The page that was asked for opens after the hub's login, without a word or a password of MLflow's."""
    browser = Browser(mlflow, "alice")
    _, asked = browser.sent_to_the_hub("/?deep=link")
    back = browser.come_back(asked)
    assert (back.status, back.headers["location"]) == (302, f"{PREFIX}/?deep=link")
    page = browser.open("/?deep=link")
    assert (page.status, b'id="root"' in page.body) == (200, True)
    script = page.body.split(b'src="')[1].split(b'"')[0].decode()
    assert browser.ask("GET", f"/{script}").status == 200


def test_what_was_asked_for_cannot_forge_an_answers_headers(mlflow: MlflowServer) -> None:
    """A line break in the address comes back as it was written, in the one header that it belongs to."""
    browser = Browser(mlflow, "alice")
    _, asked = browser.sent_to_the_hub("/x%0d%0aset-cookie:%20forged=1?y=%0d%0aset-cookie:%20forged=1")
    back = browser.come_back(asked)
    assert back.headers["location"].startswith(f"{PREFIX}/x%0d%0aset-cookie:")
    assert [line for line in back.cookies if "forged" in line.partition(";")[0]] == []


def test_the_session_is_a_cookie_that_no_script_reads(mlflow: MlflowServer) -> None:
    """HttpOnly, SameSite=Lax, for this path alone; Secure where the proxy says https."""
    browser = Browser(mlflow, "alice")
    _, asked = browser.sent_to_the_hub()
    (line,) = browser.come_back(asked).cookies
    name, *rest = line.split("; ")
    assert name.startswith("sandbox-mlflow=")
    assert set(rest) == {f"Path={PREFIX}/", "HttpOnly", "SameSite=Lax"}
    (line,) = Browser(mlflow, "alice").open("/", **{"X-Forwarded-Proto": "https"}).cookies
    assert "Secure" in line.split("; ")


def test_a_run_of_the_notebook_is_seen_in_the_pages(alice: Browser, run: str) -> None:
    """REST, GraphQL and files, as MLflow's own script asks for them."""
    rest = alice.ask("GET", f"{AJAX}/runs/get?run_id={run}")
    graph = alice.ask("POST", "/graphql", {"query": QUERY, "variables": {"data": {"runId": run}}})
    file = alice.open(f"/get-artifact?path=page.html&run_uuid={run}")
    assert [SECRET.encode() in seen.body for seen in (rest, graph, file)] == [True] * 3, (rest, graph, file)


@pytest.mark.proves("C09")
def test_c09_pages_show_nobody_elses_runs(alice: Browser, bob: Browser, run: str, control: Control) -> None:
    """Bob's browser gets none of alice's runs or files by REST, GraphQL, path or her workspace's name."""
    body = {"query": QUERY, "variables": {"data": {"runId": run}}}
    control("she sees it", SECRET.encode() in alice.ask("GET", f"{AJAX}/runs/get?run_id={run}").body)
    control("he sees pages", bob.open("/").status == 200)
    hers = workspace_of("alice")
    attempts = {
        "run": bob.ask("GET", f"{AJAX}/runs/get?run_id={run}"),
        "graphql": bob.ask("POST", "/graphql", body),
        "file": bob.open(f"/get-artifact?path=page.html&run_uuid={run}"),
        "list": bob.ask("GET", f"{AJAX}/artifacts/list?run_id={run}"),
        "workspace": bob.ask("GET", f"{AJAX}/runs/get?run_id={run}", **{"X-MLFLOW-WORKSPACE": hers}),
    }
    assert [name for name, seen in attempts.items() if SECRET.encode() in seen.body] == []
    assert [name for name, seen in attempts.items() if seen.status < 400] == ["graphql"]  # null, and an error
    assert attempts["graphql"].document["data"]["mlflowGetRun"] is None
    assert attempts["workspace"].code == "tracking.other_workspace"


@pytest.mark.proves("C09")
def test_c09_headers_of_a_door_count_for_nothing_here(mlflow: MlflowServer, control: Control) -> None:
    """What the gateway's socket believes, the browsers' port does not; nor a token in a header."""
    headers = mlflow.door("alice") | {"Authorization": f"Bearer {mlflow.hub.give('alice')}"}
    path = "/api/3.0/mlflow/server-info"
    control("by the gateway's socket they do", mlflow.request("GET", path, headers).status == 200)
    stranger = Browser(mlflow, "mallory")
    for prefix in (PREFIX, ""):
        seen = stranger.request("GET", path, headers, prefix=prefix)
        assert (seen.status, seen.code) in ((401, "tracking.not_logged_in"), (302, "")), prefix


@pytest.mark.proves("C09")
def test_a_login_is_good_once_and_for_the_browser_that_began_it(
    mlflow: MlflowServer, control: Control
) -> None:
    """A link that would log somebody in as another person, a second use, and a made-up state are refused."""
    mallory, victim = Browser(mlflow, "mallory"), Browser(mlflow, "alice")
    _, asked = mallory.sent_to_the_hub()
    victim.sent_to_the_hub()
    refused = [victim.come_back(asked), victim.come_back(asked | {"state": "made-up"})]
    control("it works where it began", mallory.come_back(asked).status == 302)
    refused.append(mallory.come_back(asked))
    assert [(seen.status, b"tracking.login_failed" in seen.body) for seen in refused] == [(403, True)] * 3
    assert "sandbox-mlflow" not in victim.cookies


@pytest.mark.parametrize(
    ("scopes", "kind"),
    [(("custom:sandbox:self!user=alice",), "user"), (("access:services!service=mlflow",), "service")],
)
def test_who_may_not_open_the_service_is_told_so(
    mlflow: MlflowServer, scopes: tuple[str, ...], kind: str
) -> None:
    """A token without the service's scope, or of no person, opens no session."""
    browser = Browser(mlflow, "alice")
    _, asked = browser.sent_to_the_hub()
    seen = browser.come_back(asked, scopes, kind)
    assert (seen.status, b"tracking.no_access" in seen.body) == (403, True)
    assert browser.open("/").status == 302


FOREIGN = [
    pytest.param({"Origin": "http://evil.example"}, id="another origin"),
    pytest.param({"Origin": "null"}, id="an origin that is hidden"),
    pytest.param({"Sec-Fetch-Site": "same-site"}, id="another user's server on a sister host"),
    pytest.param({"Sec-Fetch-Site": "cross-site"}, id="another site"),
]


@pytest.mark.proves("X01")
@pytest.mark.parametrize("sent", FOREIGN)
def test_another_sites_page_changes_nothing(alice: Browser, sent: dict[str, str], control: Control) -> None:
    """A request that a page of another origin makes with her cookies is refused before MLflow sees it."""
    name = f"made by {sorted(sent.values())}"
    seen = alice.ask("POST", f"{AJAX}/experiments/create", {"name": name}, **sent)
    assert (seen.status, seen.code) == (403, "tracking.foreign_page")
    control("her own page may", alice.ask("POST", f"{AJAX}/experiments/create", {"name": name}).status == 200)


def test_another_sites_page_embeds_nothing(alice: Browser, run: str, control: Control) -> None:
    """Neither an image, nor a script, nor a frame of hers in a foreign page; a link to it works."""
    for dest, mode in (("image", "no-cors"), ("script", "no-cors"), ("iframe", "navigate")):
        sent = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": dest, "Sec-Fetch-Mode": mode}
        seen = alice.ask("GET", f"/get-artifact?path=page.html&run_uuid={run}", **sent)
        assert (seen.status, SECRET.encode() in seen.body) == (403, False), dest
    control("a link opens the page", alice.open("/", **{"Sec-Fetch-Site": "cross-site"}).status == 200)


def test_pages_and_files_have_policies(alice: Browser, run: str) -> None:
    """A page loads from its own host only and is framed by nobody; a logged file runs no script."""
    page = alice.open("/").headers
    file = alice.open(f"/get-artifact?path=page.html&run_uuid={run}").headers
    assert "default-src 'self'" in page["content-security-policy"]
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert file["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert (page["x-content-type-options"], file["x-content-type-options"]) == ("nosniff", "nosniff")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/3.0/mlflow/workspaces"),
        ("GET", "/ajax-api/2.0/mlflow/users/list"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=x&path=y"),
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=x"),
        ("GET", "/ajax-api/3.0/mlflow/gateway/secrets/list"),
        ("DELETE", "/graphql"),
        ("GET", "/static-files/../etc/passwd"),
    ],
)
def test_what_a_notebook_may_not_do_a_page_may_not_either(alice: Browser, method: str, path: str) -> None:
    """Other people, the LLM gateway, uploads past the guard: closed with a reason."""
    seen = alice.ask(method, path, {} if method == "POST" else None)
    assert (seen.status, seen.code) in ((403, "tracking.not_open"), (403, "tracking.bad_path")), seen


def test_there_is_one_workspace_so_none_to_choose(alice: Browser) -> None:
    """MLflow's pages are told that there are no workspaces, and offer none."""
    seen = alice.ask("GET", "/ajax-api/3.0/mlflow/server-info")
    assert (seen.status, seen.document["workspaces_enabled"]) == (200, False)


def test_a_script_without_a_session_is_told_to_reload(mlflow: MlflowServer) -> None:
    """Not a redirect that a script would follow into a login form, but 401 and a sentence."""
    seen = Browser(mlflow, "alice").ask("GET", f"{AJAX}/experiments/search")
    assert (seen.status, seen.code) == (401, "tracking.not_logged_in")
    assert "reload the page" in seen.document["message"]


def test_a_hub_that_is_away_is_told_as_a_page(mlflow: MlflowServer) -> None:
    """While the hub is away a login says what to do; afterwards it works by itself."""
    browser = Browser(mlflow, "alice")
    _, asked = browser.sent_to_the_hub()
    mlflow.hub.away = True
    try:
        seen = browser.come_back(asked)
    finally:
        mlflow.hub.away = False
    assert (seen.status, b"reload in a minute" in seen.body) == (503, True)
    assert browser.login().open("/").status == 200


def test_the_notebook_is_told_where_the_pages_are(mlflow: MlflowServer) -> None:
    """`%sandbox mlflow` gets the path that the proxy knows."""
    assert mlflow.call("alice", "GET", "/sandbox/self").document["pages"] == mlflow.site.tracking_url
