"""What may an admin write in the one file? A list of profiles, or a mapping with everything that is decided.

Every problem of every section is reported at once; a file with one is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from .catalogue import Dataset
from .dataset_file import read_datasets
from .lifetime_file import read_lifetimes
from .lifetimes import Lifetimes
from .policy_file import read_policy
from .policy_settings import PolicySettings
from .price_file import read_prices
from .prices import Prices
from .profile_file import read_profiles
from .profile_nodes import Node, Problem, node_of, read_yaml
from .quota_file import read_quotas
from .quotas import Quotas
from .reading import Reading, all_wrong
from .rulebook import Rulebook

__all__ = ["SECTIONS", "as_json", "parse_rulebook", "rulebook_from_python"]

SECTIONS = ("profiles", "quotas", "policy", "datasets", "prices", "lifetime")


def parse_rulebook(text: str, file: str = "profiles.yaml", environments: Collection[str] = ()) -> Rulebook:
    """The rule book of a YAML text. `environments`: names of user images that exist; empty: not checked.

    Raises ProfileError with every problem found.
    """
    problems: list[Problem] = []
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        book = _read(read_yaml(text), digest, problems, environments)
    except Problem as problem:
        raise all_wrong(file, [problem]) from None
    if problems:
        raise all_wrong(file, problems)
    return book


def rulebook_from_python(
    document: Any, file: str = "profiles", environments: Collection[str] = ()
) -> Rulebook:
    """The rule book of a Python list or dictionary in the same schema; problems name the field alone."""
    problems: list[Problem] = []
    try:
        digest = hashlib.sha256(as_json(document).encode()).hexdigest()
    except (TypeError, ValueError) as error:
        sentence = f"it holds what no file could: {error}. Use texts, numbers, lists and dictionaries."
        raise all_wrong(file, [Problem(line=0, field="profiles", sentence=sentence)]) from None
    book = _read(node_of(document), digest, problems, environments)
    if problems:
        raise all_wrong(file, problems)
    return book


def as_json(document: Any) -> str:
    """A Python rule book as the text of a file that says the same."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _read(root: Node, digest: str, problems: list[Problem], environments: Collection[str]) -> Rulebook:
    if root.keys is None:
        return Rulebook(profiles=read_profiles(root, problems, environments), digest=digest)
    reader = Reading()
    keys = reader.keys(root, SECTIONS) or {}
    problems += reader.problems
    profiles, quotas, policy, datasets, prices, lifetime = (keys.get(name) for name in SECTIONS)
    none: tuple[Dataset, ...] = ()
    before = len(problems)
    offered = read_profiles(profiles or root, problems, environments)
    # Profiles that are wrong themselves are no reason to call a rule about them wrong.
    known = offered if len(problems) == before else None
    return Rulebook(
        profiles=offered,
        quotas=read_quotas(quotas, problems) if quotas else Quotas(),
        policy=read_policy(policy, problems) if policy else PolicySettings(),
        datasets=read_datasets(datasets, problems) if datasets else none,
        prices=read_prices(prices, problems) if prices else Prices(),
        lifetime=read_lifetimes(lifetime, problems, known) if lifetime else Lifetimes(),
        digest=digest,
    )
