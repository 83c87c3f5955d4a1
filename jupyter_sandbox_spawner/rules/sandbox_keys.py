"""What may stand below `sandbox:`, in a profile or in a choice of it? Values by their field in Profile.

Law: a choice can change what is read here, and nothing else of a profile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from ..models import EgressPolicy, EgressRule
from ..units import parse_cpu, parse_size
from . import profile_fields as fields
from . import wish_fields as wishes
from .egress_rules import compile_rules
from .grant_fields import grant
from .grants import Grant
from .profile_nodes import Node
from .profiles import Profile
from .reading import Reading

__all__ = ["KEYS", "SandboxReading", "worked_in"]

_RESOURCES = ("cpu", "memory", "pids", "disk", "tmpfs")
KEYS = (
    *_RESOURCES,
    "ttl",
    "idle_timeout",
    "extend",
    "egress",
    "browser",
    "isolation",
    "runtime",
    "environment",
    "variables",
    "secrets",
    "gpu",
    "datasets",
)


def worked_in(profile: Profile, values: Mapping[str, Any]) -> Profile:
    """The profile with these values: variables are added, everything else is replaced."""
    limits = {name: value for name, value in values.items() if name in _RESOURCES}
    others = {name: value for name, value in values.items() if name not in _RESOURCES}
    if "variables" in others:
        others["variables"] = {**profile.variables, **others["variables"]}
    return replace(profile, resources=replace(profile.resources, **limits), **others)


class SandboxReading(Reading):
    """Reads keys of `sandbox:`. `environments`: names of user images that exist; empty: not checked."""

    def __init__(self, environments: Collection[str] = ()) -> None:
        super().__init__()
        self._environments = environments
        self._checks: dict[str, Callable[[Any, str], Any]] = {
            "cpu": parse_cpu,
            "memory": parse_size,
            "pids": fields.processes,
            "disk": parse_size,
            "tmpfs": parse_size,
            "ttl": fields.limit_of_time,
            "idle_timeout": fields.limit_of_time,
            "extend": fields.extension,
            "browser": fields.browser,
            "isolation": fields.isolation,
            "runtime": fields.runtime,
            "environment": self._environment,
            "variables": fields.variables,
            "gpu": wishes.gpu,
            "datasets": wishes.datasets,
        }

    def values(self, keys: Mapping[str, Node]) -> dict[str, Any]:
        """What is there and right, by field; what is wrong is a problem."""
        found: dict[str, Any] = {}
        for name, node in keys.items():
            before = len(self.problems)
            if name == "egress":
                found[name] = EgressPolicy(rules=self._egress(node))
            elif name == "secrets":
                found[name] = self._secrets(node)
            elif name in self._checks:
                found[name] = self.convert(node, self._checks[name])
            if len(self.problems) > before:
                found.pop(name, None)
        return found

    def _egress(self, node: Node) -> tuple[EgressRule, ...]:
        if node.value is None and node.items is None:
            return ()
        if node.items is None:
            self.convert(node, compile_rules)
            return ()
        rules: list[EgressRule] = []
        for item in node.items:
            found = self.convert(item, lambda value, field: compile_rules([value], field))
            rules.extend(found or ())
        return tuple(rules)

    def _secrets(self, node: Node) -> tuple[Grant, ...]:
        if node.value is None and node.items is None:
            return ()
        if node.items is None:
            self.add(node, node.field, f"{fields.shown(node.value)} is not a list. Write [db/warehouse].")
            return ()
        found: list[Grant] = []
        for item in node.items:
            granted = self.convert(item, grant)
            if granted is not None and granted.name in (known.name for known in found):
                self.add(item, item.field, f"{granted.name!r} is granted twice. Keep one.")
            elif granted is not None:
                found.append(granted)
        return tuple(found)

    def _environment(self, value: Any, field: str) -> str:
        if isinstance(value, str) and (not self._environments or value in self._environments):
            return value
        names = ", ".join(sorted(self._environments)) or "text"
        raise fields.wrong(field, value, "is not an environment of this site", f"Write one of: {names}.")
