"""What does a Prometheus scrape of the gateway see? Sums and counts; no name of a user."""

from __future__ import annotations

from collections.abc import Iterable

from .events import Spool
from .sandbox import OpenSandbox

__all__ = ["render"]


def render(sandboxes: Iterable[OpenSandbox], spool: Spool) -> str:
    """The text exposition format. ref: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    items = [sandbox.inventory() for sandbox in sandboxes]
    lines = [
        "# TYPE sandbox_gateway_sandboxes gauge",
        f'sandbox_gateway_sandboxes{{ready="true"}} {sum(item.ready for item in items)}',
        f'sandbox_gateway_sandboxes{{ready="false"}} {sum(not item.ready for item in items)}',
        "# TYPE sandbox_gateway_connections gauge",
        f"sandbox_gateway_connections {sum(item.connections for item in items)}",
        # Of the sandboxes that are open now, so the sums fall when one closes.
        "# TYPE sandbox_gateway_bytes gauge",
        f'sandbox_gateway_bytes{{way="in"}} {sum(item.bytes_in for item in items)}',
        f'sandbox_gateway_bytes{{way="out"}} {sum(item.bytes_out for item in items)}',
        "# TYPE sandbox_gateway_denials gauge",
        f"sandbox_gateway_denials {sum(item.denials for item in items)}",
        "# TYPE sandbox_gateway_events_lost_total counter",
        f"sandbox_gateway_events_lost_total {spool.lost}",
    ]
    return "\n".join(lines) + "\n"
