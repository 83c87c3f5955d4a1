"""Why was I stopped? One sentence for every way of ending, for where nobody wrote a better one."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FILES", "SENTENCES", "sentence"]

FILES = "Your files are kept in your home; start the server again to see them."
SENTENCES: Mapping[str, str] = {
    "stop.ttl": "Its time was up.",
    "stop.idle": "It was not used for as long as its profile allows.",
    "stop.gpu_idle": "Its GPU was not used for as long as its profile allows.",
    "stop.max_age": "It reached the longest age that this site allows.",
    "stop.schedule": "Servers of this kind end at this hour.",
    "stop.by_user": "You stopped it from inside.",
    "stop.by_admin": "An admin stopped it.",
    "stop.at_hub": "It was stopped at the hub.",
    "stop.without_hub": "It was ended without the hub, which did not answer.",
    "stop.unfinished": "It was to be stopped already, and that was done again.",
    "stop.unverified": "The hub had stopped it; what was left of it was removed.",
    "dataset.raised": "A dataset that it mounts is guarded more strictly now; start it again.",
    "ended.died": "It ended by itself.",
    "ended.gone": "It was no longer there, and nobody saw how it ended; this machine may have restarted.",
    "ended.pod_forgotten": "The way to it was lost for good, so it was ended; your files are kept.",
    "ended.superseded": "Another start of the same server took its place.",
    "ended.user_deleted": "Its user was deleted.",
    "start.cancelled": "Its start was cancelled before it was ready.",
    "start.timeout": "It did not start in time, so the start was given up.",
    "start.failed": "It did not start because of an error in the hub; tell your admin.",
    "boot.failed": "It did not take its settings when it started; start it again.",
    "boot.ended": "It ended before it was ready.",
    "boot.timeout": "It did not answer in time after it was started.",
    "boot.expired": "It did not fetch its settings in time; start it again.",
    "boot.foreign": "Somebody else touched its start, so that was given up; tell your admin.",
}
_UNKNOWN = "It ended; why was not recorded."


def sentence(code: str, why: str) -> str:
    """The recorded reason, else the sentence of its code."""
    return why.strip() or SENTENCES.get(code, _UNKNOWN)
