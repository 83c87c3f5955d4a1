"""Do the links of pods that run learn of a new authority, and is nobody asked for nothing?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend

from .stage import Stage


async def test_links_learn_of_a_new_authority(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of sandboxes that live get the new file; a later launcher leaves them."""
    monkeypatch.setattr("jupyter_sandbox_spawner.backends.kubernetes.backend._RENEWAL", 0.05)
    spec = await stage.running()
    data = dict(stage.cluster.kind("secrets")[spec.id]["data"])
    await asyncio.to_thread(Path(stage.site.cluster.authority).write_text, "old and new")
    async with KubernetesBackend.opened(stage.site) as again:
        await stage.until(lambda: stage.cluster.kind("secrets")[spec.id]["data"]["ca.pem"] != data["ca.pem"])
        assert stage.cluster.kind("secrets")[spec.id]["data"]["ticket"] == data["ticket"]
        patched = stage.cluster.asked.count("PATCH secrets")
        assert again._sandboxes[spec.id].trusts
    async with KubernetesBackend.opened(stage.site):
        await stage.until(lambda: stage.cluster.asked[-3:].count("GET pods") >= 1)
    assert stage.cluster.asked.count("PATCH secrets") == patched
