"""Do the sinks hear? A deaf sink would prove every attack harmless."""

from __future__ import annotations

import pytest

from tests.support.sinks import open_sinks


@pytest.mark.lane("root")
def test_every_sink_hears_the_host() -> None:
    """Each TCP and UDP sink writes down what the host sends to it."""
    with open_sinks() as sinks:
        assert sinks.from_outside() == []
