"""Who is who in a test cluster? A certificate for each program, by openssl, and a kubeconfig."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .layout import NODE, Layout

__all__ = ["make_authority", "make_kubeconfig"]

_DAYS = "365"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-days", _DAYS)


def make_authority(layout: Layout) -> None:
    """All keys and certificates, below `layout.authority` (0700)."""
    layout.authority.mkdir(mode=0o700)
    place = layout.authority
    _openssl("req", *_NEW_KEY, "-subj", "/CN=test-cluster", *_files(place, "ca"))
    _openssl("genrsa", "-out", str(place / "accounts-key.pem"), "2048")
    first_service = layout.services.replace(".0/24", ".1")
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    addresses = (layout.node_address, first_service, "127.0.0.1")
    _issue(place, "kube-apiserver", "/CN=kube-apiserver", _alternatives(names, addresses))
    _issue(place, "kubelet-server", f"/CN={NODE}", _alternatives((NODE,), (layout.node_address,)))
    _issue(place, "kubelet", f"/O=system:nodes/CN=system:node:{NODE}")
    _issue(place, "admin", "/O=system:masters/CN=admin")


def make_kubeconfig(layout: Layout, file: Path, who: str) -> None:
    """A kubeconfig (JSON, which is YAML) with the certificate of `who`; mode 0600."""
    place = layout.authority
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": layout.api, "certificate-authority": str(place / "ca.pem")},
            }
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": who}}],
        "users": [
            {
                "name": who,
                "user": {
                    "client-certificate": str(place / f"{who}.pem"),
                    "client-key": str(place / f"{who}-key.pem"),
                },
            }
        ],
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=1) + "\n")


def _alternatives(names: tuple[str, ...], addresses: tuple[str, ...]) -> str:
    return ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)])


def _issue(place: Path, name: str, subject: str, alternatives: str = "") -> None:
    signer = ("-CA", str(place / "ca.pem"), "-CAkey", str(place / "ca-key.pem"))
    purpose = "extendedKeyUsage=serverAuth,clientAuth"
    extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", purpose]
    if alternatives:
        extensions += ["-addext", f"subjectAltName={alternatives}"]
    _openssl("req", *_NEW_KEY, *signer, "-subj", subject, *extensions, *_files(place, name))


def _files(place: Path, name: str) -> tuple[str, ...]:
    return ("-keyout", str(place / f"{name}-key.pem"), "-out", str(place / f"{name}.pem"))


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]} failed: {done.stderr.strip()}")
