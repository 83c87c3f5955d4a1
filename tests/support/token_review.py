"""What does a cluster say about a service account's token? The one call of its API that Vault makes, by TLS.

No cluster is here: this is TokenReview as Kubernetes documents it, for the tokens that a test issues.
ref: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from tests.support.jwts import new_key, sign

__all__ = ["Cluster", "running_cluster"]


class Cluster:
    """Issues tokens to service accounts, and knows its own ones again until they are withdrawn."""

    def __init__(self) -> None:
        self.address = ""
        self.ca_file = Path()
        self._key = new_key()
        self._issued: dict[str, tuple[str, str]] = {}

    def token(self, account: str, audience: str = "vault") -> str:
        """The token that a pod of NAMESPACE/NAME finds in its projected volume."""
        namespace, name = account.split("/")
        now = int(time.time())
        pod = {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-of-{name}"}}
        times = {"iat": now, "nbf": now, "exp": now + 600}
        subject = f"system:serviceaccount:{namespace}:{name}"
        what = {"iss": self.address, "aud": [audience], "sub": subject, "kubernetes.io": pod, **times}
        token = sign(self._key, what)
        self._issued[token] = (account, audience)
        return token

    def withdraw(self, token: str) -> None:
        """As when the pod is gone."""
        self._issued.pop(token)

    def review(self, spec: dict[str, Any]) -> dict[str, Any]:
        """The status of a TokenReview."""
        account, audience = self._issued.get(spec["token"], ("", ""))
        wanted = spec.get("audiences") or [audience]
        if not account or audience not in wanted:
            return {"authenticated": False, "error": "invalid bearer token"}
        namespace, name = account.split("/")
        user = {"username": f"system:serviceaccount:{namespace}:{name}", "uid": f"uid-of-{name}"}
        return {"authenticated": True, "user": user, "audiences": [audience]}


def _handler(cluster: Cluster) -> type[http.server.BaseHTTPRequestHandler]:
    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/apis/authentication.k8s.io/v1/tokenreviews"
            answer = {**body, "status": cluster.review(body["spec"])}
            data = json.dumps(answer).encode()
            self.send_response(201 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return

    return Api


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """A cluster's API for the block; its CA is a file in the directory."""
    cluster, authority = Cluster(), trustme.CA()
    cluster.ca_file = directory / "cluster-ca.pem"
    authority.cert_pem.write_to_path(cluster.ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        cluster.address = f"https://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()
