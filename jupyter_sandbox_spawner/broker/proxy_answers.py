"""What does a sandbox get of a host's answer to a request with a secret, and how is it told of a refusal?

Law: no answer of a host makes a client ask its user for a password, and none leads it to another host.
"""

from __future__ import annotations

import aiohttp
from aiohttp import web

from ..errors import ProgramError, RefusedError, SandboxError
from ..rules.grants import Grant
from ..rules.index_links import IndexLinks, is_index_page
from ..rules.proxied_heads import REDIRECTS, UPSTREAM_HEADER, answer_headers, location_inside
from ..rules.scrub import Scrubber
from .upstream import bad_answer

__all__ = ["answer_head", "has_body", "index_links", "refusal"]


def has_body(answer: aiohttp.ClientResponse) -> bool:
    """Do bytes follow its head?"""
    return answer.method != "HEAD" and answer.status not in (204, 304)


def index_links(answer: aiohttp.ClientResponse, grant: Grant, prefix: str) -> IndexLinks | None:
    """What changes the links of a package index; None where the answer is no page of one."""
    if (
        grant.kind != "pip"
        or not has_body(answer)
        or not is_index_page(answer.headers.get("Content-Type", ""))
    ):
        return None
    return IndexLinks(grant.host, prefix)


def answer_head(
    answer: aiohttp.ClientResponse, grant: Grant, prefix: str, scrubber: Scrubber
) -> web.StreamResponse:
    """The head of the answer, not sent yet and without its length.

    Raises RefusedError `secret.refused_by_host`, ProgramError `secret.redirected_away` or
    `secret.answer_encoded`.
    """
    if answer.status in (401, 407):
        raise _credential_refused(grant, answer.status)
    if answer.status == 101:
        raise bad_answer(grant.host)  # nobody asked for another protocol
    if has_body(answer):
        _check_readable(answer, grant)
    raw = [(name.lower(), value) for name, value in answer.raw_headers]
    head = web.StreamResponse(status=answer.status)
    for name, value in answer_headers(raw):
        head.headers.add(_clean(scrubber, name), _clean(scrubber, value))
    head.headers[UPSTREAM_HEADER.decode()] = grant.host
    head.headers["Cache-Control"] = "no-store"
    if "location" in answer.headers:
        inside = location_inside(answer.headers["location"], str(answer.url), prefix)
        if inside is not None:
            head.headers["Location"] = _clean(scrubber, inside.encode())
        elif answer.status in REDIRECTS:
            raise _redirected_away(grant)
    return head


def refusal(request: web.Request, error: SandboxError) -> web.Response:
    """Our own no, as a document; git shows its user plain text only."""
    # The status line is what pip and curl show.
    line = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in error.message)
    headers = {"X-Sandbox-Deny": error.code, "Cache-Control": "no-store"}
    if error.status == 401:
        # git and pip show their token only when they are asked in this way.
        headers["WWW-Authenticate"] = 'Basic realm="This server\'s token"'
    if error.status in (429, 503):
        headers["Retry-After"] = "5"
    if request.headers.get("User-Agent", "").startswith("git/"):
        return web.Response(status=error.status, reason=line[:200], text=f"{error}\n", headers=headers)
    return web.json_response(error.as_document(), status=error.status, reason=line[:200], headers=headers)


def _clean(scrubber: Scrubber, value: bytes) -> str:
    return scrubber.whole(value).decode("utf-8", "replace")


def _check_readable(answer: aiohttp.ClientResponse, grant: Grant) -> None:
    """A value in a compressed answer would not be found."""
    # All lines of a header count together.
    encoding = ",".join(answer.headers.getall("Content-Encoding", [])).strip().lower()
    transfer = ",".join(answer.headers.getall("Transfer-Encoding", ["chunked"])).strip().lower()
    if encoding not in ("", "identity") or transfer != "chunked":
        raise ProgramError(
            f"{grant.host} sends its answer compressed though it was asked not to, so it is not passed on.",
            code="secret.answer_encoded",
            remedy="Ask for it in another form, or ask the hub's admin to grant the value itself.",
        )


def _credential_refused(grant: Grant, status: int) -> SandboxError:
    # Not 401: a client would ask its user for a password, or forget the token it showed us.
    return RefusedError(
        f"{grant.host} refuses the secret {grant.name!r} ({status}).",
        code="secret.refused_by_host",
        remedy="Ask the hub's admin to renew it; your own login is not the reason.",
    )


def _redirected_away(grant: Grant) -> SandboxError:
    return ProgramError(
        f"{grant.host} sends this request on to another host, where the secret {grant.name!r} must not go.",
        code="secret.redirected_away",
        remedy="Ask that host directly, if the profile allows it, or ask the hub's admin to grant it too.",
    )
