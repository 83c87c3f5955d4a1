"""What answers as the broker does, at the end of a sandbox's API door?"""

from __future__ import annotations

from typing import Any

from tests.singleuser.selfapi import SELF, SelfApi

SECRETS = SELF.removesuffix("self") + "secrets"
CANARY = "canary-71d0-\u00dcmlaut"
ABOUT: dict[str, Any] = {
    "name": "db/warehouse",
    "kind": "kv",
    "static": True,
    "expires_at": None,
    "granted_by": "profile small",
    "environment": {"DB_USER": "user", "DB_PASSWORD": "password"},
}


def give(api: SelfApi, name: str = "db/warehouse", **more: Any) -> None:
    """Let the broker have this secret."""
    fields = {"user": "reader", "password": CANARY}
    document = {**ABOUT, "name": name, "fields": fields, **more}
    api.answers[f"POST {SECRETS}/{name}/read"] = (200, document)


def broker_answers(api: SelfApi) -> SelfApi:
    """A broker with db/warehouse, and a list in which another is not stored yet."""
    give(api)
    items = [{**ABOUT, "stored": True}, {**ABOUT, "name": "s3/lab", "kind": "aws", "stored": False}]
    api.answers[f"GET {SECRETS}"] = (200, {"profile": "small", "items": items})
    return api
