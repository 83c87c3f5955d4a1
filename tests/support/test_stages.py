"""Does the demo tell the stages of a start however quick it was?"""

from __future__ import annotations

from hub_config.demo.stages import describe_stages, logged_shares, shares

LOG = """\
[I 2026-11-29 03:07:19.793 JupyterHub spawner:101] bob: sb-a started: profile 0.00 s, server 9.00 s
[I 2026-11-29 03:07:19.793 JupyterHub spawner:101] alice: sb-b started: profile 0.10 s, server 0.30 s
"""


def test_the_stages_of_a_quick_start_are_in_the_log() -> None:
    """A start that was over before the form was answered is told by the hub's log, of this user alone."""
    assert describe_stages(1.0, logged_shares(LOG, "alice")) == (
        "ready after 1.00 s: profile 0.10 s (25%), server 0.30 s (75%)"
    )
    assert logged_shares(LOG, "carol") == []


def test_the_stages_of_a_slower_start_are_on_its_page() -> None:
    """The last event that carries stages counts; without one there are none."""
    event = {"stages": [{"name": "server", "seconds": 2.0, "share": 1.0}]}
    assert [stage.name for stage in shares([(1.0, {}), (2.0, event)])] == ["server"]
    assert shares([(1.0, {"ready": True})]) == []
