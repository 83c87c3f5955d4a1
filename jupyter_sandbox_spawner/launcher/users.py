"""Which host uid and which home does a user have? One uid a user, written down before use, never reused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigurationError
from ..models import UserPlace
from ..names import canonical_username, stable_hash
from ..serving import private_directory

__all__ = ["UserRegistry"]

_VERSION = 1


class UserRegistry:
    """The registry file and the homes beside it.

    The first uid of the range is uid 0 inside every sandbox and belongs to nobody; users get the others
    in turn. Raises ConfigurationError `users.registry_broken`, `users.registry_missing`, `users.range_full`,
    `users.home_foreign`.
    """

    def __init__(self, homes: str, uid_base: int, uid_count: int) -> None:
        self._homes = Path(private_directory(homes))
        self._file = self._homes.parent / "uids.json"
        self._base = uid_base
        self._end = uid_base + uid_count
        self._uids = self._read()

    @property
    def root_uid(self) -> int:
        """The host uid that stands for uid 0 inside; it owns nothing."""
        return self._base

    def find(self, user: str) -> UserPlace | None:
        """The place a user has been given; None if never."""
        uid = self._uids.get(user)
        return None if uid is None else UserPlace(user=user, host_uid=uid, home=str(self._home(user)))

    def place(self, user: str) -> UserPlace:
        """The user's uid and home, made on first use; idempotent."""
        canonical_username(user)
        if user not in self._uids:
            self._write({**self._uids, user: self._next()})
        uid, home = self._uids[user], self._home(user)
        if not os.path.lexists(home):
            _make_home(home, uid)
        status = os.lstat(home)
        if home.is_symlink() or not home.is_dir() or status.st_uid != uid:
            raise ConfigurationError(
                f"The home {home} of {user!r} is not a directory of uid {uid} (owner {status.st_uid}).",
                code="users.home_foreign",
                remedy=f"If its files are the user's: chown -hR {uid}:{uid} {home}",
            )
        return UserPlace(user=user, host_uid=uid, home=str(home))

    def _home(self, user: str) -> Path:
        readable = re.sub(r"[^a-z0-9]+", "-", user.lower())[:24].strip("-") or "user"
        return self._homes / f"{readable}-{stable_hash('home', user, length=12)}"

    def _next(self) -> int:
        uid = max([self._base, *self._uids.values()]) + 1
        if uid >= self._end:
            raise ConfigurationError(
                f"All {self._end - self._base - 1} host uids from {self._base + 1} are taken.",
                code="users.range_full",
                field="uid_count",
                remedy="Raise uid_count (the range must be free on this host).",
            )
        return uid

    def _read(self) -> dict[str, int]:
        if not self._file.exists():
            if any(self._homes.iterdir()):
                raise ConfigurationError(
                    f"{self._file} is missing but {self._homes} holds homes.",
                    code="users.registry_missing",
                    remedy="Restore it from a backup: without it a new user could get an old one's uid.",
                )
            return {}
        try:
            document = json.loads(self._file.read_bytes())
            uids = {str(user): int(uid) for user, uid in document["users"].items()}
            if document["version"] != _VERSION or len(set(uids.values())) != len(uids):
                raise ValueError("another version, or a uid twice")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{self._file} cannot be read: {error}.",
                code="users.registry_broken",
                remedy="Restore it from a backup.",
            ) from error
        return uids

    def _write(self, uids: Mapping[str, int]) -> None:
        """Durable before anybody uses the uid: file and directory are synced."""
        temporary = self._file.with_name("uids.json.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump({"version": _VERSION, "users": dict(uids)}, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self._file)
        directory = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._uids = dict(uids)


def _make_home(home: Path, uid: int) -> None:
    """Appears in one step, owned by its user: a crash leaves no home that belongs to root."""
    temporary = home.with_name(f".new-{home.name}")
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.chown(temporary, uid, uid)
    os.rename(temporary, home)
