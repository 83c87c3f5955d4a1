"""What may the admin's browser do with control, and what is typed instead where it may not? (pure)

Law: a cookie is sent by any page of the same host, so it counts only with what such a page cannot have sent:
the browser's word that our own page asked, and the page's header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import RefusedError
from .page_requests import READ, is_own_page

__all__ = [
    "ADMIN_SCOPE",
    "PAGE_HEADER",
    "PAGE_POLICY",
    "SERVICE",
    "WHY_READ_ONLY",
    "check_call",
    "check_sender",
    "twin",
]

SERVICE = "sandbox"
ADMIN_SCOPE = "custom:sandbox:admin"
PAGE_HEADER = "x-sandbox-page"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
WHY_READ_ONLY = (
    "This hub has no subdomains, or its subdomain_hook gives this page no host name of its own: pages of"
    " others share this page's origin, and could act as you."
)
_PROGRAM = "jupyter-sandbox-admin"
# By verb and path below `api/`; what is put in is made of letters that no shell reads.
_NAME = r"([A-Za-z0-9_.-]{1,64})"
_TWINS = tuple(
    (re.compile(pattern.replace("NAME", _NAME)), command)
    for pattern, command in (
        (r"POST sandboxes/NAME/stop", "stop {0} --why REASON"),
        (r"POST sandboxes/NAME/extend", "extend {0} --by TIME"),
        (r"POST egress/requests/NAME/approve", "egress approve {0} --for TIME"),
        (r"POST egress/requests/NAME/deny", "egress deny {0} --why REASON"),
        (r"POST egress/grants/NAME/revoke", "egress revoke {0}"),
        (r"DELETE gpu/tickets/NAME", "gpu cancel {0}"),
        (r"POST datasets/NAME/(raise|lower|approve|revoke)", "datasets {1} {0} --help"),
    )
)


def check_sender(method: str, headers: Mapping[str, str]) -> None:
    """Raises RefusedError `page.foreign` where another site's page may have sent it."""
    if not is_own_page(method, headers):
        raise RefusedError(
            "Another site's page asked for this.", code="page.foreign", remedy="Open the page."
        )


def check_call(method: str, path: str, headers: Mapping[str, str], own_host: bool) -> None:
    """May a call of the API (`path` below the service's prefix) be made by cookie?

    Raises RefusedError `page.header_missing`, and `page.read_only` where other programs of the site answer
    on the page's host and this would change something.
    """
    if headers.get(PAGE_HEADER) != "1":
        raise RefusedError(
            "A cookie alone does not count here.",
            code="page.header_missing",
            remedy="Ask from the page, or with a token: Authorization: token TOKEN.",
        )
    if method not in READ and not own_host:
        raise RefusedError(WHY_READ_ONLY, code="page.read_only", remedy=f"Type it: {twin(method, path)}")


def twin(method: str, path: str) -> str:
    """The command that does the same."""
    asked = f"{method} {path.removeprefix('/api/')}"
    for pattern, command in _TWINS:
        found = pattern.fullmatch(asked)
        if found is not None:
            return f"{_PROGRAM} {command.format(*found.groups())}"
    return f"{_PROGRAM} --help"
