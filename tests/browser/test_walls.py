"""What can a page of one person's server do in another's browser, and where can it send? O07, X01, X03.

A script on alice's origin in an admin's browser stands for whatever she may have put on her page: the admin
is the one whom the hub lets visit her.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import People
from tests.browser.sink import Sink

Control = Callable[[str, bool], None]

# Runs in the page; what an attempt gives, or the error that the browser throws.
ATTEMPT = """async ({kind, url}) => {
  const later = (ms) => new Promise((done) => setTimeout(() => done('nothing'), ms));
  const told = (thing, good, word) => Promise.race([later(3000), new Promise((done) => {
    thing[good] = () => done(word);
    thing.onerror = () => done('error');
  })]);
  try {
    if (kind === 'fetch' || kind === 'post') {
      const cookie = /_xsrf=([^;]+)/.exec(document.cookie);
      const token = window.jhdata ? window.jhdata.xsrf_token : cookie ? cookie[1] : '';
      const headers = token ? {'X-XSRFToken': token} : {};
      const method = kind === 'post' ? 'POST' : 'GET';
      const answer = await fetch(url, {credentials: 'include', method, headers});
      return `${answer.status} ${(await answer.text()).slice(0, 200)}`;
    }
    if (kind === 'image') {
      const image = new Image();
      image.src = url;
      return await told(image, 'onload', 'loaded');
    }
    if (kind === 'socket') {
      const socket = new WebSocket(url);
      return await told(socket, 'onopen', 'open');
    }
    if (kind === 'frame') {
      const frame = document.createElement('iframe');
      frame.src = url;
      const refused = new Promise((done) => addEventListener('securitypolicyviolation',
        (event) => done(`refused by ${event.effectiveDirective}`), {once: true}));
      const loaded = new Promise((done) => { frame.onload = done; });
      document.body.append(frame);
      return await Promise.race([refused, loaded.then(() => later(1000)).then(() => {
        const inside = frame.contentDocument;
        return inside ? 'readable: ' + inside.body.innerText.slice(0, 80) : 'closed';
      })]);
    }
    if (kind === 'form') {
      const form = document.createElement('form');
      Object.assign(form, {method: 'POST', action: url, target: 'other'});
      document.body.append(form);
      form.submit();
      return await later(2000);
    }
    const opened = window.open(url);
    // Until its page is there; another origin's throws as soon as it has begun.
    for (let n = 0; n < 75; n++) {
      await later(200);
      if (opened.location.href !== 'about:blank' && opened.document.body) break;
    }
    return 'readable: ' + opened.document.body.innerText.slice(0, 80);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}"""


# How a browser says no to each; a fetch that the policy stops and one that fails look the same to the page.
REFUSED = {
    "fetch": "TypeError: Failed to fetch",
    "post": "TypeError: Failed to fetch",
    "socket": "error",
    "frame": "refused by frame-src",
    "window": "SecurityError",
}


def attempt(page: Page, kind: str, url: str) -> str:
    """What one attempt of a script on this page gave."""
    found: str = page.evaluate(ATTEMPT, {"kind": kind, "url": url})
    return found


@pytest.fixture(scope="module")
def hostile(people: People) -> Iterator[Page]:
    """Alice's page in the admin's browser; bob is logged in elsewhere and has a server."""
    with people.at_the_hub("alice") as (_, alice), people.at_the_hub("bob") as (_, bob):
        people.start(alice, "alice")
        people.start(bob, "bob")
        with people.at_the_hub("admin") as (_, page):
            page.goto(people.url("/user/alice/lab", "alice"))
            if "/oauth2/authorize" in page.url:  # the hub asks whether her server may know who is visiting
                page.click("[type=submit]")
            page.wait_for_url("**/user/alice/lab**")
            yield page


def reads_its_own(people: People, hostile: Page, control: Control) -> None:
    """What a script on her page reads by the same means: her own server, and a frame that it made itself.

    (Servers let no page frame theirs, not even their own: JupyterHub says so in a policy beside ours.)
    """
    own = people.url("/user/alice/lab", "alice")
    made = hostile.evaluate("() => URL.createObjectURL(new Blob(['hers'], {type: 'text/html'}))")
    for kind, url, sign in (
        ("fetch", own, "200"),
        ("window", own, "readable"),
        ("frame", made, "readable: hers"),
    ):
        found = attempt(hostile, kind, url)
        control(f"her page reads by {kind}: {found[:30]}", found.startswith(sign))


@pytest.mark.proves("O07", "X03")
def test_o07_her_page_cannot_use_the_hub_in_a_visitors_name(
    people: People, hostile: Page, control: Control
) -> None:
    """With an admin's cookies at hand it reads nothing at the hub, changes nothing, and frames nothing."""
    with people.at_the_hub("admin") as (_, own):
        own.goto(people.url("/hub/home"))
        control(
            "the hub's own page reads it",
            attempt(own, "fetch", people.url("/hub/api/users")).startswith("200"),
        )
    reads_its_own(people, hostile, control)
    for kind, path in (
        ("fetch", "/hub/api/users"),
        ("fetch", "/hub/home"),
        ("post", "/hub/api/users/bob/tokens"),
        ("post", "/hub/api/shutdown"),
        ("frame", "/hub/home"),
        ("window", "/hub/home"),
    ):
        found = attempt(hostile, kind, people.url(path))
        assert "bob" not in found, (kind, path, found)
        assert found.startswith(REFUSED[kind]), (kind, path, found)
    attempt(hostile, "form", people.url("/hub/api/users/mallory"))
    with people.at_the_hub("admin") as (_, own):
        own.goto(people.url("/hub/home"))
        assert "mallory" not in attempt(own, "fetch", people.url("/hub/api/users"))


@pytest.mark.proves("O07")
def test_o07_her_page_cannot_use_anothers_server(people: People, hostile: Page, control: Control) -> None:
    """It reads, writes and opens nothing at bob's server, whom its visitor may visit as well."""
    with people.at_the_hub("bob") as (_, own):
        own.goto(people.url("/user/bob/lab", "bob"))
        url = people.url("/user/bob/api/contents", "bob")
        found = attempt(own, "fetch", url)
        control(f"his own page reads it: {found}", found.startswith("200"))
    reads_its_own(people, hostile, control)
    for kind, url in (
        ("fetch", people.url("/user/bob/api/contents", "bob")),
        ("post", people.url("/user/bob/api/kernels", "bob")),
        ("frame", people.url("/user/bob/lab", "bob")),
        ("window", people.url("/user/bob/lab", "bob")),
        ("socket", people.url("/user/bob/api/kernels/x/channels", "bob").replace("http", "ws", 1)),
    ):
        found = attempt(hostile, kind, url)
        assert found.startswith(REFUSED[kind]), (kind, found)


@pytest.mark.proves("X01")
def test_x01_a_page_sends_nothing_elsewhere(
    people: People, hostile: Page, sink: Sink, control: Control
) -> None:
    """Image, fetch, WebSocket, frame and form reach no foreign host (more in test_exits)."""
    schemes = {"image": "http", "fetch": "http", "socket": "ws", "frame": "http", "form": "http"}
    with people.browser.new_context() as context:
        free = context.new_page()
        free.goto(people.url("/hub/login"))
        free.set_content("<body></body>")
        found = {kind: attempt(free, kind, sink.url(kind, scheme)) for kind, scheme in schemes.items()}
        control(f"a page without a policy loads it: {found}", found["image"] == "loaded")
        for kind in schemes:
            control(f"a page without a policy sends it: {kind}", kind in sink.heard)
    sink.heard.clear()
    for kind, scheme in schemes.items():
        attempt(hostile, kind, sink.url(kind, scheme))
    assert sink.heard == []
