"""Who enforces NetworkPolicies on the test cluster's node? This agent, with nftables. Test-only.

A cluster in production has its network plugin's own. Switched off, it removes its rules and enforces nothing,
as a network plugin without policies does. Started as a module with a cluster's directory and number.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from .api import Api, Followed
from .layout import Layout
from .policy_rules import TABLE, name_server, ruleset, seen_pods

__all__ = ["main"]

_LOOK = 0.5  # seconds between two looks at the switch


def main(layout: Layout) -> None:
    """Until it is ended."""
    changed = threading.Event()
    api = Api(layout)
    pods = Followed(api, "/api/v1/pods", changed.set)
    namespaces = Followed(api, "/api/v1/namespaces", changed.set)
    policies = Followed(api, "/apis/networking.k8s.io/v1/networkpolicies", changed.set)
    for part in (pods, namespaces, policies):
        part.complete.wait()
    applied = ""
    while True:
        changed.clear()
        wanted = f"table {TABLE} {{ }}\ndelete table {TABLE}\n"
        if not layout.policies_off.exists():
            labels = {
                item["metadata"]["name"]: item["metadata"].get("labels", {})
                for item in namespaces.items.values()
            }
            every = sorted(policies.items.values(), key=lambda item: str(item["metadata"]["uid"]))
            there = [*seen_pods(pods.items.values()), name_server(layout.names_address)]
            wanted = ruleset(there, labels, every, layout.pods)
        if wanted != applied:
            applied = wanted if _apply(wanted) else ""
        (layout.directory / "policies-state").write_text("off" if layout.policies_off.exists() else "on")
        changed.wait(_LOOK)


def _apply(text: str) -> bool:
    began = time.monotonic()
    done = subprocess.run(["nft", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    took = (time.monotonic() - began) * 1000
    said = done.stderr.strip() or f"{text.count('chain ') - 2} pods are isolated one way"
    print(f"{took:.0f} ms: {said}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main(Layout(Path(sys.argv[1]), int(sys.argv[2])))
