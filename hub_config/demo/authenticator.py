"""Who may log in to the demo? The users of one private JSON file, passwords generated, kept as scrypt.

Law: without that file, or with one that others may read, the hub does not start; no password is a default.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Unicode

from jupyter_sandbox_spawner.errors import ConfigurationError

__all__ = ["USERS_VARIABLE", "DemoAuthenticator", "read_users", "use_demo_login", "write_users"]

USERS_VARIABLE = "SANDBOX_DEMO_USERS"
_START = "Start the demo with: scripts/demo"


def _hash(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1).hex()


def write_users(path: Path, users: dict[str, dict[str, Any]]) -> None:
    """Write the users' file (0600) from `{name: {"password": ..., "groups": [...], "admin": bool}}`."""
    document = {}
    for name, user in users.items():
        salt = secrets.token_bytes(16)
        document[name] = {
            "salt": salt.hex(),
            "scrypt": _hash(user["password"], salt),
            "groups": list(user.get("groups", ())),
            "admin": bool(user.get("admin", False)),
        }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(document, stream)


def read_users(path: str) -> dict[str, dict[str, Any]]:
    """The users of the file. Raises ConfigurationError when it is missing, or open to anybody else."""
    if not path:
        raise ConfigurationError(
            f"{USERS_VARIABLE} is not set.", code="demo.users_missing", remedy=_START, field="users_file"
        )
    try:
        mode = os.stat(path).st_mode
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.", code="demo.users_missing", remedy=_START, field="users_file"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(
            f"{path} has mode {stat.S_IMODE(mode):o}; others may read it.",
            code="demo.users_open",
            remedy=f"chmod 600 {path}",
            field="users_file",
        )
    if not isinstance(document, dict) or not document:
        raise ConfigurationError(f"{path} names no user.", code="demo.users_missing", remedy=_START)
    return document


class DemoAuthenticator(Authenticator):  # type: ignore[misc]
    """A login for demonstrations and tests: a few users, generated passwords, one private file."""

    users_file = Unicode(
        help="Path of the private (0600) JSON file of users; empty means that the hub does not start."
    ).tag(config=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._users = read_users(self.users_file)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """The name when name and password fit; both cases cost one hash."""
        name = data.get("username", "")
        known = self._users.get(name)
        salt = bytes.fromhex(known["salt"]) if known else b"\0" * 16
        given = _hash(data.get("password", ""), salt)
        fits = known is not None and hmac.compare_digest(given, known["scrypt"])
        return name if fits else None


def use_demo_login(c: Any, path: str) -> None:
    """Configure a hub for the users of this file: login, admins and groups."""
    users = read_users(path)
    groups: dict[str, list[str]] = {}
    for name, user in users.items():
        for group in user["groups"]:
            groups.setdefault(group, []).append(name)
    c.JupyterHub.authenticator_class = DemoAuthenticator
    c.DemoAuthenticator.users_file = path
    c.Authenticator.allowed_users = set(users)
    c.Authenticator.admin_users = {name for name, user in users.items() if user["admin"]}
    c.JupyterHub.load_groups = {group: {"users": members} for group, members in groups.items()}
