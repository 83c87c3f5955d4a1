"""Which host uid and which homes does a user have? One uid a user, written down before use; a home a zone.

A user who is deleted leaves the home in quarantine, and the uid is nobody else's while that remains.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..backends.records import writing_below
from ..errors import ConfigurationError
from ..models import UserPlace
from ..names import canonical_username, stable_hash
from ..rules.catalogue import ZONES
from ..serving import private_directory

__all__ = ["QUARANTINE", "Retired", "UserRegistry", "image_of", "unknown_zone"]

_VERSION = 2
_READABLE = (1, 2)  # 1 knew no retired users
_IMAGES = ".images"  # homes that have a file system of their own (homes.py)
QUARANTINE = ".quarantine"  # beside the homes, so that a move is one step on one file system


@dataclass(frozen=True, kw_only=True)
class Retired:
    """A deleted user: the uid, the name of the home below the homes, and its name in quarantine.

    Homes of zones have both names with the zone's behind a dot.
    """

    user: str
    uid: int
    home: str
    kept_as: str


class UserRegistry:
    """The registry file and the homes beside it.

    The first uid of the range is uid 0 inside every sandbox and belongs to nobody, the last is the probe's;
    users get the others in turn. Raises ConfigurationError `users.registry_broken`,
    `users.registry_missing`, `users.range_full`, `users.range_moved`, `users.home_foreign`.
    """

    def __init__(self, homes: str, uid_base: int, uid_count: int) -> None:
        self._homes = Path(private_directory(homes))
        self._file = self._homes.parent / "uids.json"
        self._base = uid_base
        self._end = uid_base + uid_count - 1
        self._uids, self._retired = self._read()
        for gone in self._retired:
            self._move_away(gone)

    @property
    def root_uid(self) -> int:
        """The host uid that stands for uid 0 inside; it owns nothing."""
        return self._base

    @property
    def canary_uid(self) -> int:
        """The host uid of the probe sandbox; it owns nothing."""
        return self._end

    def find(self, user: str, zone: str = "") -> UserPlace | None:
        """The place a user has been given, with the home of a zone; None if never, or without such a zone."""
        uid = self._uids.get(user)
        return None if uid is None or zone not in ZONES else self._as_place(user, uid, zone)

    def everybody(self) -> tuple[UserPlace, ...]:
        """All users who were given a place, each with the ordinary home."""
        return tuple(self._as_place(user, uid, "") for user, uid in self._uids.items())

    def strays(self) -> tuple[Path, ...]:
        """Directories among the homes that no user has."""
        homes = {_of_zone(self._home(user).name, zone) for user in self._uids for zone in ZONES}
        return tuple(
            path
            for path in sorted(self._homes.iterdir())
            if path.name not in homes and path.name not in (QUARANTINE, _IMAGES)
        )

    def place(self, user: str, zone: str = "") -> UserPlace:
        """The user's uid and the home of a zone, made on first use; idempotent.

        Raises ConfigurationError `users.zone_unknown`, too.
        """
        canonical_username(user)
        if zone not in ZONES:
            raise unknown_zone(zone)
        if user not in self._uids:
            uid = self._next()
            kept = tuple(gone for gone in self._retired if gone.uid != uid)
            with writing_below(self._homes):
                self._write({**self._uids, user: uid}, kept)
        uid, home = self._uids[user], self._home(user, zone)
        if not self._base < uid < self._end:
            raise ConfigurationError(
                f"{user!r} has uid {uid}, which is not one of {self._base + 1}..{self._end - 1} any more.",
                code="users.range_moved",
                field="uid_base",
                remedy="Give the site its old range again (uid_base, uid_count, or the line in /etc/subuid).",
            )
        if not os.path.lexists(home):
            with writing_below(self._homes):
                _make_home(home, uid)
        status = os.lstat(home)
        if home.is_symlink() or not home.is_dir() or status.st_uid != uid:
            raise ConfigurationError(
                f"The home {home} of {user!r} is not a directory of uid {uid} (owner {status.st_uid}).",
                code="users.home_foreign",
                remedy=f"If its files are the user's: chown -hR {uid}:{uid} {home}",
            )
        return self._as_place(user, uid, zone)

    def _as_place(self, user: str, uid: int, zone: str) -> UserPlace:
        return UserPlace(user=user, host_uid=uid, home=str(self._home(user, zone)), root_uid=self.root_uid)

    def retire(self, user: str) -> Retired | None:
        """The user is deleted: every home goes into quarantine, a new user of this name gets another uid.

        None if the registry does not know the name; so a repetition is harmless.
        """
        canonical_username(user)
        if user not in self._uids:
            return None
        uid, home = self._uids[user], self._home(user).name
        stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        gone = Retired(user=user, uid=uid, home=home, kept_as=f"{home}-{uid}-{stamp}")
        others = {name: number for name, number in self._uids.items() if name != user}
        self._write(others, (*self._retired, gone))
        self._move_away(gone)
        return gone

    def _move_away(self, gone: Retired) -> None:
        """No-op once it is done; after a crash the next start of the launcher does it."""
        for zone in ZONES:
            self._move_home(gone, _of_zone(gone.home, zone), _of_zone(gone.kept_as, zone))

    def _move_home(self, gone: Retired, home: str, kept_as: str) -> None:
        source, target = self._homes / home, self._quarantine / kept_as
        is_there = os.path.lexists(source) and os.lstat(source).st_uid == gone.uid
        if not target.exists() and is_there:
            private_directory(str(self._quarantine))
            os.rename(source, target)
        image = image_of(self._homes, home, gone.uid)
        if image.exists():
            # Into the same directory: while it is there the uid is nobody else's.
            private_directory(str(self._quarantine))
            target.mkdir(mode=0o700, exist_ok=True)
            os.rename(image, target / "home.img")

    @property
    def _quarantine(self) -> Path:
        return self._homes / QUARANTINE

    def _home(self, user: str, zone: str = "") -> Path:
        readable = re.sub(r"[^a-z0-9]+", "-", user.lower())[:24].strip("-") or "user"
        return self._homes / _of_zone(f"{readable}-{stable_hash('home', user, length=12)}", zone)

    def _next(self) -> int:
        retired = {gone.uid for gone in self._retired}
        uid = max([self._base, *self._uids.values(), *retired]) + 1
        if uid < self._end:
            return uid
        # The range was given out once: uids whose files an admin removed are free again.
        free = [gone.uid for gone in self._retired if not self._is_kept(gone)]
        if not free:
            raise ConfigurationError(
                f"All {self._end - self._base - 1} host uids from {self._base + 1} are taken.",
                code="users.range_full",
                field="uid_count",
                remedy="Raise uid_count (the range must be free on this host; without root, /etc/subuid has"
                " to give it), or empty the quarantine.",
            )
        return min(free)

    def _is_kept(self, gone: Retired) -> bool:
        return any((self._quarantine / _of_zone(gone.kept_as, zone)).exists() for zone in ZONES)

    def _read(self) -> tuple[dict[str, int], tuple[Retired, ...]]:
        if not self._file.exists():
            if self._holds_homes():
                raise ConfigurationError(
                    f"{self._file} is missing but {self._homes} holds homes.",
                    code="users.registry_missing",
                    remedy="Restore it from a backup: without it a new user could get an old one's uid.",
                )
            return {}, ()
        try:
            document = json.loads(self._file.read_bytes())
            uids = {str(user): int(uid) for user, uid in document["users"].items()}
            first = document["version"] == 1
            retired = () if first else tuple(Retired(**item) for item in document["retired"])
            given = [*uids.values(), *(gone.uid for gone in retired)]
            if document["version"] not in _READABLE or len(set(given)) != len(given):
                raise ValueError("another version, or a uid twice")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{self._file} cannot be read: {error}.",
                code="users.registry_broken",
                remedy="Restore it from a backup.",
            ) from error
        return uids, retired

    def _holds_homes(self) -> bool:
        others = any(item.name != _IMAGES for item in self._homes.iterdir())
        return others or any((self._homes / _IMAGES).glob("*.img"))

    def _write(self, uids: Mapping[str, int], retired: Sequence[Retired]) -> None:
        """Durable before anybody uses the uid: file and directory are synced."""
        temporary = self._file.with_name("uids.json.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            gone = [asdict(item) for item in retired]
            json.dump({"version": _VERSION, "users": dict(uids), "retired": gone}, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self._file)
        directory = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._uids, self._retired = dict(uids), tuple(retired)


def unknown_zone(zone: str) -> ConfigurationError:
    """The error for a zone that nobody knows."""
    return ConfigurationError(
        f"There is no zone {zone[:40]!r}.",
        code="users.zone_unknown",
        field="zone",
        remedy=f"Known are {', '.join(ZONES[1:])}; leave it out for the ordinary home.",
    )


def image_of(homes: Path, home: str, uid: int) -> Path:
    """The file of a home with a file system of its own; a later user of the name has another uid, so file."""
    return homes / _IMAGES / f"{home}-{uid}.img"


def _of_zone(name: str, zone: str) -> str:
    """A name of a home, or of one in quarantine; none of them has a dot of its own."""
    return f"{name}.{zone}" if zone else name


def _make_home(home: Path, uid: int) -> None:
    """Appears in one step, owned by its user: a crash leaves no home that belongs to root."""
    temporary = home.with_name(f".new-{home.name}")
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.chown(temporary, uid, uid)
    os.rename(temporary, home)
