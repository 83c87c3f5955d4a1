"""Which ways out of a page does the response policy close, seen in a browser? X01, row by row.

Law: each row is the same page of the same server twice. By the gateway the browser names the directive that
refused it; without the gateway the foreign host hears of it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.browser.sink import Sink
from tests.browser.two_ways import PREFIX, TwoWays, two_ways

Control = Callable[[str, bool], None]

# What a script does with `url`; `add` puts an element into the page.
EXITS = {
    "an image": ("img-src", "new Image().src = url"),
    "a background": ("img-src", "document.body.style.backgroundImage = `url(${url})`"),
    "a fetch": ("connect-src", "fetch(url).catch(() => null)"),
    "a beacon": ("connect-src", "navigator.sendBeacon(url, 'x')"),
    "a ping": ("connect-src", "add('a', {ping: url, href: '#here'}).click()"),
    "an event source": ("connect-src", "new EventSource(url)"),
    "a websocket": ("connect-src", "new WebSocket(url.replace('http', 'ws'))"),
    "a script": ("script-src-elem", "add('script', {src: url})"),
    "a module": ("script-src-elem", "import(url).catch(() => null)"),
    "a style": ("style-src-elem", "add('link', {rel: 'stylesheet', href: url})"),
    "an import of a style": ("style-src-elem", "add('style', {textContent: `@import '${url}'`})"),
    "a font": ("font-src", "new FontFace('x', `url(${url})`).load().catch(() => null)"),
    "a sound": ("media-src", "add('audio', {src: url})"),
    "an object": ("object-src", "add('object', {data: url})"),
    "a frame": ("frame-src", "add('iframe', {src: url})"),
    "a frame that moves on": (
        "frame-src",
        "add('iframe', {srcdoc: `<meta http-equiv='refresh' content='0;url=${url}'>`})",
    ),
    "a picture in a frame of its own": ("img-src", "add('iframe', {srcdoc: tell + `<img src='${url}'>`})"),
    "a picture in a data frame": (
        "img-src",
        "add('iframe', {src: 'data:text/html,' + encodeURIComponent(tell + `<img src='${url}'>`)})",
    ),
    "a picture in a blob frame": (
        "img-src",
        "add('iframe', {src: URL.createObjectURL("
        "new Blob([tell + `<img src='${url}'>`], {type: 'text/html'}))})",
    ),
    "a fetch of a worker": (
        "connect-src",
        "new Worker(URL.createObjectURL(new Blob([`addEventListener('securitypolicyviolation', (event) =>"
        " postMessage(event.effectiveDirective)); fetch('${url}').catch(() => null)`])))"
        ".onmessage = (event) => postMessage(event.data)",
    ),
    "a prefetch": ("default-src", "add('link', {rel: 'prefetch', href: url})"),
    "a preload": ("img-src", "add('link', {rel: 'preload', as: 'image', href: url})"),
    "a form": (
        "form-action",
        "add('iframe', {name: 'there'});"
        " add('form', {method: 'POST', action: url, target: 'there'}).submit()",
    ),
    "a base": (
        "base-uri",
        "add('base', {href: new URL('/', url).href}); new Image().src = new URL(url).pathname.slice(1)",
    ),
}
# Ends with the directive that the browser says refused it, here or in a frame, or with "nothing".
TRY = """({code, url}) => new Promise((done) => {
  const add = (name, more) => document.body.appendChild(Object.assign(document.createElement(name), more));
  const tell = '<script>addEventListener("securitypolicyviolation",'
    + ' (event) => parent.postMessage(event.effectiveDirective, "*"))</' + 'script>';
  addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective), {once: true});
  addEventListener('message', (event) => done(event.data), {once: true});
  setTimeout(() => done('nothing'), 5000);
  new Function('url', 'add', 'tell', code)(url, add, tell);
})"""


@pytest.fixture(scope="module")
def ways() -> Iterator[TwoWays]:
    """A hostile server with and without the gateway before it."""
    with two_ways() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a new browser context."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.mark.proves("X01")
@pytest.mark.parametrize("name", EXITS)
def test_x01_a_page_has_no_such_way_out(
    ways: TwoWays, page: Page, sink: Sink, control: Control, name: str
) -> None:
    """The browser refuses it by the directive that is named, and the foreign host hears nothing."""
    directive, code = EXITS[name]
    page.goto(ways.ours + PREFIX)
    assert page.evaluate(TRY, {"code": code, "url": sink.url("ours")}) == directive
    page.goto(ways.free + PREFIX)
    page.evaluate(f"(given) => void ({TRY})(given)", {"code": code, "url": sink.url("free")})
    control("without the gateway it gets out", sink.hears("free"))
    assert "ours" not in sink.heard


# Registers a worker; ends with the scope that it controls, or with the error that the browser throws.
REGISTER = """async ({script, scope}) => {
  try {
    const made = await navigator.serviceWorker.register(script, {scope});
    const worker = made.installing || made.waiting || made.active;
    while (worker.state !== 'activated') {
      await new Promise((done) => worker.addEventListener('statechange', done, {once: true}));
    }
    return new URL(made.scope).pathname;
  } catch (error) {
    return error.name;
  }
}"""


def register(page: Page, origin: str, scope: str, sink: Sink, tell: str) -> str:
    """What a page of this origin gets that registers a worker which tells the foreign host of itself."""
    page.goto(origin + PREFIX)
    script = f"{PREFIX}worker.js?{urlencode({'tell': sink.url(tell)})}"
    found: str = page.evaluate(REGISTER, {"script": script, "scope": scope})
    return found


@pytest.mark.proves("X01")
def test_x01_a_service_worker_stays_below_its_server(
    ways: TwoWays, page: Page, sink: Sink, control: Control
) -> None:
    """One for the whole origin, hub included, is refused although its server allows it."""
    control("without the gateway it gets it", register(page, ways.free, "/", sink, "free") == "/")
    page.goto(f"{ways.free}/hub/login")
    control("it stands before the hub", page.evaluate("() => !!navigator.serviceWorker.controller"))
    assert register(page, ways.ours, "/", sink, "ours") == "SecurityError"


@pytest.mark.proves("X01")
def test_x01_a_service_worker_sends_nothing_elsewhere(
    ways: TwoWays, page: Page, sink: Sink, control: Control
) -> None:
    """One of the server's own pages runs, under the policy that its script came with."""
    assert register(page, ways.ours, PREFIX, sink, "ours") == PREFIX
    assert register(page, ways.free, PREFIX, sink, "free") == PREFIX
    control("without the gateway it tells", sink.hears("free"))
    assert "ours" not in sink.heard


# Calls a port of a foreign host and asks it for a way besides; ends once the browser gives up, or in 10 s.
CALL = """async (port) => {
  const call = new RTCPeerConnection({iceServers: [{urls: `stun:127.0.0.1:${port}`}]});
  const answers = new RTCPeerConnection();
  call.createDataChannel('x');
  const given_up = new Promise((done) => call.addEventListener('iceconnectionstatechange',
    () => call.iceConnectionState === 'failed' && done('failed')));
  await call.setLocalDescription(await call.createOffer());
  await answers.setRemoteDescription(call.localDescription);
  await call.setRemoteDescription(await answers.createAnswer());
  const there = `candidate:1 1 udp 2113937151 127.0.0.1 ${port} typ host`;
  await call.addIceCandidate({candidate: there, sdpMid: '0'});
  const late = new Promise((done) => setTimeout(() => done('still calling'), 10000));
  return await Promise.race([given_up, late]);
}"""


@pytest.mark.proves("X01")
def test_x01_a_call_finds_no_way(ways: TwoWays, page: Page, control: Control) -> None:
    """WebRTC, which no content security policy stops, sends no datagram: neither to a peer nor for advice."""
    with datagrams() as ours, datagrams() as free:
        page.goto(ways.ours + PREFIX)
        assert page.evaluate(CALL, ours.getsockname()[1]) == "failed"
        page.goto(ways.free + PREFIX)
        page.evaluate(f"(port) => void ({CALL})(port)", free.getsockname()[1])
        control("without the gateway it asks", bool(free.recv(2000)))
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(2000)


# Puts a frame with a document of the page's own into it, and waits until it is there.
OWN_FRAME = """() => new Promise((done) => {
  const frame = document.createElement('iframe');
  frame.onload = () => done();
  frame.src = URL.createObjectURL(new Blob(['<p>hers'], {type: 'text/html'}));
  document.body.appendChild(frame);
})"""


@pytest.mark.proves("X01")
def test_x01_a_call_of_a_frame_finds_no_way(ways: TwoWays, browser: Browser, control: Control) -> None:
    """Neither does one of a frame that the page made itself; Chromium mostly ends the whole page for it."""
    with datagrams() as ours, datagrams() as free, browser.new_context() as context:
        for origin, port in ((ways.ours, ours), (ways.free, free)):
            page = context.new_page()
            page.goto(origin + PREFIX)
            page.evaluate(OWN_FRAME)
            begin = f"(port) => void ({CALL})(port)" if port is free else CALL
            with suppress(Error):  # "Target crashed"
                page.frames[-1].evaluate(begin, port.getsockname()[1])
        control("without the gateway it asks", bool(free.recv(2000)))
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(2000)


@contextmanager
def datagrams() -> Iterator[socket.socket]:
    """A port of a foreign host for datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        port.settimeout(10)
        yield port


# Puts a frame into the page and waits until it has loaded something.
FRAME = """(src) => new Promise((done) => {
  const frame = document.createElement('iframe');
  Object.assign(frame, {src, onload: () => done()});
  document.body.appendChild(frame);
})"""


def framed(page: Page, top: str, inner: str) -> str:
    """What is in a frame of `top` that asked for `inner`: its address, or that of the browser's own error."""
    page.goto(top)
    page.evaluate(FRAME, inner)
    (found,) = page.main_frame.child_frames
    return found.url


@pytest.mark.proves("O07")
def test_o07_no_other_origin_frames_a_servers_page(
    ways: TwoWays, page: Page, sink: Sink, control: Control
) -> None:
    """A page of hers can be laid under nobody's clicks: its own origin alone frames it."""
    foreign, free, ours = sink.url("x.html"), f"{ways.free}{PREFIX}page", f"{ways.ours}{PREFIX}page"
    control("another origin frames it without the gateway", framed(page, foreign, free) == free)
    control("its own origin frames it", framed(page, ours, ours) == ours)
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        assert framed(page, foreign, ours) != ours


def cookies(page: Page, origin: str) -> dict[str, str]:
    """Cookies that the browser keeps of the server's answer: name to path."""
    page.context.clear_cookies()
    page.goto(f"{origin}{PREFIX}deep/cookies")
    return {cookie["name"]: cookie["path"] for cookie in page.context.cookies()}


@pytest.mark.proves("O07")
def test_o07_a_servers_cookies_go_to_no_other_place(ways: TwoWays, page: Page, control: Control) -> None:
    """On a shared host the browser keeps none for the hub or for all; the server's own keep its prefix."""
    free = cookies(page, ways.free)
    control("without the gateway it keeps all", {"wide": "/", "hubs": "/hub/"}.items() <= free.items())
    control("one without a path goes to its folder", free["plain"] == f"{PREFIX}deep")
    assert cookies(page, ways.ours) == {"own": PREFIX, "plain": PREFIX}
