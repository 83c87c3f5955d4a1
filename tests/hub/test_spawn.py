"""What does the hub do with our spawner? Both hub versions, for real; launcher and gateway are stand-ins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub_config.demo.visitor import Refusal, Visitor

from .hub_process import PASSWORD, HubProcess


def _only_sandbox(hub: HubProcess, user: str, server: str = "") -> str:
    found = [
        item.id
        for item in hub.loop.run(hub.launcher.backend.inventory())
        if (item.user, item.server) == (user, server)
    ]
    assert len(found) == 1
    return found[0]


def _sandboxes(hub: HubProcess, user: str) -> list[str]:
    return [item.id for item in hub.loop.run(hub.launcher.backend.inventory()) if item.user == user]


@pytest.mark.proves("T1")
def test_start_and_stop(hub: HubProcess) -> None:
    """A server starts, the proxy is sent to the one front, and a stop leaves nothing."""
    assert hub.start("anna").status == 201
    sandbox = _only_sandbox(hub, "anna")
    assert hub.proxy.routes["/user/anna"]["target"] == f"http://127.0.0.1:{hub.gateway.front_port}"
    assert hub.servers("anna")[""]["state"] == {"sandbox": sandbox, "profile": "cpu-small"}
    assert hub.api("DELETE", "users/anna/server").status == 204
    assert _sandboxes(hub, "anna") == []
    assert sandbox not in hub.gateway.entries
    assert hub.servers("anna") == {}


def test_named_servers_are_apart(hub: HubProcess) -> None:
    """Each named server is a sandbox of its own with its own path."""
    assert hub.start("nora").status == 201
    assert hub.start("nora", server="second").status == 201
    first, second = _only_sandbox(hub, "nora"), _only_sandbox(hub, "nora", "second")
    assert hub.gateway.entries[first].prefix == "/user/nora/"
    assert hub.gateway.entries[second].prefix == "/user/nora/second/"
    hub.api("DELETE", "users/nora/servers/second")
    assert _sandboxes(hub, "nora") == [first]


@pytest.mark.proves("T3", "C01")
def test_boot_document_has_nothing_of_the_hub(hub: HubProcess) -> None:
    """The boot document points to the doors; the hub's environment stays out, no setting moves them."""
    hub.start("berta")
    sandbox = _only_sandbox(hub, "berta")
    document = hub.gateway.documents[sandbox]
    environment = document.environment
    assert "canary-of-the-hub" not in str(document)
    assert not {"CONFIGPROXY_AUTH_TOKEN", "PYTHONPATH", "SECRET_OF_THE_HUB"} & set(environment)
    assert environment["FROM_ADMIN"] == "yes"
    assert environment["HINT"] == "small"
    assert environment["JUPYTERHUB_API_URL"] == "http://127.0.0.1:8081/hub/api"
    assert environment["JUPYTERHUB_SERVICE_URL"] == "http://127.0.0.1:8888/user/berta/"
    assert environment["https_proxy"] == "http://127.0.0.1:3128"
    assert document.argv[0].endswith("/image/bin/jupyterhub-singleuser")
    assert len(environment["JUPYTERHUB_API_TOKEN"]) >= 32


@pytest.mark.proves("T4", "C03")
def test_the_token_is_in_the_boot_document_only(hub: HubProcess) -> None:
    """The server's token is neither in the launcher's request, nor in the hub's state, nor in its log."""
    hub.start("clara")
    sandbox = _only_sandbox(hub, "clara")
    token = hub.gateway.documents[sandbox].environment["JUPYTERHUB_API_TOKEN"]
    assert token not in str([request.spec for request in hub.launcher.requests])
    assert token not in str(hub.servers("clara"))
    assert token not in hub.log()


def test_a_profile_reaches_the_spec(hub: HubProcess) -> None:
    """The launcher gets the limits and egress rules of the chosen profile."""
    assert hub.start("rita", {"profile": "cpu-large"}).status == 201
    spec = hub.launcher.requests[-1].spec
    assert (spec.profile, spec.resources.cpu, spec.resources.memory) == ("cpu-large", 4.0, 8 << 30)
    assert [rule.text for rule in spec.egress.rules] == ["mirror.sandbox.internal:80"]
    assert hub.gateway.entries[spec.id].egress == spec.egress


def test_a_forbidden_profile_by_api(hub: HubProcess, control: Any) -> None:
    """A profile for another group is refused by the API with 403 and the group's name."""
    answer = hub.start("dora", {"profile": "cpu-large"})
    assert answer.status == 403
    assert "group research" in answer.document["message"]
    assert _sandboxes(hub, "dora") == []
    control("dora may take the small one", hub.start("dora", {"profile": "cpu-small"}).status == 201)


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "cpu-small", "image": "evil"},
        {"profile": ["cpu-small"]},
        {"environment": {"LD_PRELOAD": "/tmp/x.so"}},
        {"profile": "cpu-smal"},
        {"profile": "cpu-small", "uid": 0, "mounts": ["/"]},
        {"profile": "x" * 100_000},
        {"profile": "cpu-small", "options": {"image": "evil"}},
        {"profile": "cpu-small", "options": {"size": {"privileged": True}}},
        {"profile": "cpu-small", "options": ["uid=0"]},
        {"profile": "cpu-small", "options": {"devices": "x" * 100_000}},
    ],
)
@pytest.mark.proves("H04")
def test_odd_options_are_refused(hub: HubProcess, options: object) -> None:
    """Anything but one known profile is refused with 400, and nothing starts."""
    before = len(hub.launcher.requests)
    answer = hub.start("emma", options)
    assert answer.status == 400, answer
    assert len(answer.document["message"]) < 400
    assert len(hub.launcher.requests) == before


@pytest.mark.proves("H04")
def test_a_list_as_body_is_refused(hub: HubProcess) -> None:
    """A JSON body that is no object is refused with 400 and does not spoil the next start."""
    assert hub.start("emil", [1, 2]).status == 400
    assert hub.start("emil").status == 201


@pytest.mark.proves("T10")
def test_a_stale_saved_choice_falls_back(hub: HubProcess, control: Any) -> None:
    """A saved profile that the user lost gives way to the default with a notice; asked for, it is refused."""
    hub.api("POST", "users/saskia")
    hub.api("POST", "groups/research/users", {"users": ["saskia"]})
    first = hub.start("saskia", {"profile": "cpu-large"})
    control("a member takes the profile", first.status == 201)
    hub.api("DELETE", "users/saskia/server")
    hub.api("DELETE", "groups/research/users", {"users": ["saskia"]})
    assert hub.start("saskia").status == 201
    assert hub.launcher.requests[-1].spec.profile == "cpu-small"
    assert "Your last profile 'CPU large' is not available. It is for group research" in hub.log()
    hub.api("DELETE", "users/saskia/server")
    assert hub.start("saskia", {"profile": "cpu-large"}).status == 403


@pytest.mark.proves("T10")
def test_a_saved_choice_that_still_fits_is_kept(hub: HubProcess) -> None:
    """Without options in the request, the last profile is taken again."""
    hub.start("rosa-x")
    hub.api("DELETE", "users/rosa-x/server")
    hub.api("POST", "groups/research/users", {"users": ["rosa-x"]})
    hub.start("rosa-x", {"profile": "cpu-large"})
    hub.api("DELETE", "users/rosa-x/server")
    hub.start("rosa-x")
    assert hub.launcher.requests[-1].spec.profile == "cpu-large"


def test_a_refused_choice_is_not_saved(hub: HubProcess) -> None:
    """After a refusal the next start without options takes the default without a notice."""
    assert hub.start("greta", {"profile": "closed"}).status == 403
    noted = hub.log().count("Your last profile")
    assert hub.start("greta").status == 201
    assert hub.log().count("Your last profile") == noted


@pytest.mark.proves("T18")
def test_a_crash_is_cleaned_up(hub: HubProcess) -> None:
    """A sandbox that ends by itself loses record, doors and route, although the hub calls no stop."""
    hub.start("hanna")
    sandbox = _only_sandbox(hub, "hanna")
    hub.loop.run(hub.launcher.backend.finish(sandbox, 137, "killed for memory"))
    hub.wait_for("the crash is noticed", lambda: hub.servers("hanna") == {})
    assert _sandboxes(hub, "hanna") == []
    assert sandbox not in hub.gateway.entries
    assert "/user/hanna" not in hub.proxy.routes
    assert "killed for memory" in hub.log()


def test_a_crash_during_the_start_is_told_at_once(hub: HubProcess) -> None:
    """A server that ends while it starts fails the start with exit status, reason and its last lines; the
    hub's log has no line of it. The API of JupyterHub 5 says what its log says; its pages have the lines."""
    hub.launcher.dies_with = (3, "Traceback\nModuleNotFoundError: No module named 'jupyterhub'\n")
    answer = hub.start("ida")
    assert answer.status == 500
    message = answer.document["message"]
    assert "ended with exit status 3 (the server ended)" in message
    lines = "Its last lines: Traceback | ModuleNotFoundError: No module named 'jupyterhub'"
    assert (lines in message) is not hub.version.startswith("5")
    assert "ended with exit status 3 (the server ended)" in hub.log()
    assert "No module named 'jupyterhub'" not in hub.log()
    assert _sandboxes(hub, "ida") == []


def test_the_token_is_not_in_the_last_lines(hub: HubProcess) -> None:
    """A token that a server prints before it dies is not in the message."""
    hub.launcher.dies_with = (1, "I was given {token} and die")
    message = hub.start("jana").document["message"]
    document = list(hub.gateway.documents.values())[-1]
    assert ("I was given [token] and die" in message) is not hub.version.startswith("5")
    assert document.environment["JUPYTERHUB_API_TOKEN"] not in message


def test_an_absent_launcher_fails_the_start(hub: HubProcess) -> None:
    """Without a launcher the start fails with 503 and a sentence, and nothing is left open."""
    hub.launcher.away = True
    answer = hub.start("katja")
    assert answer.status == 503
    assert "launcher" in answer.document["message"]
    assert [entry for entry in hub.gateway.entries.values() if entry.user == "katja"] == []


@pytest.mark.proves("T16")
def test_a_failed_stop_is_not_forgotten(hub: HubProcess) -> None:
    """A sandbox that cannot be stopped is cut off, logged loudly, and ended by the next start."""
    hub.start("lena")
    sandbox = _only_sandbox(hub, "lena")
    hub.launcher.immortal = True
    hub.api("DELETE", "users/lena/server")
    assert f"{sandbox} may still run" in hub.log()
    assert sandbox not in hub.gateway.entries
    assert _sandboxes(hub, "lena") == [sandbox]
    refused = hub.start("lena")
    assert refused.status == 500
    assert sandbox in refused.document["message"]
    hub.launcher.immortal = False
    assert hub.start("lena").status == 201
    assert sandbox not in _sandboxes(hub, "lena")
    assert len(_sandboxes(hub, "lena")) == 1


async def test_the_progress_shows_each_stage(hub: HubProcess) -> None:
    """The pending page's events name the stages, and the last one has seconds and share of each."""
    async with Visitor(hub.base, "mona", PASSWORD) as mona:
        await mona.login()
        hub.gateway.silent = True
        await mona.spawn("cpu-small")
        asyncio.get_running_loop().call_later(0.5, setattr, hub.gateway, "silent", False)
        events = [event async for event in mona.progress()]
    assert events[-1].get("ready"), events
    stages = next(event["stages"] for event in events if "stages" in event)
    assert [stage["name"] for stage in stages] == [
        "profile",
        "place",
        "admission",
        "doors",
        "create",
        "start",
        "server",
    ]
    assert sum(stage["share"] for stage in stages) == pytest.approx(1, abs=0.01)


async def test_the_form_shows_what_may_not_be_had(hub: HubProcess) -> None:
    """The form has a card a profile; one for another group is disabled and says which group."""
    async with Visitor(hub.base, "paula", PASSWORD) as paula:
        await paula.login()
        page = await paula.open(paula.hub("spawn/paula"))
        form = await paula.spawn_form()
    assert [profile.slug for profile in form.allowed()] == ["cpu-small", "short"]
    assert [profile.slug for profile in form.refused()] == ["cpu-large", "closed"]
    assert "It is for group research" in page.text


async def test_a_forbidden_profile_by_form(hub: HubProcess) -> None:
    """A forbidden profile sent by form comes back as 403 with the reason as a plain sentence."""
    async with Visitor(hub.base, "quinn", PASSWORD) as quinn:
        await quinn.login()
        with pytest.raises(Refusal) as refusal:
            await quinn.spawn("cpu-large")
    assert refusal.value.status == 403
    assert "You may not take the profile" in refusal.value.reason
    assert "SpawnException" not in refusal.value.reason


def test_an_interrupted_start_leaves_nothing(hub: HubProcess) -> None:
    """A start that the user stops half-way is undone."""
    hub.gateway.silent = True
    hub.start("tina")
    assert len(_sandboxes(hub, "tina")) == 1
    hub.api("DELETE", "users/tina/server")
    hub.wait_for("the start is undone", lambda: _sandboxes(hub, "tina") == [])
    assert [entry for entry in hub.gateway.entries.values() if entry.user == "tina"] == []


def test_a_killed_hub_takes_its_servers_up_again(hub: HubProcess, control: Any) -> None:
    """After kill -9 a hub finds the running sandbox again and cleans up one that ended meanwhile."""
    assert hub.start("vera").status == 201
    assert hub.start("wanda").status == 201
    running, ended = _only_sandbox(hub, "vera"), _only_sandbox(hub, "wanda")
    hub.loop.run(hub.launcher.backend.finish(ended, 1, "ended while the hub was away"))
    hub.restart()
    hub.wait_for("the servers are checked", lambda: "wanda" not in str(hub.servers("wanda")))
    control("the running one is ready", hub.servers("vera")[""]["ready"])
    assert hub.servers("vera")[""]["state"]["sandbox"] == running
    assert _sandboxes(hub, "wanda") == []
    assert hub.api("DELETE", "users/vera/server").status == 204
    assert _sandboxes(hub, "vera") == []
