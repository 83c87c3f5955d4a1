"""Do claims keep a user's uid and homes apart from everybody else's?"""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite
from jupyter_sandbox_spawner.rules.claims import (
    RETIRED,
    UidRange,
    UserClaim,
    claim_manifest,
    next_uid,
    read_claim,
    retirement,
)

CLUSTER = KubernetesSite(
    namespace="pods",
    gateway_name="gateway",
    gateway_address="10.0.0.1",
    gateway_namespace="programs",
    gateway_labels={},
    link_image="link",
    storage_class="fast",
)
UIDS = UidRange(first=10_001, last=10_005)
NOW = datetime(2026, 11, 30, 8, 0, tzinfo=timezone.utc)


def claim(user: str, uid: int, **more: Any) -> UserClaim:
    """A claim with these fields."""
    return UserClaim(name=f"home-{user}", user=user, uid=uid, **more)


def test_a_claim_comes_back_as_it_was_written() -> None:
    """Labels hold hashes, annotations the name and the uid; the size is read in Kubernetes' spellings."""
    manifest = claim_manifest("Ädä b", 10_001, "pii", CLUSTER, {"owner": "us"})
    found = read_claim(manifest)
    assert (found.user, found.uid, found.zone, found.size) == ("Ädä b", 10_001, "pii", 10 << 30)
    assert not found.retired
    assert manifest["spec"]["storageClassName"] == "fast"
    assert manifest["metadata"]["name"].startswith("home-d-b-")
    assert "Ädä" not in str(manifest["metadata"]["labels"])
    manifest["spec"]["resources"]["requests"]["storage"] = "5Gi"
    assert read_claim(manifest).size == 5 << 30


@pytest.mark.proves("O05")
def test_names_alike_have_claims_of_their_own() -> None:
    """Names that differ in signs alone, and a later user of a name, get other claims."""
    users = [("a-b", 1), ("a_b", 1), ("a--b", 1), ("a-b", 2), ("a" * 200, 1), ("a" * 201, 1)]
    names = {claim_manifest(user, uid, "", CLUSTER, {})["metadata"]["name"] for user, uid in users}
    names.add(claim_manifest("a-b", 1, "pii", CLUSTER, {})["metadata"]["name"])
    assert len(names) == len(users) + 1
    assert all(len(name) <= 63 for name in names)


@pytest.mark.proves("O06")
def test_a_uid_is_free_when_no_claim_has_it() -> None:
    """Uids go up; a deleted user's stays taken until an admin deletes the claim; then it is used again."""
    assert next_uid([], UIDS) == 10_001
    known = [claim("a", 10_001, retired=True), claim("b", 10_003)]
    assert next_uid(known, UIDS) == 10_004
    assert next_uid([*known, claim("c", 10_004)], UIDS) == 10_002
    full = [claim(str(uid), uid) for uid in range(10_001, 10_005)]
    with pytest.raises(ConfigurationError, match="taken") as refused:
        next_uid(full, UIDS)
    assert refused.value.code == "users.range_full"


def test_a_changed_claim_is_not_believed() -> None:
    """Where label and annotation name different users, nobody gets the home."""
    manifest = claim_manifest("alice", 10_001, "", CLUSTER, {})
    for change in ({"jupyter-sandbox-spawner/user": "bob"}, {"jupyter-sandbox-spawner/uid": "root"}):
        odd = copy.deepcopy(manifest)
        odd["metadata"]["annotations"].update(change)
        with pytest.raises(ConfigurationError) as refused:
            read_claim(odd)
        assert refused.value.code == "users.registry_broken"


def test_retirement_is_a_mark() -> None:
    """A deleted user's claim is marked with the moment; nothing of it is removed."""
    manifest = claim_manifest("alice", 10_001, "", CLUSTER, {})
    change = retirement(NOW)
    manifest["metadata"]["labels"] |= change["metadata"]["labels"]
    manifest["metadata"]["annotations"] |= change["metadata"]["annotations"]
    found = read_claim(manifest)
    assert (found.retired, found.since) == (True, NOW)
    del manifest["metadata"]["labels"][RETIRED]
    assert read_claim(manifest).retired
