"""Which Secrets bring the certificates to a cluster? One a program; the authority's key is in none."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from ..wires.papers import FILES, read_papers
from .authority import load_authority
from .certificate_files import AUTHORITY, look

__all__ = ["manifest"]


def manifest(directory: Path, namespace: str) -> str:
    """YAML of one Secret `certificates-PROGRAM` each; it holds private keys."""
    load_authority(directory / AUTHORITY)  # else this is no admin's directory
    programs = [papers.own.program for papers in look(directory).programs]
    return yaml.safe_dump_all(
        (_secret(directory / program, program, namespace) for program in programs), sort_keys=False
    )


def _secret(place: Path, program: str, namespace: str) -> dict[str, object]:
    # Not stringData: what kubectl apply owns there is not what the API server keeps.
    data = {name: base64.b64encode((place / name).read_bytes()).decode() for name in FILES}
    read_papers(place)  # a change meanwhile would give a key that fits no certificate
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"certificates-{program}",
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/name": program,
                "app.kubernetes.io/part-of": "jupyter-sandbox",
            },
        },
        "type": "Opaque",
        "data": data,
    }
