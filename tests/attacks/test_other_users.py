"""Can one person reach another's server, doors or processes? Attacks O01, O02, O04 and X05."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import aiohttp
import pytest

from hub_config.demo.kernel import Kernel
from hub_config.demo.visitor import Refusal
from tests.support.house import House

Control = Callable[[str, bool], None]

# Connects as another uid to each unix socket of its standard input: "PATH yes" or "PATH ErrorName".
KNOCK = """
import os, socket, sys
uid = int(sys.argv[1])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
for path in sys.stdin.read().split():
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(3)
        try:
            door.connect(path)
            door.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            print(path, "answered" if door.recv(1) else "closed")
        except OSError as error:
            print(path, type(error).__name__)
"""


def _knock(house: House, uid: int, paths: list[str]) -> dict[str, str]:
    command = house.as_root("/usr/bin/python3", "-c", KNOCK, str(uid))
    run = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in run.stdout.splitlines())  # type: ignore[misc]


@pytest.mark.proves("O01")
def test_o01_a_neighbours_ports_are_out_of_reach(house: House, control: Control) -> None:
    """Alice finds neither bob's server, nor his own web page on 0.0.0.0, nor his kernel's ports."""
    listening = house.attack(
        "bob",
        """
import glob, threading
page = socket.create_server(("0.0.0.0", 0))

def answer():
    while True:
        connection, _ = page.accept()
        with connection:
            connection.sendall(b"bobs page")
threading.Thread(target=answer, daemon=True).start()

def read(address):
    with socket.create_connection(address, 3) as connection:
        return connection.recv(64).decode()

def kernel_ports():
    document = json.load(open(glob.glob("/run/jupyter/kernel-*.json")[0]))
    return [document[name] for name in document if name.endswith("_port")]
attempt("port", lambda: page.getsockname()[1])
attempt("own page", lambda: read(("127.0.0.1", page.getsockname()[1])))
attempt("kernel ports", kernel_ports)
""",
    )
    control("bob reaches his own page", listening["own page"].get("value") == "bobs page")
    ports = [listening["port"]["value"], 8050, *listening["kernel ports"].get("value", [])]
    seen = house.attack(
        "alice",
        f"""
def read(address):
    with socket.create_connection(address, 2) as connection:
        connection.settimeout(1)
        try:
            return connection.recv(64).decode("latin-1")
        except socket.timeout:
            return ""
own = [line.split()[1] for line in open("/proc/net/tcp").read().splitlines()[1:]]
mine = {{int(entry.split(":")[1], 16) for entry in own}}
for port in {ports}:
    for address in ("127.0.0.1", "127.0.0.2", "0.0.0.0"):
        attempt(f"{{address}} {{port}} {{'mine' if port in mine else ''}}", lambda: read((address, port)))
attempt("own server", lambda: socket.create_connection(("127.0.0.1", 8888), 2).close())
""",
    )
    control("alice reaches her own server", seen.pop("own server")["ok"])
    foreign = {name: found for name, found in seen.items() if not name.endswith("mine")}
    assert [name for name, found in foreign.items() if found["ok"]] == []
    assert [name for name, found in seen.items() if "bobs page" in str(found.get("value"))] == []


@pytest.mark.proves("O02")
def test_o02_cookies_and_tokens_do_not_open_another_server(house: House, control: Control) -> None:
    """Alice's cookies, her own hub token and her server's token get 403 on bob's server, WebSocket too."""
    house.server("bob")
    house.server("alice")
    alice = house.visitor("alice")
    page = house.wait(alice.open(alice.server("lab", "bob")))
    assert page.status == 403
    own = house.wait(alice.call("GET", alice.server("api/status")))
    control("alice's cookies open her own server", "kernels" in own)
    tokens = {
        "hub": house.wait(alice.token("o02")),
        "server": house.attack("alice", 'attempt("t", lambda: os.environ["JUPYTERHUB_API_TOKEN"])')["t"][
            "value"
        ],
    }
    bobs_kernel = house.kernel("bob").id
    for kind, token in tokens.items():
        found = house.wait(_with_token(house, token, bobs_kernel))
        control(f"the {kind} token opens her own server", found.pop("own") == 200)
        assert set(found.values()) == {403}, (kind, found)
    foreign = Kernel(alice, owner="bob")
    foreign.id = bobs_kernel
    with pytest.raises((aiohttp.WSServerHandshakeError, Refusal)) as caught:
        house.wait(foreign.connect())
    assert getattr(caught.value, "status", 0) == 403
    mine = Kernel(alice)
    mine.id = house.kernel("alice").id
    socket = house.wait(mine.connect())
    control("the same WebSocket opens on her own server", not socket.closed)

    async def close() -> None:
        await socket.close()

    house.wait(close())


async def _with_token(house: House, token: str, kernel: str) -> dict[str, int]:
    base = house.running.base
    found = {}
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        places = {
            "own": f"{base}user/alice/api/contents",
            "contents": f"{base}user/bob/api/contents",
            "kernels": f"{base}user/bob/api/kernels",
            "in the query": f"{base}user/bob/api/contents?token={token}",
        }
        for name, url in places.items():
            async with session.get(url, allow_redirects=False) as answer:
                found[name] = answer.status
        try:
            socket = await session.ws_connect(f"{base}user/bob/api/kernels/{kernel}/channels")
            await socket.close()
            found["socket"] = 101
        except aiohttp.WSServerHandshakeError as error:
            found["socket"] = error.status
    return found


@pytest.mark.proves("O04")
def test_o04_a_neighbours_sockets_and_processes_do_not_exist(house: House, control: Control) -> None:
    """Bob's doors, the programs' sockets and his processes' roots cannot be named from alice's sandbox."""
    bob = house.server("bob")
    site = house.site
    seen = house.attack(
        "alice",
        f"""
def knock(path):
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(3)
        door.connect(path)
places = ["{site.doors_dir}/{bob}/egress.sock", "{site.doors_dir}/{bob}/ingress.sock",
          "{site.launcher_socket}", "{site.gateway_socket}", "/run/docker.sock", "/var/run/docker.sock",
          "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket"]
attempt("own door", lambda: knock("/run/sandbox/doors/egress.sock"))
for place in places:
    attempt("connect " + place, lambda: knock(place))
    attempt("through dots " + place, lambda: knock("/run/sandbox/doors/../../.." + place))
    attempt("through pid 1 " + place, lambda: knock("/proc/1/root" + place))
for place in ("{site.run_dir}", "{site.doors_dir}", "{site.homes_dir}"):
    attempt("list " + place, lambda: os.listdir(place))
attempt("sockets", lambda: [line.split()[-1] for line in open("/proc/net/unix") if "sb-" in line])
attempt("abstract", lambda: knock("\\0/containerd-shim/moby"))
""",
    )
    control("alice's own door answers", seen.pop("own door")["ok"])
    # The host's end of her own connections is counted to her network namespace, by its path outside.
    named = seen.pop("sockets")["value"]
    assert [line for line in named if house.server("alice") not in line] == []
    assert [name for name, found in seen.items() if found["ok"]] == []


@pytest.mark.proves("X05")
def test_x05_another_local_user_is_refused_at_every_socket(house: House, control: Control) -> None:
    """Neither nobody nor another sandbox's uid gets an answer from the programs' sockets or the doors."""
    bob = house.server("bob")
    house.server("alice")
    site = house.site
    doors = [f"{site.doors_dir}/{bob}/{name}.sock" for name in ("egress", "api", "ingress", "boot")]
    places = [site.launcher_socket, site.gateway_socket, *doors]
    alice = house.ask_launcher(lambda client: client.place("alice")).host_uid
    for uid in (house.stranger, alice):
        assert {p: s for p, s in _knock(house, uid, places).items() if s == "answered"} == {}, uid
    answers = _knock(house, 0, places[:2])
    control("who runs them is answered by the programs", answers == dict.fromkeys(places[:2], "answered"))


@pytest.mark.proves("X05")
def test_x05_the_front_gives_a_local_user_nothing_without_a_login(house: House, control: Control) -> None:
    """The front's loopback port serves no server to a caller without the owner's cookie or token."""
    house.server("alice")
    token = str(
        house.attack("alice", 'attempt("t", lambda: os.environ["JUPYTERHUB_API_TOKEN"])')["t"]["value"]
    )

    async def ask() -> dict[str, int]:
        found = {}
        url = f"{house.site.front_url}{house.site.base_url}user/alice/api/contents"
        async with aiohttp.ClientSession() as session:
            for name, headers in (
                ("bare", {}),
                ("wrong token", {"Authorization": "token wrong"}),
                ("claimed user", {"X-Forwarded-User": "alice", "X-Sandbox-User": "alice"}),
                ("own token", {"Authorization": f"token {token}"}),
            ):
                async with session.get(url, headers=headers, allow_redirects=False) as answer:
                    found[name] = answer.status
        return found

    found = house.wait(ask())
    control("the owner's token is served", found.pop("own token") == 200)
    assert set(found.values()) <= {302, 401, 403}, found
