"""Does the broken way to Vault break as it says, and heal?"""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.faulty_proxy import FaultyProxy, faulty_proxy

LONG = b"x" * 3000
Control = Callable[[str, bool], None]


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers with what it got; `/chunked` in chunks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Echo the body."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The address of a small real server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: str) -> Iterator[FaultyProxy]:
    """A proxy in front of it."""
    with faulty_proxy(upstream) as proxy:
        yield proxy


def ask(address: str, path: str = "/", body: bytes = b"hello", timeout: float = 5) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.request("POST", path, body, {"X-Vault-Token": "t"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/chunked"])
def test_what_passes_is_unchanged(proxy: FaultyProxy, path: str) -> None:
    """A body goes there and back whole, with a length and in chunks."""
    assert ask(proxy.address, path, LONG) == (200, LONG)
    assert (proxy.connections, proxy.requests[0].path, proxy.token_seen) == (1, path, True)


def test_a_connection_serves_many_requests(proxy: FaultyProxy) -> None:
    """A client that keeps its connection is counted once."""
    place = urlsplit(proxy.address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
    for _ in range(3):
        connection.request("POST", "/", b"hello")
        assert connection.getresponse().read() == b"hello"
    connection.close()
    assert (proxy.connections, len(proxy.requests), proxy.token_seen) == (1, 3, False)


def test_a_hanging_request_gets_no_answer(proxy: FaultyProxy, control: Control) -> None:
    """Nothing comes until the client gives up."""
    control("it answers before", ask(proxy.address)[0] == 200)
    proxy.hang()
    with pytest.raises(TimeoutError):
        ask(proxy.address, timeout=0.3)
    proxy.pass_on()
    control("and again after", ask(proxy.address)[0] == 200)


def test_who_hangs_is_reset_when_the_way_heals(proxy: FaultyProxy) -> None:
    """A switch ends those who wait, so that no test waits for them."""
    proxy.hang()
    place = urlsplit(proxy.address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
    connection.request("POST", "/", b"hello")
    while not proxy.requests:
        threading.Event().wait(0.01)
    proxy.pass_on()
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_a_reset_is_a_reset(proxy: FaultyProxy, control: Control) -> None:
    """The client's own system says so."""
    control("it answers before", ask(proxy.address)[0] == 200)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        ask(proxy.address)


def test_a_cut_answer_ends_in_the_middle(proxy: FaultyProxy) -> None:
    """The head and half of the body arrive, then a reset."""
    proxy.cut()
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        ask(proxy.address, body=LONG)


def test_nobody_listens_where_it_refuses(proxy: FaultyProxy, control: Control) -> None:
    """The port is closed for a while, and the same afterwards."""
    address = proxy.address
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(address)
    proxy.pass_on()
    control("it answers at the same address", ask(address)[0] == 200 and proxy.address == address)


def test_a_drip_never_stops_and_never_ends(proxy: FaultyProxy, control: Control) -> None:
    """Bytes arrive, one at a time, so that only a limit over the whole answer helps the client."""
    proxy.drip(0.05)
    place = urlsplit(proxy.address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=1)
    connection.request("POST", "/", LONG)
    assert connection.sock is not None
    received = [connection.sock.recv(1) for _ in range(10)]
    control("bytes do arrive", b"".join(received) == b"HTTP/1.1 2")
    connection.close()


@pytest.mark.parametrize("status", [429, 473, 502, 503])
def test_a_given_status_is_answered(proxy: FaultyProxy, status: int) -> None:
    """The client gets that status, and the server behind hears nothing."""
    proxy.answer(status, {"Retry-After": "7"}, '{"errors":["slow down"]}')
    assert ask(proxy.address) == (status, b'{"errors":["slow down"]}')


def test_malformed_json_is_a_200(proxy: FaultyProxy) -> None:
    """The answer says that all is well and its body breaks off."""
    proxy.malformed()
    status, body = ask(proxy.address)
    assert (status, body[-1:]) == (200, b" ")


def test_a_redirect_names_the_other_host(proxy: FaultyProxy, upstream: str, control: Control) -> None:
    """The target notes whether a token came with the request."""
    with faulty_proxy(upstream, host="127.0.0.2") as target:
        proxy.redirect(target.address)
        place = urlsplit(proxy.address)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
        connection.request("POST", "/v1/sys/health", b"", {"X-Vault-Token": "t"})
        answer = connection.getresponse()
        connection.close()
        assert (answer.status, answer.headers["Location"]) == (307, f"{target.address}/v1/sys/health")
        assert (target.connections, target.token_seen) == (0, False)
        ask(target.address)
        control("a token that does come is noted", target.token_seen)
