"""What may an admin write in profiles.yaml, and what is wrong with what they wrote?

Every problem is reported at once, each as `FILE:LINE: FIELD: what is wrong. What to write.`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..models import BrowserPolicy, EgressPolicy, EgressRule, Resources
from ..units import parse_cpu, parse_duration, parse_size
from . import profile_fields as fields
from .egress_rules import compile_rules
from .grant_fields import grant
from .grants import Grant
from .profile_nodes import Node, Problem, node_of, read_yaml
from .profiles import Profile
from .reading import Reading, all_wrong

__all__ = ["parse_profiles", "profiles_from_python", "read_profiles"]

_TOP = ("display_name", "slug", "description", "default", "allowed_groups", "servers_per_user", "sandbox")
_SANDBOX = (
    "cpu",
    "memory",
    "pids",
    "disk",
    "tmpfs",
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
)


def parse_profiles(
    text: str, file: str = "profiles.yaml", environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of a YAML text. `environments`: names of user images that exist; empty: not checked.

    Raises ProfileError with every problem found.
    """
    try:
        root = read_yaml(text)
    except Problem as problem:
        raise all_wrong(file, [problem]) from None
    return _profiles(root, file, environments)


def profiles_from_python(
    items: Sequence[Any], file: str = "profiles", environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of a Python list in the same schema; problems name the field, there are no lines."""
    return _profiles(node_of(items), file, environments)


def _profiles(root: Node, file: str, environments: Collection[str]) -> tuple[Profile, ...]:
    problems: list[Problem] = []
    found = read_profiles(root, problems, environments)
    if problems:
        raise all_wrong(file, problems)
    return found


def read_profiles(
    root: Node, problems: list[Problem], environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """The profiles of a list; what is wrong is added to `problems`."""
    reader = _Reader(environments)
    if not root.items:
        reader.add(root, "file", "has no profiles. Write a list, each item with a slug.")
    found = [(item, reader.profile(item)) for item in root.items or ()]
    if root.items:
        reader.check_whole(root, [(item, profile) for item, profile in found if profile is not None])
    problems += reader.problems
    return tuple(profile for _, profile in found if profile is not None)


class _Reader(Reading):
    """Turns nodes into profiles."""

    def __init__(self, environments: Collection[str]) -> None:
        super().__init__()
        self._environments = environments

    def profile(self, node: Node) -> Profile | None:
        """One profile, or None where it is so wrong that nothing can be said about it."""
        keys = self.keys(node, _TOP)
        if keys is None:
            return None
        slug = self.text(keys, "slug", node, fields.slug, required=True)
        name = self.text(keys, "display_name", node, fields.line_of_text, required=True)
        sandbox = keys.get("sandbox")
        inner = self.keys(sandbox, _SANDBOX) if sandbox is not None else None
        if sandbox is None:
            self.add(node, f"{node.field}.sandbox", "is missing. Write at least cpu and memory.")
        resources = self._resources(inner, sandbox or node)
        options = self._options(inner) if inner is not None else {}
        description = self.text(keys, "description", node, fields.paragraph) or ""
        default = self.field(keys, "default", fields.boolean) or False
        allowed_groups = self.field(keys, "allowed_groups", fields.groups)
        servers_per_user = self.field(keys, "servers_per_user", fields.servers)
        if slug is None or name is None or resources is None:
            return None
        return Profile(
            slug=slug,
            display_name=name,
            description=description,
            default=default,
            allowed_groups=allowed_groups,
            servers_per_user=servers_per_user,
            resources=resources,
            **options,
        )

    def _options(self, keys: dict[str, Node]) -> dict[str, Any]:
        if "extend" in keys and "ttl" not in keys:
            remedy = "Write a ttl, or remove extend."
            self.add(keys["extend"], keys["extend"].field, f"there is no ttl to extend. {remedy}")
        return {
            "ttl": self.field(keys, "ttl", parse_duration),
            "idle_timeout": self.field(keys, "idle_timeout", parse_duration),
            "extend": self.field(keys, "extend", fields.extension),
            "egress": EgressPolicy(rules=self._egress(keys.get("egress"))),
            "browser": self.field(keys, "browser", fields.browser) or BrowserPolicy(),
            "isolation": self.field(keys, "isolation", fields.isolation),
            "runtime": self.field(keys, "runtime", fields.runtime) or "",
            "environment": self.field(keys, "environment", self._environment) or "",
            "variables": self.field(keys, "variables", fields.variables) or {},
            "secrets": self._secrets(keys.get("secrets")),
        }

    def check_whole(self, root: Node, found: Sequence[tuple[Node, Profile]]) -> None:
        """What holds only between profiles: unique slugs and exactly one default."""
        first: dict[str, int] = {}
        for node, profile in found:
            if profile.slug in first:
                place = f" (first in line {first[profile.slug]})" if node.line else ""
                self.add(
                    _child(node, "slug"),
                    f"{node.field}.slug",
                    f"{profile.slug!r} is used twice{place}. Rename one.",
                )
            first.setdefault(profile.slug, _child(node, "slug").line)
        defaults = [node for node, profile in found if profile.default]
        for node in defaults[1:]:
            self.add(
                _child(node, "default"), f"{node.field}.default", "is true for two profiles. Keep it for one."
            )
        if not defaults and not self.problems:
            self.add(root, "default", "no profile is the default. Write default: true for one of them.")

    def _resources(self, keys: dict[str, Node] | None, node: Node) -> Resources | None:
        if keys is None:
            return None
        before = len(self.problems)
        cpu = self.field(keys, "cpu", parse_cpu)
        memory = self.field(keys, "memory", parse_size)
        for name in ("cpu", "memory"):
            if name not in keys:
                remedy = "Write cpu: 2." if name == "cpu" else 'Write memory: "4G".'
                self.add(node, f"{node.field}.{name}", f"is missing. {remedy}")
        given: dict[str, Any] = {
            "pids": self.field(keys, "pids", fields.processes),
            "disk": self.field(keys, "disk", parse_size),
            "tmpfs": self.field(keys, "tmpfs", parse_size),
        }
        if cpu is None or memory is None or len(self.problems) > before:
            return None
        return Resources(cpu=cpu, memory=memory, **{key: value for key, value in given.items() if value})

    def _egress(self, node: Node | None) -> tuple[EgressRule, ...]:
        if node is None or (node.value is None and node.items is None):
            return ()
        if node.items is None:
            self.convert(node, compile_rules)
            return ()
        rules: list[EgressRule] = []
        for item in node.items:
            found = self.convert(item, lambda value, field: compile_rules([value], field))
            rules.extend(found or ())
        return tuple(rules)

    def _secrets(self, node: Node | None) -> tuple[Grant, ...]:
        if node is None or (node.value is None and node.items is None):
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


def _child(node: Node, name: str) -> Node:
    return (node.keys or {}).get(name, node)
