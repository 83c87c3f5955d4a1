"""Does a stored secret reach its sandbox and nothing else? Attacks C01-C06, C08, C10 and X04."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from jupyter_sandbox_spawner.admin.accounts import accounts_of
from tests.attacks.test_credentials import _files, _spellings, _token
from tests.support.house import House

Control = Callable[[str, bool], None]
NAME = "warehouse/reader"
# A session as people have it: list, use for a cell, a block, a program, an error with the value near it.
SESSION = """
import hashlib, os, subprocess, sys
import jupyter_sandbox
listed = %sandbox secrets
print(listed)
with jupyter_sandbox.secrets("warehouse/reader") as secret:
    print(secret, secret["password"], f"{secret['password']}")
    digest = hashlib.sha256(secret["password"].reveal().encode()).hexdigest()
kept = %sandbox secrets env users/alice/token
print(kept)
words = ["jupyter", "sandbox", "secrets", "use", "warehouse/reader", "--", sys.executable, "-c"]
program = "import os; print(len(os.environ['WAREHOUSE_PASSWORD']))"
print(subprocess.run([*words, program], capture_output=True, text=True).stdout)
print("DIGEST", digest)
"""
USED = "%%sandbox secrets use warehouse/reader\nimport os\nprint(len(os.environ['WAREHOUSE_PASSWORD']))"
FAILED = "%%sandbox secrets use warehouse/reader\nimport os\nraise ValueError('my own mistake')"
ASK = """
import json, os, urllib.error, urllib.request
base = os.environ["JUPYTERHUB_API_URL"].removesuffix("hub/api") + "services/sandbox/api/secrets"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask(path, token, method="POST"):
    head = {"Authorization": "token " + token} if token else {}
    data = b"{}" if method == "POST" else None
    try:
        asked = urllib.request.Request(base + path, data, head, method=method)
        with direct.open(asked, timeout=20) as answer:
            return {"status": answer.status, "said": json.load(answer)}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "said": json.loads(error.read() or b"{}")}

own = os.environ["JUPYTERHUB_API_TOKEN"]
"""


def _values(house: House) -> list[str]:
    return [
        value for fields in house.running.secrets.values() for value in fields.values() if len(value) > 10
    ]


def _audit(house: House, user: str, action: str) -> list[dict[str, object]]:
    found = house.ask_control(lambda client: client.audit(user=user, limit=500))
    return [line for line in found["items"] if line["action"] == action]


@pytest.fixture(scope="module")
def session(house: House) -> str:
    """Alice's session with secrets; everything that her cells showed."""
    house.server("alice")
    cells = [house.run("alice", code) for code in (SESSION, USED, FAILED)]
    assert [cell.ok for cell in cells] == [True, True, False], "\n".join(map(str, cells))
    shown = "\n".join(f"{cell}\n" + "\n".join(cell.traceback) for cell in cells)
    password = house.running.secrets[NAME]["password"]
    assert f"DIGEST {hashlib.sha256(password.encode()).hexdigest()}" in shown
    assert shown.count(f"\n{len(password)}\n") >= 2
    return shown


@pytest.mark.proves("C03", "S02", "S18")
def test_c03_a_session_shows_no_value(house: House, session: str) -> None:
    """List, use, `with`, a program and a failed cell: no output and no traceback holds a value."""
    assert re.search(r"^warehouse/reader +kv, static .*never .*profile small$", session, re.MULTILINE)
    assert "my own mistake" in session
    assert [value for value in _values(house) if value in session] == []


@pytest.mark.proves("C01", "C05", "S02")
def test_c01_no_value_is_in_a_file_or_process_inside(house: House, session: str, control: Control) -> None:
    """After the session no environment, command line or file that alice can read holds her secret."""
    halves = [(value[:8], value[8:]) for value in house.running.secrets[NAME].values() if len(value) > 10]
    seen = house.attack(
        "alice",
        f"""
import glob
needles = [(a + b).encode() for a, b in {halves!r}]
marker = "marker-" + "of-this-test"
open("/tmp/marker", "w").write(marker)

def holding(words, places):
    found = []
    for path in places:
        try:
            with open(path, "rb") as stream:
                if any(word in stream.read(4 << 20) for word in words):
                    found.append(path)
        except OSError:
            pass
    return found

def files():
    for top in ("/run", "/etc", "/tmp", "/dev/shm", os.path.expanduser("~")):
        for place, _, names in os.walk(top):
            yield from filter(os.path.isfile, (os.path.join(place, name) for name in names))

places = [*glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline"), *files()]
attempt("marker", lambda: holding([marker.encode()], places))
attempt("values", lambda: holding(needles, places))
attempt("core", lambda: list(__import__("resource").getrlimit(__import__("resource").RLIMIT_CORE)))
""",
    )
    control("the search finds a file", "/tmp/marker" in seen["marker"]["value"])
    assert seen["values"]["value"] == []
    assert seen["core"]["value"] == [0, 0]


@pytest.mark.proves("C02", "S02")
def test_c02_no_value_is_in_a_process_of_the_host(house: House, session: str, control: Control) -> None:
    """Neither a command line nor an environment on the host, root's eyes included, holds a stored value."""
    words = [spelling for value in _values(house) for spelling in _spellings(value)]
    found, known = [], 0
    for path in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # it ended meanwhile
        known += str(house.running.root).encode() in content
        if any(word in content for word in words):
            found.append(str(path))
    control("the search finds the site's directory", known > 0)
    assert found == []


@pytest.mark.proves("C03", "S02")
def test_c03_no_value_lies_on_disk(house: House, session: str, control: Control) -> None:
    """State, store, logs, audit, databases, bundles and homes hold no stored value, in any spelling."""
    words = {value: _spellings(value) for value in _values(house)}
    found, known = [], 0
    sandbox = house.server("alice").encode()
    for path, content in _files(house.running.root):
        known += sandbox in content
        found += [str(path) for spellings in words.values() if any(word in content for word in spellings)]
    control("the search finds the sandbox's id", known > 0)
    assert found == []
    store = Path(house.site.broker_dir)
    control("the store has the secrets", len(list(store.glob("*.secret"))) == len(house.running.secrets))


@pytest.mark.proves("C05")
def test_c05_the_store_is_the_brokers_alone(house: House) -> None:
    """Directory 0700, files 0600, of the broker's uid, which dumps no core."""
    account = accounts_of(house.site).get("broker")
    store = Path(house.site.broker_dir)
    for path, mode in [(store, 0o700), *((path, 0o600) for path in store.iterdir())]:
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (
            mode,
            account.uid if account else os.geteuid(),
        )
    limits = Path(f"/proc/{house.programs.pid('broker')}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


@pytest.mark.proves("C04", "C08", "S03", "S23")
def test_c04_another_persons_secret_is_refused_and_audited(house: House, control: Control) -> None:
    """Bob's, a group's and any spelling of them: refused, never listed, and written down."""
    house.fresh("alice")
    seen = house.attack(
        "alice",
        ASK
        + """
attempt("own", lambda: ask("/users/alice/token/read", own))
attempt("list", lambda: ask("", own, "GET"))
attempt("bob", lambda: ask("/users/bob/token/read", own))
attempt("group", lambda: ask("/research/model/read", own))
for number, name in enumerate((
    "/users/alice/../bob/token/read", "/users/%2e%2e/bob/token/read", "/users//bob/token/read",
    "/users%2fbob%2ftoken/read", "/users/bob/token%00/read", "/users/Bob/token/read",
)):
    attempt(f"spelling {number}", lambda name=name: ask(name, own))
""",
    )
    answers = {name: json.loads(_as_json(item["value"])) for name, item in seen.items()}
    control("alice reads her own", answers["own"]["status"] == 200)
    listed = json.dumps(answers["list"]["said"])
    assert "users/alice/token" in listed
    assert "bob" not in listed
    assert "research" not in listed
    for name in ("bob", "group"):
        assert (answers[name]["status"], answers[name]["said"]["code"]) == (403, "secret.not_granted")
    for name, answer in answers.items():
        if name.startswith("spelling"):
            assert (answer["status"], answer["said"]["code"]) == (403, "api.not_allowed"), name
    denied = [line["detail"]["secret"] for line in _audit(house, "alice", "secret.denied")]  # type: ignore[index]
    assert {"users/bob/token", "research/model"} <= set(denied)


def _as_json(value: object) -> str:
    return json.dumps(value)


@pytest.mark.proves("C10", "X04", "T20")
def test_c10_a_printed_token_works_at_its_own_door_only(house: House, control: Control) -> None:
    """Alice's token, shown to bob or to the world, reads none of her secrets from there."""
    token = _token(house, "alice")
    own = house.attack("alice", ASK + 'attempt("own", lambda: ask("/users/alice/token/read", own))')
    control("it works at her own door", own["own"]["value"]["status"] == 200)
    house.server("bob")
    stolen = house.attack(
        "bob",
        ASK
        + f"""
attempt("hers by hers", lambda: ask("/users/alice/token/read", "{token}"))
attempt("his by hers", lambda: ask("/users/bob/token/read", "{token}"))
attempt("list by hers", lambda: ask("", "{token}", "GET"))
attempt("without", lambda: ask("/users/bob/token/read", ""))
""",
    )
    codes = {name: (item["value"]["status"], item["value"]["said"]["code"]) for name, item in stolen.items()}
    assert codes == {
        "hers by hers": (403, "identity.mismatch"),
        "his by hers": (403, "identity.mismatch"),
        "list by hers": (403, "identity.mismatch"),
        "without": (401, "identity.missing"),
    }
    lines = [line["code"] for line in _audit(house, "bob", "secret.denied")]
    assert "identity.mismatch" in lines
    answers = house.wait(_from_outside(house, token))
    assert {status for status, _ in answers} <= {401, 403, 404, 405}
    assert not any(value in text for value in _values(house) for _, text in answers)


async def _from_outside(house: House, token: str) -> list[tuple[int, str]]:
    """What the public address answers to whoever has the token."""
    answers = []
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        for method, path in (("GET", ""), ("POST", "/users/alice/token/read")):
            url = f"{house.running.base}services/sandbox/api/secrets{path}"
            async with session.request(method, url, allow_redirects=False) as answer:
                answers.append((answer.status, await answer.text()))
    return answers


@pytest.mark.proves("S33")
def test_a_broker_that_hangs_fails_a_cell_soon_and_recovers(house: House, control: Control) -> None:
    """With a broker that hangs a cell fails in under 15 s with one sentence; then it works again."""
    house.server("alice")
    control("it works before", house.run("alice", USED).ok)
    process = house.programs.pid("broker")
    os.kill(process, signal.SIGSTOP)
    try:
        seen = house.attack(
            "alice",
            'import jupyter_sandbox\nattempt("read", lambda: jupyter_sandbox.secrets("warehouse/reader"))',
        )
        cell = house.run("alice", USED)
    finally:
        os.kill(process, signal.SIGCONT)
    assert seen["read"]["seconds"] < 15
    assert not cell.ok
    assert "The broker of secrets does not answer at the moment (api.broker_away)." in cell.error
    assert "try again in a minute" in cell.error
    assert len(cell.traceback) == 1
    control("it works again", house.run("alice", USED).ok)


@pytest.mark.proves("S08")
def test_a_killed_broker_is_back_with_its_secrets(house: House, control: Control) -> None:
    """After kill -9 nobody has to do anything: the next cell uses the secret."""
    house.server("alice")
    control("it works before", house.run("alice", USED).ok)
    house.wait(house.programs.kill(["broker"]))
    cell = house.run("alice", USED)
    assert cell.ok, cell


def test_refusals_in_a_notebook_say_what_to_do(house: House) -> None:
    """Not granted, not stored and reserved: one sentence each, with whom to ask, and no traceback."""
    house.server("alice")
    for name, words in (
        ("research/model", "grants this server no secret 'research/model'. It grants: "),
        ("never/stored", "jupyter-sandbox-admin secrets put never/stored"),
        ("../x", "is not a secret's name"),
    ):
        cell = house.run("alice", f"%%sandbox secrets use {name}\nprint('ran')")
        assert words in cell.error, cell
        assert (cell.stdout, len(cell.traceback)) == ("", 1)


def test_boto3_is_preset_in_a_real_server(house: House) -> None:
    """A profile that grants keys of kind aws has the configuration, and its command gives the keys."""
    keys = house.running.secrets["storage/lab"]
    house.server("alice")
    code = """
import configparser, hashlib, json, os, shlex, subprocess
found = configparser.ConfigParser()
found.read(os.environ["AWS_CONFIG_FILE"])
words = shlex.split(found["default"]["credential_process"])
document = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
secret = hashlib.sha256(document.pop("SecretAccessKey").encode()).hexdigest()
print(json.dumps({**document, "digest": secret}))
"""
    seen = json.loads(house.run("alice", code).stdout)
    assert (seen["Version"], seen["AccessKeyId"]) == (1, keys["access_key_id"])
    assert seen["digest"] == hashlib.sha256(keys["secret_access_key"].encode()).hexdigest()


@pytest.mark.proves("C06", "C10")
def test_c06_after_the_stop_the_token_reads_nothing(house: House, control: Control) -> None:
    """Bob's sandbox ends: his old token and id, used even by root at the broker's socket, read nothing."""
    sandbox, token = house.server("bob"), _token(house, "bob")

    async def read() -> int:
        connector = aiohttp.UnixConnector(house.site.broker_socket("gateway"))
        headers = {"X-Sandbox-Id": sandbox, "Authorization": f"token {token}"}
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as session,
            session.post("/api/secrets/users/bob/token/read", headers=headers) as answer,
        ):
            return answer.status

    control("it reads while it runs", house.wait(read()) == 200)
    house.stop("bob")
    assert house.wait(read()) in (401, 404)
