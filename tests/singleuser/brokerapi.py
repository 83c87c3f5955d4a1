"""What answers as the broker does, at the end of a sandbox's API door?"""

from __future__ import annotations

from typing import Any

from tests.singleuser.selfapi import SELF, SelfApi

SECRETS = SELF.removesuffix("self") + "secrets"
CANARY = "canary-71d0-\u00dcmlaut"
STORE: dict[str, Any] = {"kind": "embedded", "ok": True, "code": "", "message": "", "remedy": ""}
ABOUT: dict[str, Any] = {
    "name": "db/warehouse",
    "kind": "kv",
    "delivery": "value",
    "host": "",
    "environment": {"DB_USER": "user", "DB_PASSWORD": "password"},
    "granted_by": "profile small",
    "stored": True,
    "static": True,
    "version": None,
    "changed_at": None,
    "expires_at": None,
    "renewed": False,
}


def about(name: str, **more: Any) -> dict[str, Any]:
    """An item of the list."""
    return {**ABOUT, "name": name, "environment": {}, **more}


def lists(api: SelfApi, *items: dict[str, Any], **store: Any) -> None:
    """Let the broker list these."""
    document = {"profile": "small", "store": {**STORE, **store}, "items": list(items)}
    api.answers[f"GET {SECRETS}"] = (200, document)


def give(api: SelfApi, name: str = "db/warehouse", **more: Any) -> None:
    """Let the broker have this secret."""
    fields = {"user": "reader", "password": CANARY}
    document = {**ABOUT, "name": name, "fields": fields, **more}
    api.answers[f"POST {SECRETS}/{name}/read"] = (200, document)


def broker_answers(api: SelfApi) -> SelfApi:
    """A broker with db/warehouse, and a list in which another is not stored yet."""
    give(api)
    lists(api, ABOUT, about("s3/lab", kind="aws", stored=False))
    return api
