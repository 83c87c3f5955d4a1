"""Is a request sent with the secret to the granted host alone, while the sandbox never sees it?"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import pytest
import pytest_asyncio
from aiohttp import web

from jupyter_sandbox_spawner.rules.scrub import forms_of
from tests.programs.proxy_street import SECRET, TOKEN, ProxyStreet, basic, proxy_street
from tests.programs.test_gateway_api import request

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[ProxyStreet]:
    """One street for all tests here."""
    async with proxy_street() as found:
        yield found


@pytest.fixture
def street(shared: ProxyStreet) -> ProxyStreet:
    """Carol's door and the host, which has seen nothing yet."""
    shared.host.forget()
    shared.other.forget()
    return shared


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("git/main", "Authorization", basic(SECRET, "robot")),
        ("api/header", "X-Api-Key", SECRET),
        ("api/bearer", "Authorization", f"Bearer {SECRET}"),
    ],
)
@pytest.mark.parametrize("shown", [f"token {TOKEN}", f"Bearer {TOKEN}", basic(TOKEN)])
async def test_the_host_gets_the_secret_and_not_the_token(
    street: ProxyStreet, name: str, header: str, value: str, shown: str
) -> None:
    """The credential comes in the one header of its grant; who asks is said to nobody outside."""
    status, body, headers = await street.ask("GET a/b?c=d%20e", name, headers={"Authorization": shown})
    assert (status, body) == (200, b"hello")
    assert headers["X-Sandbox-Upstream"] == "git.example.org"
    (seen,) = street.host.seen
    assert (seen.method, seen.raw_path, seen.headers["Host"]) == ("GET", "/a/b?c=d%20e", "git.example.org")
    assert seen.headers.getall(header) == [value]
    assert not any(TOKEN in text for text in seen.headers.values())


async def test_no_header_of_the_sandbox_poses_as_another(street: ProxyStreet, control: Control) -> None:
    """What shows the sandbox, this machine or a part of an answer stays here; the rest passes as it is."""
    forged = {
        "Cookie": "a=b",
        "X-Sandbox-Id": "sb-" + "b" * 20,
        "X-Forwarded-For": "10.0.0.1",
        "Proxy-Authorization": basic("x"),
        "X_Api_Key": "forged",
        "X-Api-Key": "forged",
        "Range": "bytes=0-3",
        "Referer": "http://127.0.0.1:8081/user/carol/",
        "Accept-Encoding": "gzip",
        "X-Custom": "kept",
    }
    status, _, _ = await street.ask("GET a", "api/header", headers=forged)
    (seen,) = street.host.seen
    assert status == 200
    assert seen.headers.getall("X-Api-Key") == [SECRET]
    assert seen.headers["Accept-Encoding"] == "identity"
    gone = set(forged) - {"X-Api-Key", "Accept-Encoding", "X-Custom"}
    assert gone & {name.title() if name != "X_Api_Key" else name for name in seen.headers} == set()
    control("an ordinary header passes", seen.headers["X-Custom"] == "kept")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_usual_verb_passes_with_its_body(street: ProxyStreet, method: str) -> None:
    """The host sees the verb, and the body where there is one."""
    body = b"" if method in ("GET", "HEAD") else b"payload"
    status, got, _ = await street.ask(f"{method} x", data=body or None)
    assert (status, got) == (200, b"" if method == "HEAD" else b"hello")
    assert street.host.paths == [f"{method} /x"]
    assert street.host.bodies == [body]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET {p}a/../b", 400),
        ("GET {p}..", 400),
        ("GET {p}%2e%2e/b", 400),
        ("GET {p}a/%2E./b", 400),
        ("GET {p}%252e%252e/b", 400),
        ("GET {p}a/..;x/b", 400),
        ("GET {p}a//b", 400),
        ("GET {p}/other.example.org/", 400),
        ("GET {p}a%2fb", 400),
        ("GET {p}a%5cb", 400),
        ("GET {p}a\\b", 400),
        ("GET {p}a%00b", 400),
        ("GET {p}a%0d%0aX-Evil:%201", 400),
        ("GET {p}a%zz", 400),
        ("GET {p}a#b", 400),
        ("GET {p}" + "a" * 6200, 400),
        ("GET http://other.example.org{p}a", 403),
        ("GET https://git.example.org/a", 403),
        ("GET //other.example.org{p}a", 403),
        ("CONNECT other.example.org:443", 403),
        ("TRACE {p}a", 403),
        ("GET /services/sandbox/api/secrets/git/main/proxy", 403),
        ("GET /services/sandbox/api/secrets/Git/main/proxy/a", 403),
        ("GET /services/sandbox/api/secrets/git/../git/main/proxy/a", 403),
    ],
)
async def test_no_spelling_leads_elsewhere(
    street: ProxyStreet, line: str, status: int, control: Control
) -> None:
    """Another host, another path or a second request is asked for by no spelling; nothing is sent at all."""
    prefix = "/services/sandbox/api/secrets/git/main/proxy/"
    got = await street.raw(request(line.replace("{p}", prefix), f"Authorization: token {TOKEN}"))
    assert got.startswith(f"HTTP/1.1 {status} ".encode()), got[:200]
    assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] in ("secret.path_invalid", "api.not_allowed")
    assert street.host.seen == street.other.seen == []
    twin = await street.raw(request(f"GET {prefix}a/b", f"Authorization: token {TOKEN}"))
    control("a plain path passes", twin.startswith(b"HTTP/1.1 200 ") and street.host.paths == ["GET /a/b"])


@pytest.mark.parametrize(
    "path", ["@other.example.org/x", ":443/x", "a@b:c/d", "%40x/%3fy", "a;b=c/d", "a?u=//x/../y"]
)
async def test_a_path_is_a_path_whatever_it_looks_like(street: ProxyStreet, path: str) -> None:
    """Bytes that are something else in front of a path go to the granted host byte for byte."""
    prefix = "/services/sandbox/api/secrets/git/main/proxy/"
    head = (f"Authorization: token {TOKEN}", "X-Forwarded-Host: other.example.org")
    await street.raw(request(f"GET {prefix}{path}", *head).replace(b"127.0.0.1:8081", b"other.example.org"))
    assert street.host.paths == [f"GET /{path}"]
    assert street.host.seen[0].headers["Host"] == "git.example.org"
    assert street.other.seen == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(street: ProxyStreet, status: int, control: Control) -> None:
    """One to another host is a 502, and that host hears nothing; one to the same host leads back here."""

    async def away(request: web.Request) -> web.Response:
        to = f"https://127.0.0.1:{street.other.port}/x" if "away" in request.path else "/login?next=%2fa"
        return web.Response(status=status, headers={"Location": to})

    street.host.answer = away
    got, body, headers = await street.ask("GET away")
    assert (got, json.loads(body)["code"]) == (502, "secret.redirected_away")
    assert "Location" not in headers
    assert street.other.seen == []
    got, _, headers = await street.ask("GET home/")
    inside = headers["Location"] == "/services/sandbox/api/secrets/git/main/proxy/login?next=%2fa"
    control("a redirect on the host is passed on", got == status and inside)
    assert len(street.host.seen) == 2


async def test_a_value_never_comes_back(street: ProxyStreet, control: Control) -> None:
    """A host that echoes it in a header, whole, in pieces, escaped or encoded sends asterisks."""
    for form in (*forms_of(SECRET), base64.b64encode(f"robot:{SECRET}".encode())):

        async def echo(request: web.Request, form: bytes = form) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"X-Echo": SECRET})
            await answer.prepare(request)
            text = b"before " + form + b" after"
            for at in range(0, len(text), 3):
                await answer.write(text[at : at + 3])
            await answer.write_eof()
            return answer

        street.host.answer = echo
        status, body, headers = await street.ask("GET echo")
        assert (status, headers["X-Echo"]) == (200, "*" * len(SECRET))
        assert body.startswith(b"before ")
        assert body.endswith(b" after")
        assert form not in body
        control("the length stays", len(body) == len(form) + 13)


@pytest.mark.parametrize("where", ["header", "status line", "redirect"])
async def test_a_value_in_the_head_does_not_come_back(street: ProxyStreet, where: str) -> None:
    """Neither a header's value, nor the sentence of a status line, nor the way of a redirect holds it."""

    async def echo(request: web.Request) -> web.Response:
        shown = request.headers["Authorization"]
        named = {"X-Seen": f"you sent {shown}", "ETag": '"' + SECRET + '"'}
        if where == "redirect":
            named["Location"] = f"/seen?x={quote(SECRET)}&y={SECRET}"
        return web.Response(headers=named, reason=SECRET if where == "status line" else None)

    street.host.answer = echo
    got = await street.raw(
        request("GET /services/sandbox/api/secrets/git/main/proxy/a", f"Authorization: token {TOKEN}")
    )
    assert got.startswith(b"HTTP/1.1 200 ")
    assert SECRET.encode() not in got
    assert quote(SECRET).encode() not in got
    assert base64.b64encode(f"robot:{SECRET}".encode()) not in got
    assert b"you sent Basic " in got


async def test_bytes_that_hold_no_value_pass_unharmed(street: ProxyStreet) -> None:
    """A megabyte of any bytes is the same on both sides, in both directions."""
    blob = random.Random(8).randbytes(1 << 20)

    async def give(request: web.Request) -> web.Response:
        return web.Response(body=street.host.bodies[-1])

    street.host.answer = give
    status, body, headers = await street.ask("POST pack", data=blob)
    assert status == 200
    assert hashlib.sha256(body).digest() == hashlib.sha256(blob).digest()
    assert headers["Content-Length"] == str(len(blob))


async def test_what_a_host_says_of_its_origin_stays_there(street: ProxyStreet) -> None:
    """No cookie, no lasting rule for the origin and no statement of ours comes in from a host."""
    bad = {
        "Set-Cookie": "a=b",
        "Strict-Transport-Security": "max-age=9",
        "Alt-Svc": 'h3=":443"',
        "Clear-Site-Data": '"*"',
        "X-Sandbox-Deny": "egress.capped",
        "Proxy-Authenticate": "Basic",
        "Refresh": "0; url=https://other.example.org",
    }

    async def say(request: web.Request) -> web.Response:
        return web.Response(headers={**bad, "X-Kept": "1", "Cache-Control": "public, max-age=99"})

    street.host.answer = say
    _, _, headers = await street.ask("GET a")
    assert set(bad) & set(headers) == set()
    assert (headers["X-Kept"], headers["Cache-Control"]) == ("1", "no-store")


@pytest.mark.parametrize("status", [401, 407])
async def test_a_refused_credential_asks_nobody_for_a_password(street: ProxyStreet, status: int) -> None:
    """The host's 401 is a 403 of ours that says whose fault it is, so no client asks its user."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"WWW-Authenticate": 'Basic realm="x"'})

    street.host.answer = refuse
    got, body, headers = await street.ask("GET a")
    assert (got, json.loads(body)["code"]) == (403, "secret.refused_by_host")
    assert "WWW-Authenticate" not in headers


async def test_the_hosts_403_is_told_from_ours(street: ProxyStreet) -> None:
    """The host's own has its name and its text, ours a code."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403, text="rate limit")

    street.host.answer = refuse
    status, body, headers = await street.ask("GET a")
    assert (status, body, headers["X-Sandbox-Upstream"]) == (403, b"rate limit", "git.example.org")
    status, _, headers = await street.ask("GET a", "other/secret")
    assert (status, headers["X-Sandbox-Deny"]) == (403, "secret.not_granted")
    assert "X-Sandbox-Upstream" not in headers


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "identity.missing"), ("stolen", "identity.unknown"), ("bob/", "identity.mismatch")],
)
@pytest.mark.proves("C08", "S03", "S04")
async def test_only_the_servers_own_token_counts(
    street: ProxyStreet, token: str, code: str, control: Control
) -> None:
    """Without it nothing is sent; where it is missing a client is asked for it as git and pip understand."""
    status, body, headers = await street.ask("GET a", token=token)
    assert json.loads(body)["code"] == code
    assert headers.get("WWW-Authenticate", "").startswith("Basic realm=") == (status == 401)
    assert street.host.seen == []
    control("its own token passes", (await street.ask("GET a"))[0] == 200)


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("other/secret", 403, "secret.not_granted"),
        ("kv/plain", 403, "secret.no_host"),
        ("api/unstored", 404, "secret.missing"),
        ("api/short", 409, "secret.unsendable"),
        ("api/away", 502, "secret.host_unreachable"),
        ("api/wrong", 502, "secret.host_untrusted"),
        ("api/private", 403, "secret.host_private"),
    ],
)
async def test_each_fault_has_its_own_words(
    street: ProxyStreet, name: str, status: int, code: str, control: Control
) -> None:
    """What cannot be sent says why and what to do; nothing of it reached a host."""
    got, body, headers = await street.ask("GET a", name)
    document = json.loads(body)
    assert (got, document["code"], headers["X-Sandbox-Deny"]) == (status, code, code)
    assert document["message"]
    assert document["remedy"]
    assert SECRET not in body.decode()
    assert street.host.seen == street.other.seen == []
    control("the granted twin passes", (await street.ask("GET a", "api/bearer"))[0] == 200)


async def test_a_compressed_answer_is_not_passed_on(street: ProxyStreet) -> None:
    """A value could not be found in it; the same answer as it is passes."""

    async def squeeze(request: web.Request) -> web.Response:
        body = gzip.compress(SECRET.encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"} if "z" in request.path else {})

    street.host.answer = squeeze
    status, body, _ = await street.ask("GET z")
    assert (status, json.loads(body)["code"]) == (502, "secret.answer_encoded")
    assert (await street.ask("GET plain"))[0] == 200


async def test_a_secret_for_the_proxy_is_read_by_nobody(street: ProxyStreet, control: Control) -> None:
    """The same name gives no value where its grant demands the proxy, and one where it does not."""
    answers = {}
    async with street.session() as session:
        for name in ("git/main", "api/bearer"):
            url = f"/services/sandbox/api/secrets/{name}/read"
            async with session.post(url, headers={"Authorization": f"token {TOKEN}"}) as answer:
                answers[name] = (answer.status, await answer.text())
    assert answers["git/main"][0] == 403
    assert "secret.proxy_only" in answers["git/main"][1]
    assert SECRET not in answers["git/main"][1]
    control(
        "a grant of values is read", answers["api/bearer"][0] == 200 and SECRET in answers["api/bearer"][1]
    )


async def test_a_minute_of_use_is_one_line_of_the_audit(street: ProxyStreet) -> None:
    """Twenty requests at once write who used which secret by proxy, once, and no value."""
    got = await asyncio.gather(*(street.ask(f"GET {number}", "api/counted") for number in range(20)))
    assert {status for status, _, _ in got} == {200}
    lines = await street.place.audit("secret.read")
    (line,) = [line for line in lines if line["detail"]["secret"] == "api/counted"]
    assert (line["outcome"], line["actor"]) == ("allowed", "carol")
    assert (line["detail"]["delivery"], line["detail"]["static"]) == ("proxy", True)
    assert SECRET not in json.dumps(line)


async def test_git_is_told_in_plain_text(street: ProxyStreet) -> None:
    """git shows its user the text of a refusal only where it is no document."""
    _, body, headers = await street.ask("GET a", "other/secret", headers={"User-Agent": "git/2.39.5"})
    assert headers["Content-Type"].startswith("text/plain")
    assert body.startswith(b"The profile 'cpu-small' grants this server no secret 'other/secret'.")


@pytest.mark.parametrize("status", [200, 201, 204, 205, 304, 404, 500])
async def test_every_status_is_the_hosts(street: ProxyStreet, status: int) -> None:
    """With its headers, in any bytes, and its body where there is one."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        body = b"" if status in (204, 205, 304) else b"12345"
        length = b"" if status in (204, 304) else b"Content-Length: %d\r\n" % len(body)
        head = b"HTTP/1.1 %d X\r\nX-Name: caf\xc3\xa9\r\nX-Old: caf\xe9\r\nETag: 1\r\n" % status
        request.transport.write(head + length + b"Connection: close\r\n\r\n" + body)  # type: ignore[attr-defined]
        request.transport.close()
        return web.Response()

    street.host.answer = answer
    got, body, headers = await street.ask("GET a")
    assert (got, headers["ETag"], headers["X-Name"]) == (status, "1", "caf\u00e9")
    assert body == (b"" if status in (204, 205, 304) else b"12345")


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 101 S\r\n\r\n"]
)
async def test_what_is_not_http_has_its_own_words(street: ProxyStreet, said: bytes) -> None:
    """A host that speaks something else is told from one that hangs up."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(said)  # type: ignore[attr-defined]
        request.transport.close()
        return web.Response()

    street.host.answer = answer
    status, body, _ = await street.ask("GET a")
    assert (status, json.loads(body)["code"]) == (502, "secret.host_bad_answer")
