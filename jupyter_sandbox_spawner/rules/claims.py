"""Which PersistentVolumeClaims are whose homes, and which uid does their user have? Pure.

Law: a uid is nobody else's while a claim with it exists, be its user deleted or not; a claim never shrinks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import ConfigurationError
from ..kubernetes_site import KubernetesSite
from ..names import LABEL_OWNER, stable_hash

__all__ = [
    "HOME_LABEL",
    "RETIRED",
    "UidRange",
    "UserClaim",
    "claim_manifest",
    "next_uid",
    "read_claim",
    "retirement",
    "user_label",
]

HOME_LABEL = f"{LABEL_OWNER}/home"  # its value is the hash of its user's name
RETIRED = f"{LABEL_OWNER}/retired"
_ZONE = f"{LABEL_OWNER}/zone"
_USER = f"{LABEL_OWNER}/user"
_UID = f"{LABEL_OWNER}/uid"
_SINCE = f"{LABEL_OWNER}/retired-at"


@dataclass(frozen=True, kw_only=True)
class UidRange:
    """Uids from `first` to `last`; the last is the probe's."""

    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class UserClaim:
    """A home: its claim's name, its user, uid and zone, bytes asked for. `retired`: the user was deleted;
    `bound`: it has a volume, so perhaps files; `object_uid` is the cluster's name for this very claim, and
    `version` for it as it was read."""

    name: str
    user: str
    uid: int
    zone: str = ""
    size: int = 0
    retired: bool = False
    since: datetime | None = None
    bound: bool = False
    object_uid: str = ""
    version: str = ""


def user_label(user: str) -> str:
    """The value of HOME_LABEL; a name of a user is no label."""
    return stable_hash("user", user)


def claim_manifest(
    user: str, uid: int, zone: str, cluster: KubernetesSite, labels: Mapping[str, str], size: int = 0
) -> dict[str, Any]:
    """A claim for a home, of `size` bytes or the site's. A later user of the name has another."""
    readable = re.sub(r"[^a-z0-9]+", "-", user.lower())[:24].strip("-") or "user"
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(size or cluster.home_size)}},
    }
    if cluster.storage_class:
        spec["storageClassName"] = cluster.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"home-{readable}-{stable_hash('home', user, zone, str(uid), length=12)}",
            "namespace": cluster.namespace,
            "labels": {**labels, HOME_LABEL: user_label(user), _ZONE: zone, RETIRED: "no"},
            "annotations": {_USER: user, _UID: str(uid)},
        },
        "spec": spec,
    }


def retirement(now: datetime) -> dict[str, Any]:
    """The change of a claim whose user was deleted."""
    stamp = now.isoformat(timespec="seconds")
    return {"metadata": {"labels": {RETIRED: "yes"}, "annotations": {_SINCE: stamp}}}


def read_claim(document: Mapping[str, Any]) -> UserClaim:
    """The claim as it is in the cluster. Raises ConfigurationError `users.registry_broken`."""
    metadata = document.get("metadata") or {}
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    try:
        user, uid = str(notes[_USER]), int(notes[_UID])
        if labels[HOME_LABEL] != user_label(user):
            raise ValueError("its label is another user's")
        return UserClaim(
            name=str(metadata["name"]),
            user=user,
            uid=uid,
            zone=str(labels.get(_ZONE, "")),
            size=_size(document),
            retired=labels.get(RETIRED) != "no",
            since=datetime.fromisoformat(notes[_SINCE]) if _SINCE in notes else None,
            bound=bool(document["spec"].get("volumeName")),
            object_uid=str(metadata.get("uid", "")),
            version=str(metadata.get("resourceVersion", "")),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"The claim {metadata.get('name')!r} cannot be read as a user's home: {error}.",
            code="users.registry_broken",
            remedy="Somebody has changed its labels or annotations; put them back. Without its uid a new"
            " user could get an old one's.",
        ) from error


def next_uid(claims: Sequence[UserClaim], uids: UidRange) -> int:
    """A uid that no claim has. Raises ConfigurationError `users.range_full`."""
    used: Collection[int] = {claim.uid for claim in claims}
    highest = max([uids.first - 1, *(uid for uid in used if uid < uids.last)])
    if highest + 1 < uids.last:
        return highest + 1
    free = next((uid for uid in range(uids.first, uids.last) if uid not in used), None)
    if free is None:
        raise ConfigurationError(
            f"All {uids.last - uids.first} uids from {uids.first} are taken.",
            code="users.range_full",
            field="uid_count",
            remedy=f"Delete claims of deleted users: kubectl get pvc -l {RETIRED}=yes. Or raise uid_count.",
        )
    return free


def _size(document: Mapping[str, Any]) -> int:
    asked = str(document["spec"]["resources"]["requests"]["storage"])
    match = re.fullmatch(r"([0-9]+)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P|)", asked)
    if match is None:
        raise ValueError(f"the size {asked!r}")
    units = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
    binary = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50}
    return int(match[1]) * (units | binary)[match[2]]
