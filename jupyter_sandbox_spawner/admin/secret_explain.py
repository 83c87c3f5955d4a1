"""Who may read which secret and why, and who has read one? `jupyter-sandbox-admin secrets explain | reads`"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..settings import Site, load_site
from .exits import ExitStatus
from .secret_asking import add_command, ask_broker, print_table, wrong_input

if TYPE_CHECKING:
    from ..rules.grants import Grant
    from ..rules.profiles import Profile

__all__ = ["add_commands", "last_groups"]

_PAGE = 500  # lines of the audit asked for at once
_COLUMNS = ("secret", "kind", "delivery", "profile", "groups", "stored")


def add_commands(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `secrets explain` and `secrets reads`."""
    explain = add_command(
        verbs,
        "explain",
        "say which profiles grant which secrets, and to a user which not and why",
        "Grants stand in profiles.yaml, below secrets:.",
    )
    explain.add_argument("--user", metavar="NAME", help="show names as for this user")
    explain.add_argument(
        "--group",
        metavar="NAME",
        action="append",
        help="who is in this group; may be given again. Absent: the groups of the user's last server",
    )
    explain.add_argument("--json", action="store_true", help="print JSON for scripts")
    explain.set_defaults(action=_explain)
    reads = add_command(
        verbs,
        "reads",
        "list which servers have read which secrets",
        "From the audit, the newest first. A static value that was read stays known to whoever read it.",
    )
    reads.add_argument("--user", metavar="NAME", help="this user's servers only")
    reads.add_argument("--sandbox", metavar="ID", help="this sandbox only")
    reads.add_argument("--secret", metavar="NAME", help="this secret only")
    reads.add_argument("--static", action="store_true", help="only values that outlive the server")
    reads.add_argument("--json", action="store_true", help="print JSON for scripts")
    reads.set_defaults(action=_reads)


def _explain(arguments: argparse.Namespace) -> int:
    site = load_site(arguments.site)
    stored = {item["name"] for item in ask_broker(site, lambda client: client.secrets())["items"]}
    groups = arguments.group
    if arguments.user is not None and groups is None:
        groups = asyncio.run(last_groups(site, arguments.user))
    rows, refused = _grants(_profiles(site), arguments.user, groups, stored)
    if arguments.json:
        print(json.dumps({"granted": rows, "refused": refused} if arguments.user else rows, indent=1))
        return ExitStatus.OK
    print_table([_COLUMNS, *(tuple(str(row[column]) for column in _COLUMNS) for row in rows)])
    if arguments.user is not None:
        print(_groups_said(arguments.user, groups))
    for item in refused:
        print(f"Not {item['secret']} of profile {item['profile']}: {item['why']}")
    unused = sorted(stored - {row["secret"] for row in rows})
    if unused:
        print(f"Stored, and granted by no profile as it stands: {', '.join(unused)}.")
    return ExitStatus.OK


def _grants(
    profiles: tuple[Profile, ...], user: str | None, groups: Collection[str] | None, stored: set[str]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    from ..rules.grants import GrantVerdict, decide_grants

    rows: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    for profile in profiles:
        verdict = GrantVerdict(granted=profile.secrets)
        if user is not None:
            allowed = profile.allowed_groups
            if allowed is not None and not set(groups or ()) & set(allowed):
                who = ", ".join(allowed) or "nobody"
                why = f"the profile is for {who}." if groups is not None else f"it is for {who}; see --group."
                refused += [
                    {"secret": grant.name, "profile": profile.slug, "why": why} for grant in profile.secrets
                ]
                continue
            verdict = decide_grants(user, groups or (), profile.secrets)
        rows += [_row(grant, profile, stored) for grant in verdict.granted]
        refused += [
            {"secret": item.name, "profile": profile.slug, "why": item.why} for item in verdict.refused
        ]
    return sorted(rows, key=lambda row: (row["secret"], row["profile"])), refused


def _groups_said(user: str, groups: Collection[str] | None) -> str:
    if groups is None:
        return (
            f"Of {user}'s groups nothing is known here: no server of theirs was admitted. Give --group NAME."
        )
    return f"As for somebody in: {', '.join(sorted(groups)) or 'no group'}."


async def last_groups(site: Site, user: str) -> list[str] | None:
    """A user's groups as the hub said them at their newest admission; None where there was none."""
    from ..clients.control import ControlAdminClient, control_socket

    client = ControlAdminClient(control_socket(site, "admin"))
    try:
        found = (await client.sandboxes(user, ended=True))["items"]
    finally:
        await client.close()
    newest = max(found, key=lambda item: item["admitted_at"], default=None)
    return None if newest is None else list(newest["groups"])


def _row(grant: Grant, profile: Profile, stored: set[str]) -> dict[str, Any]:
    allowed = profile.allowed_groups
    known = "?" if "{" in grant.name else "made" if not grant.static else "no"
    return {
        "secret": grant.name,
        "kind": grant.kind,
        "delivery": f"{grant.delivery} to {grant.host}" if grant.host else grant.delivery,
        "profile": profile.slug,
        "groups": "everyone" if allowed is None else ", ".join(allowed) or "nobody",
        "stored": "yes" if grant.name in stored else known,
    }


def _profiles(site: Site) -> tuple[Profile, ...]:
    from ..rules.rulebook_file import parse_rulebook

    try:
        text = Path(site.profiles).read_text() if site.profiles else ""
    except OSError as error:
        raise wrong_input(
            f"{site.profiles} cannot be read: {error.strerror}", "Name it in setup_hub."
        ) from error
    if not text:
        remedy = "Look at the list that jupyterhub_config.py gives to setup_hub."
        raise ConfigurationError(
            "The profiles of this site are not in a file.", code="profiles.no_file", remedy=remedy
        )
    return parse_rulebook(text, site.profiles, list(site.environments)).profiles


def _reads(arguments: argparse.Namespace) -> int:
    found = list(_read_lines(arguments))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    columns = ("when", "user", "server", "sandbox", "secret", "kept", "delivery")
    print_table([columns, *(tuple(str(item[column]) for column in columns) for item in found)])
    return ExitStatus.OK


def _read_lines(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    site = load_site(arguments.site)
    for line in asyncio.run(_audit(site, arguments.user)):
        detail, subject = line["detail"], line["subject"]
        if line["action"] != "secret.read" or line["outcome"] != "allowed":
            continue
        if arguments.sandbox not in (None, subject["sandbox"]):
            continue
        if arguments.secret not in (None, detail["secret"]) or (arguments.static and not detail["static"]):
            continue
        yield {
            "when": str(line["time"])[:19].replace("T", " ") + " UTC",
            "user": subject["user"],
            "server": subject["server"],
            "sandbox": subject["sandbox"],
            "secret": detail["secret"],
            "kept": "static" if detail["static"] else "ends with it",
            "delivery": detail.get("delivery", "value"),
        }


async def _audit(site: Site, user: str | None) -> list[dict[str, Any]]:
    from ..clients.control import ControlAdminClient, control_socket

    client = ControlAdminClient(control_socket(site, "admin"))
    found: list[dict[str, Any]] = []
    try:
        before: int | None = None
        while page := (await client.audit(user, _PAGE, before))["items"]:
            found += page
            before = page[-1]["seq"]
    finally:
        await client.close()
    return found
