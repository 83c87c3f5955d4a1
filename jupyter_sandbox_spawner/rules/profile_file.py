"""What may an admin write in profiles.yaml, and what is wrong with what they wrote?

Every problem is reported at once, each as `FILE:LINE: FIELD: what is wrong. What to write.`
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from ..errors import ConfigurationError, ProfileError
from ..models import BrowserPolicy, EgressPolicy, EgressRule, Resources
from ..units import parse_cpu, parse_duration, parse_size
from . import profile_fields as fields
from .egress_rules import compile_rules
from .grant_fields import grant
from .grants import Grant
from .profile_nodes import Node, Problem, node_of, read_yaml
from .profiles import Profile

__all__ = ["parse_profiles", "profiles_from_python"]

T = TypeVar("T")
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
        raise _error(file, [problem]) from None
    return _profiles(root, file, environments)


def profiles_from_python(
    items: Sequence[Any], file: str = "profiles", environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of a Python list in the same schema; problems name the field, there are no lines."""
    return _profiles(node_of(items), file, environments)


def _profiles(root: Node, file: str, environments: Collection[str]) -> tuple[Profile, ...]:
    reader = _Reader(environments)
    if not root.items:
        problem = Problem(
            line=root.line, field="file", sentence="has no profiles. Write a list, each item with a slug."
        )
        raise _error(file, [problem])
    found = [(item, reader.profile(item)) for item in root.items]
    reader.check_whole(root, [(item, profile) for item, profile in found if profile is not None])
    if reader.problems:
        raise _error(file, reader.problems)
    return tuple(profile for _, profile in found if profile is not None)


def _error(file: str, problems: Sequence[Problem]) -> ProfileError:
    lines = []
    for problem in sorted(problems, key=lambda problem: problem.line):
        place = f"{file}:{problem.line}" if problem.line else file
        lines.append(f"{place}: {problem.field}: {problem.sentence}")
    return ProfileError("\n".join(lines), field=problems[0].field)


class _Reader:
    """Turns nodes into profiles and collects what is wrong on the way."""

    def __init__(self, environments: Collection[str]) -> None:
        self.problems: list[Problem] = []
        self._environments = environments

    def profile(self, node: Node) -> Profile | None:
        """One profile, or None where it is so wrong that nothing can be said about it."""
        keys = self._keys(node, _TOP)
        if keys is None:
            return None
        slug = self._text(keys, "slug", node, fields.slug, required=True)
        name = self._text(keys, "display_name", node, fields.line_of_text, required=True)
        sandbox = keys.get("sandbox")
        inner = self._keys(sandbox, _SANDBOX) if sandbox is not None else None
        if sandbox is None:
            self._add(node, f"{node.field}.sandbox", "is missing. Write at least cpu and memory.")
        resources = self._resources(inner, sandbox or node)
        options = self._options(inner) if inner is not None else {}
        description = self._text(keys, "description", node, fields.paragraph) or ""
        default = self._field(keys, "default", fields.boolean) or False
        allowed_groups = self._field(keys, "allowed_groups", fields.groups)
        servers_per_user = self._field(keys, "servers_per_user", fields.servers)
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
            self._add(keys["extend"], keys["extend"].field, f"there is no ttl to extend. {remedy}")
        return {
            "ttl": self._field(keys, "ttl", parse_duration),
            "idle_timeout": self._field(keys, "idle_timeout", parse_duration),
            "extend": self._field(keys, "extend", fields.extension),
            "egress": EgressPolicy(rules=self._egress(keys.get("egress"))),
            "browser": self._field(keys, "browser", fields.browser) or BrowserPolicy(),
            "isolation": self._field(keys, "isolation", fields.isolation),
            "runtime": self._field(keys, "runtime", fields.runtime) or "",
            "environment": self._field(keys, "environment", self._environment) or "",
            "variables": self._field(keys, "variables", fields.variables) or {},
            "secrets": self._secrets(keys.get("secrets")),
        }

    def check_whole(self, root: Node, found: Sequence[tuple[Node, Profile]]) -> None:
        """What holds only between profiles: unique slugs and exactly one default."""
        first: dict[str, int] = {}
        for node, profile in found:
            if profile.slug in first:
                place = f" (first in line {first[profile.slug]})" if node.line else ""
                self._add(
                    _child(node, "slug"),
                    f"{node.field}.slug",
                    f"{profile.slug!r} is used twice{place}. Rename one.",
                )
            first.setdefault(profile.slug, _child(node, "slug").line)
        defaults = [node for node, profile in found if profile.default]
        for node in defaults[1:]:
            self._add(
                _child(node, "default"), f"{node.field}.default", "is true for two profiles. Keep it for one."
            )
        if not defaults and not self.problems:
            self._add(root, "default", "no profile is the default. Write default: true for one of them.")

    def _keys(self, node: Node, known: Sequence[str]) -> dict[str, Node] | None:
        if node.keys is None:
            self._add(
                node, node.field, f"{fields.shown(node.value)} is not a mapping. Write keys and values."
            )
            return None
        for name, child in node.keys.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
                self._add(child, child.field, f"this key does not exist. {hint}")
        return dict(node.keys)

    def _resources(self, keys: dict[str, Node] | None, node: Node) -> Resources | None:
        if keys is None:
            return None
        before = len(self.problems)
        cpu = self._field(keys, "cpu", parse_cpu)
        memory = self._field(keys, "memory", parse_size)
        for name in ("cpu", "memory"):
            if name not in keys:
                remedy = "Write cpu: 2." if name == "cpu" else 'Write memory: "4G".'
                self._add(node, f"{node.field}.{name}", f"is missing. {remedy}")
        given: dict[str, Any] = {
            "pids": self._field(keys, "pids", fields.processes),
            "disk": self._field(keys, "disk", parse_size),
            "tmpfs": self._field(keys, "tmpfs", parse_size),
        }
        if cpu is None or memory is None or len(self.problems) > before:
            return None
        return Resources(cpu=cpu, memory=memory, **{key: value for key, value in given.items() if value})

    def _egress(self, node: Node | None) -> tuple[EgressRule, ...]:
        if node is None or (node.value is None and node.items is None):
            return ()
        if node.items is None:
            self._convert(node, compile_rules)
            return ()
        rules: list[EgressRule] = []
        for item in node.items:
            found = self._convert(item, lambda value, field: compile_rules([value], field))
            rules.extend(found or ())
        return tuple(rules)

    def _secrets(self, node: Node | None) -> tuple[Grant, ...]:
        if node is None or (node.value is None and node.items is None):
            return ()
        if node.items is None:
            self._add(node, node.field, f"{fields.shown(node.value)} is not a list. Write [db/warehouse].")
            return ()
        found: list[Grant] = []
        for item in node.items:
            granted = self._convert(item, grant)
            if granted is not None and granted.name in (known.name for known in found):
                self._add(item, item.field, f"{granted.name!r} is granted twice. Keep one.")
            elif granted is not None:
                found.append(granted)
        return tuple(found)

    def _environment(self, value: Any, field: str) -> str:
        if isinstance(value, str) and (not self._environments or value in self._environments):
            return value
        names = ", ".join(sorted(self._environments)) or "text"
        raise fields.wrong(field, value, "is not an environment of this site", f"Write one of: {names}.")

    def _text(
        self,
        keys: dict[str, Node],
        name: str,
        parent: Node,
        check: Callable[[Any, str], str],
        required: bool = False,
    ) -> str | None:
        if required and name not in keys:
            self._add(parent, f"{parent.field}.{name}", f"is missing. Write {name}: and a text.")
        return self._field(keys, name, check)

    def _field(self, keys: dict[str, Node], name: str, check: Callable[[Any, str], T]) -> T | None:
        node = keys.get(name)
        return None if node is None else self._convert(node, check)

    def _convert(self, node: Node, check: Callable[[Any, str], T]) -> T | None:
        try:
            return check(node.value, node.field)
        except ConfigurationError as error:
            sentence = f"{error.message.removeprefix(f'{error.field}: ')} {error.remedy}".strip()
            inner = error.field.startswith(f"{node.field}.")
            self._add(node, error.field if inner else node.field, sentence)
            return None

    def _add(self, node: Node, field: str, sentence: str) -> None:
        self.problems.append(Problem(line=node.line, field=field, sentence=sentence))


def _child(node: Node, name: str) -> Node:
    return (node.keys or {}).get(name, node)
