"""What does a browser do with MLflow's pages? It keeps cookies, goes by the hub, says who sent it."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.tracking.server import Answer, MlflowServer

__all__ = ["PREFIX", "Browser", "Seen"]

PREFIX = "/services/mlflow"
_SCOPE = "access:services!service=mlflow"


@dataclass(frozen=True)
class Seen(Answer):
    """One answer: headers are lower-case, `cookies` are the Set-Cookie lines."""

    headers: dict[str, str]
    cookies: tuple[str, ...]


class Browser:
    """One browser of one person; `login` plays the hub's part as well."""

    def __init__(self, mlflow: MlflowServer, user: str) -> None:
        self._mlflow = mlflow
        self.user = user
        self.cookies: dict[str, str] = {}

    @property
    def host(self) -> str:
        """The host as the address bar shows it."""
        return f"127.0.0.1:{self._mlflow.pages.getsockname()[1]}"

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None, prefix: str = PREFIX
    ) -> Seen:
        """One request with this browser's cookies; redirects are not followed."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent = ({"Cookie": kept} if kept else {}) | headers
            connection.request(method, f"{prefix}{path}", body=body, headers=sent)
            answer = connection.getresponse()
            cookies = tuple(answer.headers.get_all("Set-Cookie") or ())
            for line in cookies:
                self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
            found = {name.lower(): text for name, text in answer.headers.items()}
            return Seen(answer.status, answer.read(), found, cookies)
        finally:
            connection.close()

    def open(self, path: str, **more: str) -> Seen:
        """Follow a link or type an address."""
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
        return self.request("GET", path, {**headers, "Accept": "text/html", **more})

    def ask(self, method: str, path: str, document: Any = None, **more: str) -> Seen:
        """As a script of MLflow's own page."""
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
        if method != "GET":
            headers |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        return self.request(method, path, {**headers, **more}, body)

    def sent_to_the_hub(self, path: str = "/") -> tuple[Seen, dict[str, str]]:
        """Open a page without a session: the answer, and what the hub is asked."""
        seen = self.open(path)
        asked = urlsplit(seen.headers.get("location", ""))
        assert (seen.status, asked.path) == (302, "/hub/api/oauth2/authorize"), seen
        return seen, {name: texts[0] for name, texts in parse_qs(asked.query).items()}

    def come_back(
        self, asked: dict[str, str], scopes: tuple[str, ...] = (_SCOPE,), kind: str = "user"
    ) -> Seen:
        """The hub knows this person, gives the service a code, and sends the browser back with it."""
        hub, token = self._mlflow.hub, f"pages-of-{self.user}-{asked['state']}"
        hub.owners[token] = {"name": self.user, "kind": kind, "scopes": list(scopes)}
        code = f"code-{asked['state']}"
        hub.codes[code] = (asked["code_challenge"], token)
        return self.open(
            f"/oauth_callback?code={code}&state={asked['state']}", **{"Sec-Fetch-Site": "same-origin"}
        )

    def login(self) -> Browser:
        """Open the page and come back logged in."""
        _, asked = self.sent_to_the_hub()
        seen = self.come_back(asked)
        assert (seen.status, seen.headers["location"]) == (302, f"{PREFIX}/"), seen
        return self
