"""What does an editor need to know of profiles.yaml? A JSON Schema of the keys that the reader knows.

It helps while one writes. What holds between values (one default, redirects) only the reader knows.
"""

from __future__ import annotations

from typing import Any

from .catalogue import TAGS
from .dataset_file import DATASET_KEYS
from .lifetime_file import HOURS_KEYS, LIFETIME_KEYS, MOST_WARNINGS, RULE_KEYS, TIME_OF_DAY
from .option_file import CHOICE_KEYS, OPTION_KEYS, TEXT_KEYS
from .policy_file import OPA_KEYS, POLICY_KEYS
from .price_file import PRICE_KEYS
from .profile_file import PROFILE_KEYS
from .quota_file import CAPS
from .rulebook_file import SECTIONS
from .sandbox_keys import KEYS
from .weekly_hours import DAYS

__all__ = ["schema"]

_SLUG = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
_LINE = {"type": "string", "minLength": 1, "maxLength": 120}
_PARAGRAPH = {"type": "string", "maxLength": 1000}
_GROUP = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^*?]+$"}
_NAMED_GROUPS = {"type": "array", "items": _GROUP}
_GROUPS = {"description": "Exact names of hub groups. Absent: everyone; []: nobody.", **_NAMED_GROUPS}
_SIZE = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?[KMGT]?$"},
        {"type": "integer", "minimum": 1},
    ]
}
_DURATION = {"anyOf": [{"type": "string", "pattern": "^([0-9]+[smhd])+$"}, {"type": "integer", "minimum": 1}]}
_CORES = {"type": "number", "exclusiveMinimum": 0, "maximum": 4096}
_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_COUNT = {"type": "integer", "minimum": 0, "maximum": 64}
_LIST = {"type": ["array", "null"]}


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12. A file is a list of profiles, or a mapping with sections."""
    sections = _known(SECTIONS, {"profiles": {"$ref": "#/$defs/profiles"}, **_sections()})
    profiles = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/profile"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "profiles.yaml of jupyter_sandbox_spawner",
        "anyOf": [
            {"$ref": "#/$defs/profiles"},
            _object(sections, "profiles"),
        ],
        "$defs": {
            "profiles": profiles,
            "profile": _object(_known(PROFILE_KEYS, _profile()), "display_name", "slug", "sandbox"),
            "option": {
                **_object(_known(OPTION_KEYS, _option()), "display_name"),
                "anyOf": [{"required": ["choices"]}, {"required": ["unlisted_choice"]}],
            },
            "choice": _object(_known(CHOICE_KEYS, _choice()), "display_name"),
            "keys": _object(_known(KEYS, _sandbox())),
        },
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return {**found, "required": list(required)} if required else found


def _known(keys: tuple[str, ...], properties: dict[str, Any]) -> dict[str, Any]:
    """In the order of the reader's keys; a key without an entry here is a KeyError that the tests see."""
    return {name: properties[name] for name in keys}


def _profile() -> dict[str, Any]:
    caps = {
        "servers": {"type": "integer", "minimum": 0},
        "cpu": _CORES,
        "memory": _SIZE,
        "gpus": {"type": "integer", "minimum": 0},
    }
    return {
        "display_name": _LINE,
        "slug": _SLUG,
        "description": _PARAGRAPH,
        "default": {"type": "boolean", "description": "true for one profile: for those who choose nothing."},
        "allowed_groups": _GROUPS,
        "servers_per_user": {"type": "integer", "minimum": 1, "maximum": 1000},
        "at_most": {**_object(caps), "minProperties": 1, "description": "For all its servers together."},
        "deprecated": _object({"message": _PARAGRAPH, "use": _SLUG}, "message"),
        "profile_options": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 20,
            "propertyNames": _SLUG,
            "additionalProperties": {"$ref": "#/$defs/option"},
        },
        "sandbox": {"allOf": [{"$ref": "#/$defs/keys"}, {"required": ["cpu", "memory"]}]},
    }


def _option() -> dict[str, Any]:
    text = {
        "pattern": {"type": "string", "minLength": 1, "maxLength": 500},
        "variable": {"type": "string", "pattern": _NAME},
        "message": _PARAGRAPH,
        "longest": {"type": "integer", "minimum": 1, "maximum": 1000},
    }
    return {
        "display_name": _LINE,
        "choices": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 200,
            "propertyNames": _SLUG,
            "additionalProperties": {"$ref": "#/$defs/choice"},
        },
        "unlisted_choice": _object(_known(TEXT_KEYS, text), "pattern", "variable"),
    }


def _choice() -> dict[str, Any]:
    return {
        "display_name": _LINE,
        "default": {"type": "boolean"},
        "allowed_groups": _GROUPS,
        "sandbox": {"$ref": "#/$defs/keys"},
    }


def _sandbox() -> dict[str, Any]:
    browser = {
        "hosts": {"type": "array", "items": {"type": "string", "pattern": "^(https|wss)://"}},
        "downloads": {"type": "boolean"},
        "bytes_per_day": {"anyOf": [_SIZE, {"type": "null"}]},
    }
    wish = _object({"count": _COUNT, "kind": {"type": "string", "pattern": "^[a-z0-9.-]+$"}}, "count")
    return {
        "cpu": _CORES,
        "memory": _SIZE,
        "pids": {"type": "integer", "minimum": 16, "maximum": 1_000_000},
        "disk": _SIZE,
        "tmpfs": _SIZE,
        "ttl": _DURATION,
        "idle_timeout": _DURATION,
        "extend": _object(
            {"by": _DURATION, "at_most": _DURATION, "times": {"type": "integer", "minimum": 1}},
            "by",
            "at_most",
        ),
        "egress": {**_LIST, "items": {"type": ["string", "object"]}},
        "browser": _object(browser),
        "isolation": {"enum": ["hard", "soft"]},
        "runtime": {"type": "string", "pattern": "^[a-z][a-z0-9_.-]{0,39}$"},
        "environment": {"type": "string"},
        "variables": {
            "type": "object",
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {"type": "string"},
        },
        "secrets": {**_LIST, "items": {"type": ["string", "object"]}},
        "gpu": {"anyOf": [_COUNT, wish]},
        "datasets": {"type": "array", "items": {"type": "string"}},
    }


def _sections() -> dict[str, Any]:
    datasets = _object(_known(DATASET_KEYS, _dataset()), "id", "version", "uri", "owner")
    return {
        "quotas": _quotas(),
        "policy": _object(_known(POLICY_KEYS, _policy())),
        "datasets": {"type": "array", "items": datasets},
        "prices": _object(_known(PRICE_KEYS, _prices()), "currency"),
        "lifetime": _object(_known(LIFETIME_KEYS, _lifetime())),
    }


def _lifetime() -> dict[str, Any]:
    hours = {
        "days": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(DAYS)}},
        "from": {"type": "string", "pattern": f"^{TIME_OF_DAY}$"},
        "to": {"type": "string", "pattern": f"^({TIME_OF_DAY}|24:00)$"},
    }
    rule = {
        "name": _SLUG,
        "profiles": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _SLUG},
        "groups": {**_NAMED_GROUPS, "minItems": 1, "uniqueItems": True},
        "gpu": {"type": "boolean", "description": "true: with a GPU only; false: without one only."},
        "hours": {
            "type": "array",
            "minItems": 1,
            "items": {**_object(_known(HOURS_KEYS, hours)), "minProperties": 1},
        },
        "idle_timeout": _DURATION,
        "gpu_idle_timeout": _DURATION,
        "max_age": _DURATION,
        "never_idle": {"type": "boolean"},
        "closed": {"type": "boolean"},
    }
    warnings = {"minItems": 1, "maxItems": MOST_WARNINGS, "uniqueItems": True, "items": _DURATION}
    return {
        "timezone": {"type": "string", "minLength": 1, "maxLength": 64},
        "warnings": {"type": "array", "description": "Before an end, the longest first.", **warnings},
        "keep_alive": {"anyOf": [_DURATION, {"const": 0}]},
        "rules": {
            "description": "The first that matches counts.",
            "type": "array",
            "minItems": 1,
            "items": _object(_known(RULE_KEYS, rule), "name"),
        },
    }


def _quotas() -> dict[str, Any]:
    hours = {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000}
    count = {"type": "integer", "minimum": 0, "maximum": 1_000_000}
    caps = {
        "servers": count,
        "cpu": _CORES,
        "memory": _SIZE,
        "gpus": count,
        "gpu_hours": _object({"at_most": hours, "within": _DURATION}, "at_most", "within"),
    }
    entry = {"group": _GROUP, **_known(CAPS, caps)}
    user = {**_object(entry), "minProperties": 1}
    return _object(
        {
            "user": {
                "description": "For each user: the first entry that fits counts.",
                "type": "array",
                "items": user,
            },
            "group": {
                "description": "For all its members together.",
                "type": "array",
                "items": _object(entry, "group"),
            },
        }
    )


def _policy() -> dict[str, Any]:
    opa = {
        "address": {"type": "string", "maxLength": 200, "pattern": "^(http://|unix:/)"},
        "decision": {
            "type": "string",
            "maxLength": 200,
            "pattern": "^[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$",
        },
        "timeout": {"type": "number", "minimum": 0.01, "maximum": 5},
    }
    return {
        "gpus_at_most": _COUNT,
        "open_tags": {"type": "array", "items": {"enum": ["public", "internal"]}},
        "denied_groups": _NAMED_GROUPS,
        "secrets": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "hosts": {**_LIST, "items": {"type": ["string", "object"]}},
        "extension_at_most": _DURATION,
        "promoters": _NAMED_GROUPS,
        "opa": _object(_known(OPA_KEYS, opa), "address"),
    }


def _dataset() -> dict[str, Any]:
    return {
        "id": _SLUG,
        "version": {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"},
        "uri": {"type": "string", "pattern": "^file:///[^%:]+$"},
        "manifest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "tags": {"type": "array", "items": {"enum": list(TAGS)}},
        "owner": _LINE,
        "purpose": _PARAGRAPH,
        "expires": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "allowed_groups": _GROUPS,
    }


def _prices() -> dict[str, Any]:
    price = {"type": "number", "minimum": 0, "maximum": 1_000_000_000}
    kinds = {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z0-9][a-z0-9.+-]{0,62}$"},
        "additionalProperties": price,
    }
    return {
        "currency": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9-]{0,11}$"},
        "cpu_hour": price,
        "memory_gb_hour": price,
        "gpu_hour": {"anyOf": [price, kinds]},
    }
