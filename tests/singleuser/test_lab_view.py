"""Does the document of `GET sandbox/view` say what every part said, and since when one is silent?"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.singleuser.lab import gathering as gathering_module
from jupyter_sandbox_spawner.singleuser.lab.gathering import BELIEVED, MLFLOW_BELIEVED, Gathering
from tests.lanes import CHECKOUT
from tests.singleuser.brokerapi import ABOUT, SECRETS, about, lists
from tests.singleuser.selfapi import REQUEST, SELF, SelfApi
from tests.singleuser.test_tracking import Proxy

VIEW = CHECKOUT / "labextension/src/view.ts"
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202egpj.exe\n" + "x" * (1 << 20)


class Clock:
    """Seconds that a test lets pass."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The gathering's own."""
    return Clock()


@pytest.fixture
def gathering(api: SelfApi, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Gathering:
    """A server's, with control and broker there and no MLflow."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lists(api, ABOUT, about("s3/lab", kind="aws", stored=False))
    return Gathering(clock)


@pytest.fixture
def mlflow(api: SelfApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """MLflow behind the egress door."""
    proxy = Proxy()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server.server_address[1]}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.sandbox.internal")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()
    proxy.thread.join()


def asked(api: SelfApi, what: str) -> int:
    """How often control or broker was asked this."""
    return [name for name, _, _ in api.asked].count(what)


def interfaces() -> dict[str, set[str]]:
    """The names of each interface of the front end's contract."""
    found = re.findall(r"export interface (\w+) \{(.*?)\n\}", VIEW.read_text(), re.DOTALL)
    return {name: set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE)) for name, body in found}


def instant(text: str) -> datetime:
    """A time of the document."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


async def test_the_document_is_the_one_the_front_end_knows(gathering: Gathering, api: SelfApi) -> None:
    """Every object has exactly the names that labextension/src/view.ts writes for it."""
    stop = {"code": "stop.idle", "why": "Unused.", "actor": "control", "decided_at": "2026-11-25T07:00:00Z"}
    at = "2026-11-25T15:30:00Z"
    api.me |= {
        "stop": stop,
        "last": {"stop": stop, "released_at": "2026-11-25T07:01:00Z"},
        "warnings": [{"id": 1, "told_at": at, "code": "warning.ttl", "why": "Soon.", "at": at}],
        "datasets": [{"name": "a@1", "tags": ["t"], "path": "/d", "read_only": True, "purpose": ""}],
        "left_out": [{"name": "b", "code": "dataset.next_start", "why": "Later."}],
    }
    view, known = await gathering.view(), interfaces()
    assert set(view) == known["IView"]
    sandbox, egress = view["sandbox"], view["egress"]
    for name, item in {
        "ISandbox": sandbox,
        "IPart": view["control"],
        "IEnding": sandbox["ending"],
        "IExtension": sandbox["extension"],
        "IStop": sandbox["stop"],
        "IWarning": sandbox["warnings"][0],
        "IMeter": sandbox["meters"][0],
        "IDataset": sandbox["datasets"][0],
        "ILeftOut": sandbox["left_out"][0],
        "IDenial": egress["denied"][0],
        "IEgressRequest": egress["requests"][0],
        "ISecret": view["secrets"][0],
        "IExperiments": view["experiments"],
    }.items():
        assert set(item) == known[name], name
    assert set(egress) == {"allowed", "denied", "requests"}


async def test_it_says_what_control_says(gathering: Gathering) -> None:
    """End with reason, meters with limits, rules, denials and requests, all of one round."""
    view = await gathering.view()
    sandbox = view["sandbox"]
    assert (sandbox["status"], sandbox["profile"]) == ("running", "small")
    assert sandbox["ending"]["at"] == "2026-11-25T16:00:00.000Z"
    assert (sandbox["ending"]["kind"], sandbox["ending"]["why"]) == ("ttl", "sandbox TTL 8 h")
    meters = {meter["name"]: meter for meter in sandbox["meters"]}
    assert (meters["memory"]["used"], meters["memory"]["limit"]) == (300 << 20, 2 << 30)
    assert meters["cpu"]["limit"] == 2.0
    assert meters["disk"]["limit"] >= meters["disk"]["used"] > 0
    assert view["egress"]["denied"][0]["host"] == "example.com"
    assert view["egress"]["requests"][0]["id"] == REQUEST["id"]
    assert [view[part]["ok"] for part in ("control", "broker")] == [True, True]


async def test_secrets_have_a_line_and_no_value(gathering: Gathering) -> None:
    """Each name has the line of code that reads it; one that nobody stored says so."""
    first, second = (await gathering.view())["secrets"]
    assert first["line"] == 'import jupyter_sandbox; secret = jupyter_sandbox.secrets("db/warehouse")'
    assert (first["reason"], first["source"]) == ("", "profile small")
    assert "nobody has stored it" in second["reason"]


async def test_now_is_the_servers_clock(gathering: Gathering, api: SelfApi) -> None:
    """Where control's clock is an hour off ours, the document counts by control's."""
    ahead = datetime.fromtimestamp(time.time() + 3600, timezone.utc)
    api.me["now"] = ahead.isoformat(timespec="seconds")
    away = abs((instant((await gathering.view())["now"]) - ahead).total_seconds())
    assert away < 3


async def test_cores_are_what_the_seconds_grew_by(gathering: Gathering, api: SelfApi, clock: Clock) -> None:
    """The first answer gives the average since the start, later ones the use since the one before."""

    async def cores() -> float:
        meters = (await gathering.view())["sandbox"]["meters"]
        return next(meter["used"] for meter in meters if meter["name"] == "cpu")

    assert await cores() == pytest.approx(75.2 / (7 * 3600 + 19 * 60 - 4))
    clock.now += 30
    api.me["usage"]["cpu_seconds"] += 45
    assert await cores() == pytest.approx(1.5)
    clock.now += 30
    api.me |= {"id": "sb-bbbbbbbbbbbbbbbbbbbb", "usage": {**api.me["usage"], "cpu_seconds": 1.0}}
    assert await cores() < 0.1


async def test_gpu_and_quota_are_meters_where_they_are_known(gathering: Gathering, api: SelfApi) -> None:
    """A home with a quota shows that; a host without figures shows limits alone."""
    api.me["limits"] |= {"disk": 5 << 30}
    api.me["usage"]["gpu_busy"] = 0.25
    meters = {meter["name"]: meter for meter in (await gathering.view())["sandbox"]["meters"]}
    assert (meters["disk"]["limit"], meters["disk"]["label"]) == (5 << 30, "home")
    assert (meters["gpu"]["used"], meters["gpu"]["unit"]) == (0.25, "share")
    assert [meters[name]["label"] for name in ("cpu", "memory", "gpu")] == ["", "", ""]
    api.me |= {"usage": None, "soft_limits": ["cpu"]}
    gathering.forget()
    meters = {meter["name"]: meter for meter in (await gathering.view())["sandbox"]["meters"]}
    assert (meters["cpu"]["used"], meters["cpu"]["soft"], "gpu" in meters) == (None, True, False)


async def test_while_control_is_away_the_last_word_stands(
    gathering: Gathering, api: SelfApi, clock: Clock
) -> None:
    """What was known stays, with the instant of the last answer; when control is back, so is `ok`."""
    before = await gathering.view()
    clock.now += BELIEVED
    good = dict(api.answers)
    for what in (f"GET {SELF}", f"GET {SELF}/egress"):
        api.answers[what] = (503, {"code": "control.unreachable", "message": "connect"})
    api.answers[f"GET {SECRETS}"] = (502, b"<html>")
    view = await gathering.view()
    assert {**view["sandbox"], "meters": []} == {**before["sandbox"], "meters": []}
    assert view["egress"] == before["egress"]
    assert view["secrets"] == before["secrets"]
    assert (view["control"]["ok"], view["control"]["code"]) == (False, "control.unreachable")
    assert view["control"]["remedy"]
    for part in ("control", "broker"):
        assert abs((instant(view[part]["since"]) - instant(before["now"])).total_seconds()) < 3
    api.answers = good
    clock.now += BELIEVED
    view = await gathering.view()
    assert (view["control"]["ok"], view["control"]["since"]) == (True, None)


async def test_what_never_answered_is_null(api: SelfApi, gathering: Gathering) -> None:
    """A server whose control was away from the beginning has a document all the same."""
    api.answers.clear()
    view = await gathering.view()
    assert (view["sandbox"], view["control"]["ok"], view["control"]["since"]) == (None, False, None)
    assert (view["egress"]["requests"], view["secrets"]) == ([], [])


async def test_an_answer_of_another_version_is_no_failure(gathering: Gathering, api: SelfApi) -> None:
    """What cannot be read is said as such, and the parts that can be are shown."""
    api.answers[f"GET {SELF}"] = (200, {"now": "yesterday"})
    view = await gathering.view()
    assert (view["control"]["ok"], view["control"]["code"]) == (False, "door.unreadable")
    assert view["egress"]["allowed"] == ["idx.test", "*.example.org:443"]


async def test_a_silent_part_costs_its_patience_and_no_more(
    gathering: Gathering, monkeypatch: pytest.MonkeyPatch, control: Any
) -> None:
    """A home that does not answer holds up neither the loop nor the other parts, and is not asked twice."""
    release, calls = threading.Event(), []

    def hang() -> None:
        calls.append(1)
        release.wait(30)

    monkeypatch.setattr(gathering._home, "_question", hang)
    monkeypatch.setattr(gathering_module.Part.ask, "__defaults__", (0.3,))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.ensure_future(tick())
    began = time.monotonic()
    view = await gathering.view()
    ticking.cancel()
    assert time.monotonic() - began < 3
    control("the loop went on meanwhile", ticks > 5)
    assert view["sandbox"]["profile"] == "small"
    gathering._known = None
    await gathering.view()
    assert len(calls) == 1
    release.set()


async def test_two_tabs_cost_one_question(gathering: Gathering, api: SelfApi, clock: Clock) -> None:
    """Who asks while others ask, or soon after, gets the same answer; later it is asked anew."""
    one, two = await asyncio.gather(gathering.view(), gathering.view())
    assert one["sandbox"] == two["sandbox"]
    clock.now += BELIEVED - 0.1
    await gathering.view()
    assert asked(api, f"GET {SELF}") == asked(api, f"GET {SECRETS}") == 1
    clock.now += 0.2
    await gathering.view()
    assert asked(api, f"GET {SELF}") == 2


async def test_a_change_is_seen_at_once(gathering: Gathering, api: SelfApi) -> None:
    """After a wish was made from here, nothing older than it is shown."""
    await gathering.view()
    api.me["deadline"] = api.me["lifetime"]["ends_at"] = "2026-11-25T17:00:00Z"
    gathering.forget()
    assert (await gathering.view())["sandbox"]["ending"]["at"] == "2026-11-25T17:00:00.000Z"


async def test_runs_have_names_and_addresses(gathering: Gathering, mlflow: Proxy) -> None:
    """The latest runs of the preset experiment, by three short questions with the server's token."""
    info = {"run_id": "ab12", "run_name": "deep", "status": "FINISHED", "start_time": 1764082740000}
    mlflow.answers = {
        "/sandbox/self": {"user": "ada", "workspace": "u-ada-x", "pages": "https://m.example/mlflow/"},
        "/experiments/get-by-name": {"experiment": {"experiment_id": "7"}},
        "/runs/search": {"runs": [{"info": info}]},
    }
    found = (await gathering.view())["experiments"]
    assert found["url"] == "https://m.example/mlflow/#/experiments/7"
    assert found["runs"] == [
        {
            "name": "deep",
            "status": "finished",
            "started_at": "2025-11-25T14:59:00.000Z",
            "url": "https://m.example/mlflow/#/experiments/7/runs/ab12",
        }
    ]
    assert found["part"]["ok"]


OWN = {"user": "ada", "workspace": "u-ada-x", "pages": "/mlflow/"}
NO_RUNS = {
    "/sandbox/self": OWN,
    "/experiments/get-by-name": {"experiment": {"experiment_id": "7"}},
    "/runs/search": {"runs": []},
}


async def test_mlflow_is_asked_every_five_minutes(gathering: Gathering, mlflow: Proxy, clock: Clock) -> None:
    """Each question is a line of the audit, so a poll asks none; where runs go is asked once."""
    mlflow.answers = dict(NO_RUNS)
    for _ in range(9):
        await gathering.view()
        clock.now += 30
    assert len(mlflow.asked) == 3
    gathering.forget()
    assert (await gathering.view())["experiments"]["url"] == "/mlflow/#/experiments/7"
    assert len(mlflow.asked) == 3
    clock.now += MLFLOW_BELIEVED
    await gathering.view()
    assert [path.partition("?")[0].rpartition("/")[2] for path, _ in mlflow.asked] == [
        *("self", "get-by-name", "search"),
        *("get-by-name", "search"),
    ]


async def test_a_person_who_refreshes_gets_the_newest_runs(
    gathering: Gathering, mlflow: Proxy, clock: Clock
) -> None:
    """The button asks MLflow anew, though not twice in five seconds."""
    mlflow.answers = dict(NO_RUNS)
    await gathering.view()
    await gathering.view(anew=True)
    assert len(mlflow.asked) == 3
    clock.now += BELIEVED
    info = {"run_id": "ab12", "run_name": "deep", "status": "RUNNING", "start_time": None}
    mlflow.answers["/runs/search"] = {"runs": [{"info": info}]}
    assert (await gathering.view(anew=True))["experiments"]["runs"][0]["name"] == "deep"


async def test_mlflow_without_pages_is_here_all_the_same(gathering: Gathering, mlflow: Proxy) -> None:
    """`here` says that runs are recorded, also where this server may not know an address of their page."""
    mlflow.answers = {**NO_RUNS, "/sandbox/self": {**OWN, "pages": ""}}
    found = (await gathering.view())["experiments"]
    assert (found["here"], found["url"]) == (True, None)


async def test_without_mlflow_nothing_is_here(gathering: Gathering) -> None:
    """A site that tracks no experiments says so."""
    found = (await gathering.view())["experiments"]
    assert (found["here"], found["url"], found["part"]["ok"]) == (False, None, True)


async def test_no_page_of_mlflow_is_a_script(gathering: Gathering, mlflow: Proxy) -> None:
    """An address that a browser would run is not passed on."""
    own = {"user": "ada", "workspace": "u-ada-x", "pages": "javascript:alert(1)"}
    mlflow.answers = {"/sandbox/self": own, "": {"error_code": "RESOURCE_DOES_NOT_EXIST"}}
    assert (await gathering.view())["experiments"]["url"] is None


async def test_mlflow_away_leaves_the_rest(gathering: Gathering, mlflow: Proxy) -> None:
    """Where MLflow does not answer, that part says so and nothing else changes."""
    mlflow.answer = (424, b'{"code": "tracking.away"}')
    view = await gathering.view()
    assert (view["experiments"]["part"]["code"], view["control"]["ok"]) == ("tracking.away", True)


@pytest.mark.proves("H06")
async def test_hostile_texts_are_short_lines(gathering: Gathering, api: SelfApi, control: Any) -> None:
    """Signs that act, and a megabyte of text, reach no page: they are replaced and cut; letters stay."""
    api.me |= {"profile": HOSTILE, "server": "\u05e9\u05dc\u05d5\u05dd"}
    request = {**REQUEST, "why": HOSTILE, "answer": HOSTILE}
    api.answers[f"GET {SELF}/egress"] = (200, {"allowed": [HOSTILE], "denied": [], "requests": [request]})
    view = await gathering.view()
    for text in (
        view["sandbox"]["profile"],
        view["egress"]["allowed"][0],
        view["egress"]["requests"][0]["why"],
    ):
        control("it is the hostile one", text.startswith("<img src=x"))
        assert len(text) <= 1000
        assert not re.search("[\x00-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert view["sandbox"]["server"] == "\u05e9\u05dc\u05d5\u05dd"


async def test_outside_a_sandbox_there_is_nothing(
    gathering: Gathering, api: SelfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked, and the reason has its code."""
    monkeypatch.delenv("JUPYTER_SANDBOX")
    with pytest.raises(SandboxError) as caught:
        await gathering.view()
    assert (caught.value.code, api.asked) == ("sandbox.outside", [])
